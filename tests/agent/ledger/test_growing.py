"""A row that grows, packed, is the row that growing without any packing gives."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from submeter.ledger.growing import Growing
from submeter.ledger.rows import HOURS, TOP, Row, encode

_AMOUNTS = st.dictionaries(st.integers(1, 1 << 20), st.integers(0, 1 << 55), max_size=6)
_FACTS = st.dictionaries(st.sampled_from(["jitters", "done.7.steps"]), st.integers(0, 9))
_ROWS = st.lists(
    st.builds(
        Row,
        start_s=st.integers(0, 3_599),  # a wall clock that is set back comes to quarters again
        session=st.integers(1, 3),
        end_ns=st.integers(0, 1 << 50),
        total_uj=st.integers(0, 1 << 50),
        metered_ns=st.integers(0, 1 << 40),
        facts=_FACTS,
        energy_uj=_AMOUNTS,
    ),
    min_size=1,
    max_size=12,
)


@given(rows=_ROWS, level=st.integers(1, TOP))
def test_it_is_the_sum_of_its_rows(rows: list[Row], level: int) -> None:
    plain, growing = Row(0), Growing(level, 0)
    for row in rows:
        plain.merge(row)
        if level == HOURS:
            plain.add_to_quarter(row)
        growing.add(replace(row, facts=dict(row.facts), energy_uj=dict(row.energy_uj)))
    whole = growing.whole()
    assert encode(whole) == encode(plain)
    assert whole.sum_uj == plain.sum_uj
