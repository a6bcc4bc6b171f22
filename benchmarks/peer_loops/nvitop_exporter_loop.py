"""nvitop's exporter at a rate: ``nvitop_exporter_loop.py RATE_HZ``; ends with its input.

What its command does, less the check that refuses intervals below 0.25 s and the server.
"""

import importlib
import sys
from threading import Thread


def main() -> None:
    """Collects in a thread of the exporter's own making."""
    device = importlib.import_module("nvitop").Device
    exporters = importlib.import_module("nvitop_exporter.exporter")
    rate_hz = float(sys.argv[1])
    exporter = exporters.PrometheusExporter(device.all(), hostname="here", interval=1 / rate_hz)
    Thread(target=exporter.collect, daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()


main()
