"""Which rows an entry ends, how they are labelled, numbered and summed up."""

from submeter.ledger.book import SYNCED_FROM_S, Book, Tip
from submeter.ledger.rows import LEVELS, Cover, Row, Sealed, decode, link
from submeter.units import NS_PER_S

START_S = 1_767_225_600  # a midnight
TIPS = tuple(Tip(0, bytes([level] * 32)) for level in range(len(LEVELS)))


def entry(end_s: float, energy_uj: int = 1, metered_ns: int = 0) -> Row:
    """What was used just before that second of the wall clock."""
    end_ns = round(end_s * NS_PER_S)
    return Row(0, end_wall_ns=end_ns, metered_ns=metered_ns, energy_uj={1: energy_uj})


def content(sealed: Sealed) -> Row:
    return decode(sealed.level, sealed.start_s, sealed.body)


def test_what_ends_at_a_boundary_belongs_to_the_row_before_it() -> None:
    book = Book(7, TIPS)
    assert book.add(entry(START_S + 10)) == []
    assert book.open is not None
    assert book.open.start_s == START_S
    assert book.add(entry(START_S + 10)) == []
    (sealed,) = book.add(entry(START_S + 10 + 1e-6))
    assert (sealed.level, sealed.gpu, sealed.seq, sealed.start_s) == (0, 7, 1, START_S)
    assert content(sealed).energy_uj == {1: 2}
    assert book.open.start_s == START_S + 10


def test_rows_are_numbered_from_1_and_hashed_upon_the_one_before() -> None:
    book = Book(7, TIPS)
    rows = [row for step in range(1, 4) for row in book.add(entry(START_S + 10 * step))]
    rows += book.seal()
    assert [row.seq for row in rows] == [1, 2, 3]
    before = TIPS[0].hash
    for row in rows:
        assert row.hash == link(before, row._replace(hash=b""))
        before = row.hash
    assert book.tips[0] == Tip(3, before)
    assert book.seal() == []


def test_longer_rows_are_the_sums_of_those_they_cover() -> None:
    """A day, two hours and a bit in rows of ten seconds, each of its own energy."""
    book = Book(7, TIPS, total_uj=1_000)
    rows: list[Sealed] = []
    count = (86_400 + 2 * 3_600 + 70) // 10
    for step in range(count):
        rows += book.add(entry(START_S + 10 * step + 10, step, metered_ns=3))
    by_level = [[row for row in rows if row.level == level] for level in range(len(LEVELS))]
    # open are the last row of tens, and of each longer one the one that the last row ended is in
    assert [len(each) for each in by_level] == [count - 1, 26 * 60, 25, 1]
    tens = {row.seq: content(row) for row in by_level[0]}
    below_hash = {(row.level, row.seq): row.hash for row in rows}
    for level, width in ((1, 6), (2, 360), (3, 8_640)):
        for row in by_level[level]:
            found = content(row)
            first, last = (row.seq - 1) * width + 1, row.seq * width
            below = last // (width // {1: 6, 2: 60, 3: 24}[level])
            assert found.cover == Cover(first, last, below, below_hash[level - 1, below])
            parts = [tens[seq] for seq in range(first, last + 1)]
            assert found.energy_uj == {1: sum(part.energy_uj.get(1, 0) for part in parts)}
            assert found.metered_ns == 3 * width
            assert found.total_uj == parts[-1].total_uj == 1_000 + sum(range(last))
            assert row.start_s == START_S + 10 * (first - 1)
    hour = content(by_level[2][1])
    assert [hour.quarters[which].sum_uj for which in range(4)] == [
        sum(range(360 + 90 * which, 450 + 90 * which)) for which in range(4)
    ]
    assert not content(by_level[1][0]).quarters
    assert not content(by_level[3][0]).quarters


def test_a_clock_that_was_not_set_is_noted_once_a_row() -> None:
    for start_s, facts in ((SYNCED_FROM_S - 10, {"clock_unsynced": 1}), (SYNCED_FROM_S, {})):
        book = Book(7, TIPS)
        book.add(entry(start_s + 1))
        book.add(entry(start_s + 2))
        (sealed,) = book.seal()
        assert content(sealed).facts == facts


def test_a_clock_that_is_set_back_repeats_labels_and_rows_go_on() -> None:
    book = Book(7, TIPS)
    rows = []
    for end_s in (20, 30, 10, 20):
        rows += book.add(entry(START_S + end_s))
    rows += book.seal()
    assert [(row.seq, row.start_s - START_S) for row in rows] == [(1, 10), (2, 20), (3, 0), (4, 10)]


def test_longer_rows_while_nothing_is_written() -> None:
    book = Book(7, TIPS)
    book.width_s = 60
    assert book.add(entry(START_S + 15)) == []
    assert book.add(entry(START_S + 60)) == []
    (sealed,) = book.add(entry(START_S + 61))
    assert sealed.start_s == START_S
    assert content(sealed).sum_uj == 2


def test_rows_of_an_older_file_keep_their_label_and_get_another_total() -> None:
    book = Book(7, TIPS, total_uj=100)
    old = Row(START_S + 30, energy_uj={1: 5, 2: 7}, total_uj=9_999, cover=Cover(1, 2, 3, bytes(32)))
    (sealed,) = book.append(old)
    found = content(sealed)
    assert (sealed.level, sealed.seq, sealed.start_s) == (0, 1, START_S + 30)
    assert (found.total_uj, found.energy_uj, found.cover) == (112, {1: 5, 2: 7}, None)
    later = book.append(Row(START_S + 60, energy_uj={1: 1}))
    assert [(row.level, row.seq) for row in later] == [(0, 2), (1, 1)]
    assert content(later[1]).energy_uj == {1: 5, 2: 7}


def test_an_open_roll_up_is_rebuilt_from_rows_that_none_covers_yet() -> None:
    whole, rows = Book(7, TIPS), []
    for step in range(9):
        rows += whole.add(entry(START_S + 10 * step + 10, step))
    again = Book(7, tuple(whole.tips), whole.total_uj)
    for sealed in rows:
        if sealed.level or sealed.seq > 6:
            again.roll_up(sealed.level, Tip(sealed.seq, sealed.hash), content(sealed), [])
    again.open = whole.open
    for step in range(9, 14):
        at = entry(START_S + 10 * step + 10, step), entry(START_S + 10 * step + 10, step)
        assert whole.add(at[0]) == again.add(at[1])
    assert again.tips == whole.tips
