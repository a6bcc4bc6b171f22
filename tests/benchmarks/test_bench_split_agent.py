"""The split through the whole agent: what counts for its coverage."""

from bench_split_agent import REST, off


def test_only_what_was_split_counts() -> None:
    true = {"p0.py": 100.0, "p1.py": 50.0, REST: 0.0}
    got = {"p0.py": 90.0, "p1.py": 60.0, REST: 225.0}
    assert off(got, true, {"p0.py": 5.0, "p1.py": 20.0}) == [2.0, 0.5]
    assert off({}, {"p0.py": 1.0}, {})[0] > 1e6, "no error, and wrong"
