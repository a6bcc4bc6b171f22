"""Servers that speak as real ones do, and hostile ones."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from submeter.testing.serving import PageServer


@pytest.fixture
def server() -> Iterator[PageServer]:
    made = PageServer()
    yield made
    made.close()


@pytest.fixture
def pages() -> Path:
    """Pages as the projects document them."""
    return Path(__file__).parent / "pages"
