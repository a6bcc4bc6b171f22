"""The generated reference: up to date, complete, and the file with every key means the defaults."""

import re
from pathlib import Path

import pytest

from submeter.config import load
from submeter.config.reference import commented_toml, markdown
from submeter.config.schema import EXPORTERS, KEYS, SECTIONS

ROOT = Path(__file__).parents[3]
HOME = {"HOME": "/home/somebody"}


@pytest.mark.parametrize(
    ("path", "text"),
    [("docs/configuration.md", markdown()), ("deploy/submeter.toml", commented_toml())],
)
def test_what_is_generated_is_up_to_date(path: str, text: str) -> None:
    assert (ROOT / path).read_text() == text, "run `make docs`"


def test_the_file_as_it_comes_changes_nothing() -> None:
    assert load(ROOT / "deploy/submeter.toml", (), HOME).exporters == load(None, (), HOME).exporters
    assert set(load(ROOT / "deploy/submeter.toml", (), HOME).origins) <= {"exporters.prometheus"}


def test_every_key_is_there_and_uncommented_it_is_right(tmp_path: Path) -> None:
    file = tmp_path / "submeter.toml"
    file.write_text(re.sub(r"^# (\w+ = )", r"\1", commented_toml(), flags=re.MULTILINE))
    config = load(file, (), HOME)
    assert set(config.origins) == {*KEYS, "exporters.prometheus.enabled"}
    for key, about in KEYS.items():
        section, _, name = key.rpartition(".")
        value = getattr(getattr(config, section) if section else config, name)
        assert about.default is None or value == about.default


def test_the_documentation_names_every_key_and_section() -> None:
    text = markdown()
    assert all(f"| `{key}` |" in text for key in KEYS)
    assert all(f"## `[{section}]`" in text for section in [*SECTIONS, f"{EXPORTERS}.NAME"])


def test_every_key_has_one_line_of_help_and_a_default_that_is_accepted() -> None:
    for key, about in KEYS.items():
        assert re.fullmatch(r"[^\n]{10,100}\.", about.help), key
        if about.default is not None and isinstance(about.default, str | bool | int | float):
            assert about.kind.convert(about.default) == about.default, key
