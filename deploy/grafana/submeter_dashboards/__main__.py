"""Writes each dashboard's JSON into a folder: `python -m submeter_dashboards FOLDER`."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from submeter_dashboards.footprint import footprint
from submeter_dashboards.gpu_node import gpu_node
from submeter_dashboards.queries import RAW, RECORDED
from submeter_dashboards.training_inference import training_inference


def documents() -> Iterator[tuple[str, str]]:
    """Each file's path and text."""
    yield "gpu-node.json", _json(gpu_node())
    yield "training-inference.json", _json(training_inference(RAW))
    yield "footprint.json", _json(footprint(RAW))
    yield "recorded/training-inference.json", _json(training_inference(RECORDED))
    yield "recorded/footprint.json", _json(footprint(RECORDED))


def _json(dashboard: Dashboard) -> str:
    document = json.loads(JSONEncoder().encode(dashboard))
    for variable in document["templating"]["list"]:
        for field in ("auto", "auto_min", "auto_count"):  # of interval variables, by the schema
            variable.pop(field)
    return json.dumps(document, sort_keys=True, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    folder = Path(sys.argv[1])
    for name, text in documents():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
