"""The dashboards against Grafana's own types: `make test-schema` fetches them and a compiler."""

import os
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "deploy/grafana/dashboards"

# Grafana's types have enumerations where JSON has plain words and numbers.
PLAIN = """\
import type { Dashboard } from '@grafana/schema';
type Plain<T> = T extends string ? `${T}` : T extends number ? number
  : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;
export type PlainDashboard = Plain<Dashboard>;
"""


def _compile(folder: Path, modules: str, text: str) -> subprocess.CompletedProcess[str]:
    (folder / "node_modules").symlink_to(modules)
    (folder / "plain.ts").write_text(PLAIN, encoding="utf-8")
    (folder / "dashboard.ts").write_text(
        "import type { PlainDashboard } from './plain';\n"
        f"export const dashboard: PlainDashboard = {text}",
        encoding="utf-8",
    )
    return subprocess.run(
        [
            "node_modules/.bin/tsc", "--noEmit", "--strict", "--skipLibCheck",
            "--module", "esnext", "--moduleResolution", "bundler", "dashboard.ts",
        ],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture
def modules() -> str:
    found = os.environ.get("SUBMETER_NODE_MODULES")
    if found is None:
        pytest.skip("`make test-schema` runs this")
    return found


@pytest.mark.parametrize(
    "path", sorted(FOLDER.rglob("*.json")), ids=lambda path: path.relative_to(FOLDER).as_posix()
)
def test_dashboard_has_grafanas_types(path: Path, modules: str, tmp_path: Path) -> None:
    run = _compile(tmp_path, modules, path.read_text(encoding="utf-8"))
    assert run.returncode == 0, run.stdout


def test_a_wrong_field_is_found(modules: str, tmp_path: Path) -> None:
    text = (FOLDER / "gpu-node.json").read_text(encoding="utf-8")
    run = _compile(tmp_path, modules, text.replace('"graphTooltip": 1', '"graphTooltips": 1'))
    assert "graphTooltips" in run.stdout
