"""A changed configuration that can't be started with is refused, and why is said with its place."""

from pathlib import Path

import pytest

from submeter.config import load
from submeter.runtime.renewal import refusal

GOOD = '[[pue]]\nvalue = 1.2\nsource = "x"\n'


def refused(folder: Path, table: str, more: str = "") -> str:
    (folder / "factors.toml").write_text(table)
    config = folder / "submeter.toml"
    config.write_text(f'backend = "mock"\n[footprint]\ntable = "{folder}/factors.toml"\n{more}')
    return refusal(lambda: load(config, (), {"HOME": "/root"}))


def test_what_can_be_started_with_is_not_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, GOOD) == ""


@pytest.mark.parametrize(
    "row",
    [
        *("value = -1.0", "value = nan", "value = 1e9", "value = inf", "value = 0.5"),
        *('value = "much"', "", "value = 1.2\nfrom = 2026-01-02\nuntil = 2026-01-01"),
    ],
)
def test_absurd_factors_are_refused_with_their_place(tmp_path: Path, row: str) -> None:
    said = refused(tmp_path, f'{GOOD}\n[[pue]]\n{row}\nsource = "y"\n')
    assert "factors.toml:" in said


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("pue = 0.5\n", "submeter.toml:4"),
        ("carbon_g_per_kwh = -1\n", "submeter.toml:4"),
        ('country = "Germany"\n', "submeter.toml:4"),
        ('live_url = "gopher://x"\n', "submeter.toml:4"),
    ],
)
def test_so_are_single_figures(tmp_path: Path, more: str, said: str) -> None:
    assert said in refused(tmp_path, GOOD, more)
