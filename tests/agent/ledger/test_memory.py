"""The ledger books only what adds up, and never moves a joule between series."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.ledger import OTHER, Ledger
from submeter.model import (
    Account,
    Component,
    EnergySource,
    Interval,
    Method,
    Owner,
    Phase,
    Posting,
    SuspectReason,
    UnmeteredReason,
)

GPU = "GPU-1"


def _interval(energy_uj: int, **more: object) -> Interval:
    return Interval(GPU, 0, 0, 10**9, energy_uj, EnergySource.COUNTER, **more)  # type: ignore[arg-type]


def _posting(energy_uj: int, workload: str = "train.py", phase: Phase = Phase.TRAINING) -> Posting:
    owner = Owner(phase, workload=workload)
    account = Account(GPU, "", Component.DYNAMIC, owner)
    return Posting(account, Method.EXCLUSIVE, energy_uj)


def test_totals_by_account_method_and_gpu_agree() -> None:
    ledger = Ledger()
    ledger.post(_interval(10), [_posting(7), _posting(3, "b")])
    ledger.post(_interval(5), [_posting(5)])
    assert sum(ledger.accounts().values()) == ledger.totals(GPU).energy_uj == 15
    assert ledger.totals(GPU).by_method_uj == {Method.EXCLUSIVE: 15}
    assert ledger.accounts()[_posting(0).account] == 12


@pytest.mark.parametrize(
    ("postings", "message"),
    [
        ([_posting(9)], "sum to 9 µJ, the interval is 10"),
        ([_posting(11)], "sum to 11 µJ"),
        ([_posting(-1), _posting(11)], "negative"),
        (
            [_posting(10)._replace(account=_posting(0).account._replace(gpu_uuid="GPU-2"))],
            "another GPU",
        ),
        ([], "sum to 0"),
    ],
)
def test_what_does_not_add_up_is_refused_whole(postings: list[Posting], message: str) -> None:
    ledger = Ledger()
    with pytest.raises(ValueError, match=message):
        ledger.post(_interval(10), postings)
    assert not ledger.accounts()
    assert ledger.totals(GPU).energy_uj == 0


def test_suspect_and_unmetered_stay_outside_the_total() -> None:
    ledger = Ledger()
    ledger.post(
        _interval(
            1,
            suspect_uj=((SuspectReason.JUMP, 50),),
            unmetered_ns=((UnmeteredReason.GAP, 7),),
            resets=1,
            jitters=2,
            stalls=3,
        ),
        [_posting(1)],
    )
    totals = ledger.totals(GPU)
    assert totals.energy_uj == 1
    assert totals.suspect_uj == {SuspectReason.JUMP: 50}
    assert totals.unmetered_ns == {UnmeteredReason.GAP: 7}
    assert (totals.resets, totals.jitters, totals.stalls) == (1, 2, 3)


@pytest.mark.fault("F84")
@pytest.mark.threat("T12")
def test_beyond_max_series_new_accounts_share_a_rest_and_old_ones_stay() -> None:
    ledger = Ledger(max_series=2)
    for name in ("a", "b", "c", "d", "a"):
        ledger.post(_interval(1), [_posting(1, name)])
    by_workload = {account.owner.workload: uj for account, uj in ledger.accounts().items()}
    assert by_workload == {"a": 2, "b": 1, OTHER: 2}
    assert ledger.folded_series == 2


@pytest.mark.fault("F44")
def test_idle_and_unattributed_are_never_folded() -> None:
    ledger = Ledger(max_series=0)
    ledger.post(_interval(2), [_posting(1, "", Phase.IDLE), _posting(1, "x", Phase.UNATTRIBUTED)])
    assert {account.owner.workload for account in ledger.accounts()} == {"", "x"}


@pytest.mark.fault("F35", "F84")
@given(
    history=st.lists(
        st.lists(st.tuples(st.integers(0, 10**15), st.sampled_from("abcdefgh")), max_size=5),
        max_size=30,
    ),
    max_series=st.integers(0, 8),
)
def test_every_series_is_monotonic_and_the_sum_is_exact_under_any_cap(
    history: list[list[tuple[int, str]]], max_series: int
) -> None:
    ledger = Ledger(max_series)
    expected_uj = 0
    before: dict[Account, int] = {}
    for postings in history:
        energy_uj = sum(energy for energy, _ in postings)
        ledger.post(_interval(energy_uj), [_posting(uj, name) for uj, name in postings])
        expected_uj += energy_uj
        now = dict(ledger.accounts())
        assert all(now[account] >= energy for account, energy in before.items())
        assert sum(now.values()) == ledger.totals(GPU).energy_uj == expected_uj
        before = now
    assert len(before) <= max_series + 1
