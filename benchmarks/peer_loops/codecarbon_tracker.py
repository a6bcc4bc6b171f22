"""codecarbon's tracker at a rate: ``codecarbon_tracker.py RATE_HZ``; ends with its input."""

import importlib
import sys


def main() -> None:
    """Tracks the machine; nothing is written and nothing is sent."""
    codecarbon = importlib.import_module("codecarbon")
    rate_hz = float(sys.argv[1])
    tracker = codecarbon.OfflineEmissionsTracker(
        country_iso_code="DEU",
        measure_power_secs=1 / rate_hz,
        save_to_file=False,
        save_to_api=False,
        api_call_interval=-1,
        allow_multiple_runs=True,
        tracking_mode="machine",
        log_level="error",
    )
    tracker.start()
    print("ready", flush=True)
    sys.stdin.read()
    tracker.stop()


main()
