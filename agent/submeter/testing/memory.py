"""Where files lie in memory: for what is tested with files, but doesn't depend on a disk."""

from pathlib import Path
from typing import Final

_FOLDER: Final = "/dev/shm"  # noqa: S108  everybody's, but names in it are made by `tempfile`
IN_MEMORY: Final = _FOLDER if Path(_FOLDER).is_dir() else None
"""The ``dir`` of `tempfile`; None, which is its own choice, where there is no such folder."""
