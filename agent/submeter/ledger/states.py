"""The state of a meter in, the text that is stored with its open row out, and back."""

import json

from submeter.ledger.rows import NONSENSE, BadRow, canonical
from submeter.model import CounterState, MeterState

_MARK = (5, 6)  # numbers in a mark of a counter: older agents' lack the last one


def state_text(state: MeterState) -> str:
    """A meter's state as `canonical` has it. Written every second for each GPU, hence by hand
    where it is what it nearly always is."""
    end_ns, read_ns, known_ns, counter = state
    if counter is None or counter.marks:
        return canonical(state).decode()
    raw, base, at, bucket, booked, bridged, owed, epoch, _ = counter
    inner = f"{raw},{base},{at},{bucket},{booked},{bridged},{owed},{epoch}"
    return f"[{end_ns},{read_ns},{known_ns},[{inner},[]]]"


def parse_state(text: str) -> MeterState | None:
    """The state of a text; None for an empty one. Raises BadRow."""
    if not text:
        return None
    try:
        end_ns, read_ns, known_ns, counter = json.loads(text)
        _require_whole(end_ns, read_ns, known_ns)
        if counter is not None:
            *numbers, marks = counter
            _require_whole(*numbers, *(value for mark in marks for value in mark))
            if any(len(mark) not in _MARK for mark in marks):
                raise ValueError("a mark of another length")
            counter = CounterState._make([*numbers, tuple(map(tuple, marks))])
        return MeterState(end_ns, read_ns, known_ns, counter)
    except NONSENSE as error:
        raise BadRow(f"unreadable state of a meter: {error}") from error


def _require_whole(*values: object) -> None:
    if not all(type(value) is int for value in values):
        raise ValueError("whole numbers are expected")
