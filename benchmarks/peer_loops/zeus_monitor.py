"""Zeus' PowerMonitor at a rate, as a program: ``zeus_monitor.py RATE_HZ``; ends with its input."""

import importlib
import select
import sys
import time


def main() -> None:
    """Polls in Zeus' own processes; takes the timelines of the last second, once a second."""
    power = importlib.import_module("zeus.monitor.power")
    rate_hz = float(sys.argv[1])
    monitor = power.PowerMonitor(update_period=1 / rate_hz, max_samples_per_gpu=1000)
    print("ready", flush=True)
    while not select.select([sys.stdin], [], [], 1.0)[0]:
        monitor.get_all_power_timelines(start_time=time.time() - 1)
    monitor.stop()


if __name__ == "__main__":  # Zeus starts its processes by spawning: they import this file
    main()
