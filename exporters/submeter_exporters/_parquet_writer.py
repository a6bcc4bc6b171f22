"""JSON lines of columns on standard input in, Parquet files out: the child of exporter ``parquet``.

Each line is answered with ``ok`` or with what went wrong. A file is written as ``NAME.part`` and
gets its name when it is complete; the end of the input completes what is open.
"""

import json
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from pyarrow import parquet

from submeter.units import NS_PER_S

_NS_PER_MINUTE: Final = 60 * NS_PER_S
_MOST_ROWS: Final = 1 << 16  # held before they are written as a row group
_PART: Final = ".part"


class Series:
    """Owns the open file of one series."""

    def __init__(self, name: str, settings: Mapping[str, Any]) -> None:
        self._name = name
        self._folder = Path(settings["directory"])
        self._length_ns = round(settings["file_minutes"] * _NS_PER_MINUTE)
        self._kept: int = settings["files"]
        self._mode: int = settings["mode"]
        self._writer: parquet.ParquetWriter | None = None
        self._path = self._folder
        self._began_ns = 0
        self._held: list[pa.Table] = []

    def add(self, columns: Mapping[str, Sequence[Any]], about: Mapping[str, Any]) -> None:
        """Adds rows; begins a new file when it is time. Raises OSError."""
        wall_ns: int = about["wall_ns"]
        table = _table(columns, about)
        if self._writer is not None and not 0 <= wall_ns - self._began_ns < self._length_ns:
            self.complete()
        if self._writer is None:
            self._begin(wall_ns, table.schema)
        self._held.append(table)
        if sum(each.num_rows for each in self._held) >= _MOST_ROWS:
            self._flush()

    def complete(self) -> None:
        """Ends the open file and gives it its name; deletes those that are too many."""
        if self._writer is None:
            return
        self._flush()
        writer, self._writer = self._writer, None
        writer.close()
        self._path.chmod(self._mode)
        self._path.rename(self._path.with_suffix(""))
        for path in sorted(self._folder.glob(f"{self._name}-*.parquet"))[: -self._kept]:
            path.unlink(missing_ok=True)

    def _begin(self, wall_ns: int, schema: pa.Schema) -> None:
        began = datetime.fromtimestamp(wall_ns // NS_PER_S, UTC)
        micros = wall_ns % NS_PER_S // 1000
        name = f"{self._name}-{began:%Y%m%dT%H%M%S}.{micros:06d}Z.parquet{_PART}"
        self._path = self._folder / name
        self._writer = parquet.ParquetWriter(self._path, schema, compression="zstd")
        self._began_ns = wall_ns

    def _flush(self) -> None:
        if self._writer is not None and self._held:
            self._writer.write_table(pa.concat_tables(self._held).unify_dictionaries())
            self._held = []


def main(settings: Mapping[str, Any]) -> None:
    """Until the end of the input."""
    for number in (signal.SIGINT, signal.SIGTERM):  # a service manager tells all; we end with ours
        signal.signal(number, signal.SIG_IGN)
    series = {name: Series(name, settings) for name in ("readings", "energy", "work")}
    for left_over in Path(settings["directory"]).glob(f"*.parquet{_PART}"):
        left_over.unlink(missing_ok=True)  # without its end nobody can read it
    try:
        for line in sys.stdin.buffer:
            frame = json.loads(line)
            with _answering():
                series[frame["series"]].add(frame["columns"], frame["about"])
    finally:
        for each in series.values():
            each.complete()


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        _say(f"{error.strerror or error}: {error.filename or ''}")
    else:
        _say("ok")


def _say(text: str) -> None:
    sys.stdout.write(text.replace("\n", " ") + "\n")
    sys.stdout.flush()


def _table(columns: Mapping[str, Sequence[Any]], about: Mapping[str, Any]) -> pa.Table:
    arrays = {name: pa.array(values, type=_type(name)) for name, values in columns.items()}
    metadata = {name: str(value) for name, value in about.items() if name != "wall_ns"}
    return pa.table(arrays).replace_schema_metadata(metadata)


def _type(name: str) -> pa.DataType:
    """Numbers carry their unit in their name, or beside it; all else is one of few texts."""
    is_number = name.endswith(("_ns", "_us", "_uj", "_mw")) or name == "amount"
    return pa.int64() if is_number else pa.dictionary(pa.int32(), pa.string())


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
