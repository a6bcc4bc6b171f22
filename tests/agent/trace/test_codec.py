"""Lines and records: exact in both directions, and wrong lines say what was found and expected."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.errors import InputError
from submeter.model import Activity, Gauges, GpuInfo, Holder, Reading, UtilisationSample
from submeter.trace.codec import GPU, SHAPES, decode, decode_header, encode, encode_header
from submeter.trace.kinds import HOLDERS, SAMPLES
from submeter.trace.records import EndRecord, Header, Record

Records = Callable[[int], st.SearchStrategy[Record]]


@given(data=st.data())
def test_a_record_survives_its_line_and_the_line_its_record(
    data: st.DataObject, any_records: Records
) -> None:
    record = data.draw(any_records(3))
    line = encode(record)
    assert decode(line) == record
    assert encode(decode(line)) == line
    assert line.isascii()
    assert "\n" not in line


@given(data=st.data())
def test_a_header_survives_its_line(
    data: st.DataObject, headers: st.SearchStrategy[Header]
) -> None:
    header = data.draw(headers)
    line = encode_header(header)
    assert decode_header(line) == header
    assert encode_header(decode_header(line)) == line


@given(st.text(max_size=80) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=9),
    max_leaves=12,
).map(lambda value: json.dumps(value)))  # fmt: skip
def test_no_line_raises_anything_but_input_error(line: str) -> None:
    messages = []
    for decoder in (decode, decode_header):
        try:
            decoder(line)
        except InputError as error:
            messages.append(str(error))
    assert all("expected" in message for message in messages)


@pytest.mark.parametrize(
    ("line", "found", "expected"),
    [
        ("", "''", "one JSON value"),
        ('["r",0,5', "'[\"r\",0,5'", "one JSON value"),
        ("{}", "'{}'", "a list"),
        ("[]", "'[]'", "a list"),
        ('["z",1]', "'z'", "one of r, a, g"),
        ("[[1],1]", "'[1]'", "one of r, a, g"),
        ('["r",0,5]', "2 values", "expected 8: gpu, at_ns, energy_uj"),
        ('["r",0,5,null,null,1.5,null,null,null]', "'1.5'", "an integer from 0 or null"),
        ('["r",0,true,null,null,1,null,null,null]', "'true'", "an integer from 0"),
        ('["r",0,-1,null,null,1,null,null,null]', "'-1'", "an integer from 0"),
        ('["r",0,1,NaN,null,1,null,null,null]', "'NaN'", "an integer from 0 or null"),
        ('["r",0,1,18446744073709551616,null,1,null,null,null]', "1844", "an integer from 0"),
        ('["a",0,1,"12",null]', "'12'", "an integer from 0 or null"),
        ('["g",0,1,null,null,null,{},[]]', "'{}'", "a list of [name, integer]"),
        ('["h",0,1,[[1,"c",null,null]]]', "null", "[pid, kind, memory_bytes"),
        ('["x",0,1,"readings","oops","",""]', "'oops'", "device_lost or driver_unavailable"),
        ("[" * 100_000, "[[[[", "one JSON value"),
    ],
)
def test_a_wrong_record_says_what_was_found_and_expected(
    line: str, found: str, expected: str
) -> None:
    with pytest.raises(InputError) as caught:
        decode(line)
    assert found in str(caught.value)
    assert expected in str(caught.value)
    assert len(str(caught.value)) < 300


def test_no_field_of_the_model_is_left_out() -> None:
    """A field that is added to a record of the model needs its place in the format."""
    names = {name for shape in SHAPES.values() for name in shape.names}
    for record in (Reading, Activity, Gauges):
        assert set(_fields(record)) <= names
    assert list(GPU) == _fields(GpuInfo)
    assert HOLDERS.expected == f"a list of [{', '.join(Holder._fields)}] or null"
    samples = ", ".join(name.removesuffix("_percent") for name in UtilisationSample._fields)
    assert SAMPLES.expected == f"a list of [{samples}] or null"


def _fields(record: type) -> list[str]:
    names: Iterable[str] = getattr(record, "_fields", None) or vars(record)["__dataclass_fields__"]
    return list(names)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('"version":1', '"version":2'), "version 2 found; this submeter reads version 1"),
        (('"submeter-trace"', '"other"'), 'expected "submeter-trace"'),
        (('"index":0', '"index":"0"'), "index of the gpu: found '0', expected an integer from 0"),
        (('"uuid"', '"uid"'), "expected uuid, index"),
        (('"counter"', '"magic"'), "expected counter or average or instant or none"),
        (('"counter"', "[]"), "expected counter or average or instant or none"),
        (('"missing":[]', '"missing":[["a"]]'), "a list of [capability, reason]"),
    ],
)
def test_a_wrong_header_says_what_was_expected(change: tuple[str, str], message: str) -> None:
    line = (
        '{"format":"submeter-trace","version":1,"created":"","submeter":"1","backend":"nvml",'
        '"notice":"","start_boottime_ns":1,"start_wall_ns":2,"gpus":[{"uuid":"GPU-1","index":0,'
        '"name":"X","driver":"1","pci_bus_id":"","arch":"","energy_source":"counter",'
        '"power_window":"","refresh_ns":1,"refresh_measured":true,"memory_total_bytes":null,'
        '"power_limit_max_mw":null,"scope":"gpu","mig":false,"missing":[]}]}'
    )
    decode_header(line)
    with pytest.raises(InputError, match=r"expected|found") as caught:
        decode_header(line.replace(*change))
    assert message in str(caught.value)


def test_the_documented_example_is_a_trace() -> None:
    page = (Path(__file__).parents[3] / "docs" / "trace-format.md").read_text(encoding="utf-8")
    example = page.partition("```json\n")[2].partition("```")[0].replace("…", "")
    header, *records = example.splitlines()
    assert encode_header(decode_header(header)) == header
    assert [encode(decode(line)) for line in records] == records
    assert isinstance(decode(records[-1]), EndRecord)
    for letter, shape in SHAPES.items():
        documented = page.partition(f"| `{letter}` | `")[2].partition("`")[0].split(", ")
        assert documented == list(shape.names)
    assert all(f"`{name}`" in page for name in GPU)
