"""What is read from a ledger's tables is what an agent wrote, or a bad row."""

import sqlite3

import pytest

from submeter.ledger.chains import notes
from submeter.ledger.rows import BadRow
from submeter.ledger.schema import note_hash


@pytest.mark.fault("F63")
@pytest.mark.parametrize(
    ("name", "body"), [("counts", 5), (5, "{}"), ("counts", b"{}"), (None, None)]
)
def test_a_note_that_is_no_text_is_none_whatever_its_hash(name: object, body: object) -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE notes (name, body, hash)")
    rows: list[tuple[object, ...]] = [("known", "{}", note_hash("id", "known", "{}"))]
    assert _with(connection, rows) == {"known": "{}"}
    digest = note_hash("id", str(name), str(body))
    for same in (digest, _hash_of(name, body)):
        with pytest.raises(BadRow):
            _with(connection, [*rows, (name, body, same)])
    connection.close()


def _hash_of(name: object, body: object) -> bytes:
    try:
        return note_hash("id", name, body)  # type: ignore[arg-type]
    except TypeError:
        return b""


def _with(connection: sqlite3.Connection, rows: list[tuple[object, ...]]) -> dict[str, str]:
    connection.execute("DELETE FROM notes")
    connection.executemany("INSERT INTO notes VALUES (?, ?, ?)", rows)
    return notes(connection, "id")
