"""docs/exporters.md has every exporter with the options as they are."""

from pathlib import Path

import pytest

from submeter.exporting import available, options_markdown, options_of

DOCS = Path(__file__).parents[2] / "docs" / "exporters.md"


@pytest.mark.parametrize("name", available())
def test_every_exporter_is_described_with_its_options(name: str) -> None:
    text = DOCS.read_text()
    assert f"\n## `{name}`\n" in text
    if options_of(name):
        section = text.split(f"\n## `{name}`\n", 1)[1].split("\n## ", 1)[0]
        assert options_markdown(name) in section, "run: make docs"
