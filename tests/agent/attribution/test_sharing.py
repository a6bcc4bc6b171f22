"""One shared GPU: what is learnt decides, programs are remembered, errors are kept for the gone."""

from random import Random

import pytest

from submeter.attribution import Party, Programs, Sharing
from submeter.model import Floors, Owner, Phase, ProcessKey

TRAINER = Owner(Phase.TRAINING, "train")
SERVER = Owner(Phase.INFERENCE, "serve")
WATTS = {TRAINER: 450.0, SERVER: 90.0}


def key(pid: int) -> ProcessKey:
    return ProcessKey("boot", pid, pid)


def share(sharing: Sharing, holders: dict[ProcessKey, Owner], seconds: int) -> dict[Owner, float]:
    """µJ booked; the processes are on and off by turns."""
    booked = dict.fromkeys(holders.values(), 0.0)
    sharing.present(holders)
    for second in range(seconds):
        used = {one: 0.4 if (second // (7 + 6 * i)) % 2 else 0.05 for i, one in enumerate(holders)}
        watts = sum(WATTS[owner] * used[one] for one, owner in holders.items())
        sharing.together(dict(used.items()), watts, Floors())
        parties = {Party(one, owner): used[one] for one, owner in holders.items()}
        allotment = sharing.allot(parties, round(watts * 1e6), 1.0)
        for party, part in allotment.weights.items():
            assert party.owner is not None
            booked[party.owner] += part
    return booked


@pytest.fixture
def holders() -> dict[ProcessKey, Owner]:
    return {key(1): TRAINER, key(2): SERVER}


def test_sums_come_out_right_though_the_first_minute_was_booked_by_time(
    holders: dict[ProcessKey, Owner],
) -> None:
    sharing = Sharing()
    booked = share(sharing, holders, 600)
    on = {one: sum(0.4 if (s // (7 + 6 * i)) % 2 else 0.05 for s in range(600))
          for i, one in enumerate(holders)}  # fmt: skip
    for one, owner in holders.items():
        assert booked[owner] == pytest.approx(on[one] * WATTS[owner] * 1e6, rel=0.02)


def test_the_next_run_of_a_program_starts_with_what_was_learnt(
    holders: dict[ProcessKey, Owner],
) -> None:
    programs = Programs()
    share(Sharing("H100", programs), holders, 600)
    prior = programs.prior("H100", TRAINER)
    assert prior is not None
    assert prior.watts == pytest.approx(WATTS[TRAINER], rel=0.1)
    assert programs.prior("A100", TRAINER) is None
    assert programs.prior("H100", Owner(Phase.UNKNOWN)) is None


def test_equal_errors_for_two_and_none_before_anything_was_split(
    holders: dict[ProcessKey, Owner],
) -> None:
    sharing = Sharing()
    assert sharing.standard_errors(now=True) == {}
    booked = share(sharing, holders, 300)
    errors = sharing.standard_errors(now=True)
    assert errors[TRAINER, ""] == pytest.approx(errors[SERVER, ""], rel=0.01)
    assert 0 < errors[TRAINER, ""] < 0.2 * sum(booked.values())


def test_the_errors_of_those_who_have_gone_stay(holders: dict[ProcessKey, Owner]) -> None:
    sharing = Sharing()
    share(sharing, holders, 300)
    before = sharing.standard_errors(now=True)
    later = Owner(Phase.OTHER, "later")
    WATTS[later] = 100.0
    share(sharing, {key(1): TRAINER, key(3): later}, 64 * 61 + 120)
    after = sharing.standard_errors(now=True)
    assert after[SERVER, ""] > 0.2 * before[SERVER, ""]
    assert set(after) == {(TRAINER, ""), (SERVER, ""), (later, "")}


def test_strangers_are_a_party_without_an_owner(holders: dict[ProcessKey, Owner]) -> None:
    sharing = Sharing()
    sharing.present(holders)
    for _ in range(40):
        sharing.together({key(1): 0.3, None: 0.2}, 150.0, Floors())
        allotment = sharing.allot({Party(key(1), TRAINER): 0.3, Party(None, None): 0.2}, 1000, 1.0)
    assert sum(allotment.weights.values()) == pytest.approx(1000, abs=2)
    assert allotment.weights[Party(None, None)] > 0
    assert set(sharing.standard_errors(now=True)) == {(TRAINER, "")}


@pytest.mark.parametrize("noisy", [True, False])
@pytest.mark.parametrize("constant", [0.1, 0.4])
def test_who_is_always_there_is_not_silently_taken_for_the_floor(
    holders: dict[ProcessKey, Owner], noisy: bool, constant: float
) -> None:
    """A board that was never quiet, one process that never changes: whatever is booked to it, its
    true work lies within two standard errors."""
    random = Random(3)
    sharing = Sharing()
    sharing.present(holders)
    steady, other = holders
    booked = true = 0.0
    for second in range(600):
        used = {steady: constant, other: 0.5 if second // 9 % 2 else 0.05}
        watts = 100 + sum(WATTS[holders[one]] * share for one, share in used.items())
        seen = dict(used)
        if noisy:
            drawn = random.choices(list(used), list(used.values()), k=7)
            seen = {one: sum(used.values()) * drawn.count(one) / 7 for one in used}
        sharing.together(dict(seen.items()), watts, None)
        parties = {Party(one, holders[one]): share for one, share in seen.items()}
        parts = sharing.allot(parties, round(watts * 1e6), 1.0, 0).weights
        booked += parts.get(Party(steady, TRAINER), 0) / 1e6
        true += WATTS[TRAINER] * constant
    error = sharing.standard_errors(now=True)[TRAINER, ""] / 1e6
    assert abs(booked - true) < 2 * error
