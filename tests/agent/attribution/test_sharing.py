"""One shared GPU: what is learnt decides, programs are remembered, errors are kept for the gone."""

from random import Random

import pytest

from submeter.attribution import Party, Programs, Sharing
from submeter.attribution.learnt import PRIOR_SD, UNKNOWN_FLOOR, Prior, Weights
from submeter.attribution.sharing import _Rates, _Seats
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


def test_a_floor_in_milliwatts_is_known_to_three_watts(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[float, Prior, float, bool]] = []

    def together(_used: object, watts: float, floor: Prior, *, seconds: float, exact: bool) -> bool:
        seen.append((watts, floor, seconds, exact))
        return False

    sharing = Sharing()
    monkeypatch.setattr(sharing._learner, "together", together)
    sharing.together({key(1): 0.5}, 200.0, Floors(60_500, 20_000))
    sharing.together({key(1): 0.5}, -5.0, None, seconds=0.5, exact=True)
    assert seen == [(200.0, Prior(80.5, 3.0), 1.0, False), (0.0, UNKNOWN_FLOOR, 0.5, True)]


def test_power_of_who_is_alone_is_never_negative(monkeypatch: pytest.MonkeyPatch) -> None:
    """Power less the floor is, where the floor was learnt too high."""
    seen: list[tuple[object, float, float]] = []
    sharing = Sharing()
    monkeypatch.setattr(sharing._learner, "alone", lambda *said: seen.append(said))
    for watts in (200.0, -5.0):
        sharing.alone(key(1), 0.5, watts)
    assert seen == [(key(1), 0.5, 200.0), (key(1), 0.5, 0.0)]


def test_programs_are_remembered_by_board_and_kind_the_newest_thousand() -> None:
    programs = Programs()
    programs.remember("H100", TRAINER, 400.0, 200.0)
    assert programs.prior("H100", TRAINER) == Prior(400.0, 200.0)
    programs.remember("H100", TRAINER, 400.0, 1.0)  # the next run is another one
    assert programs.prior("H100", TRAINER) == Prior(400.0, 120.0)
    assert programs.prior("H100", TRAINER._replace(user="eve")) == Prior(400.0, 120.0)
    assert programs.prior("H100", Owner(Phase.INFERENCE, "train")) is None
    programs.remember("H100", Owner(Phase.TRAINING), 400.0, 1.0)
    assert programs.prior("H100", Owner(Phase.TRAINING)) is None
    for number in range(1_023):
        programs.remember("H100", Owner(Phase.OTHER, f"p{number}"), 1.0, 1.0)
    programs.remember("H100", TRAINER, 410.0, 1.0)  # again: it is the newest now
    programs.remember("H100", SERVER, 90.0, 1.0)
    assert programs.prior("H100", TRAINER) == Prior(410.0, 123.0)
    assert programs.prior("H100", Owner(Phase.OTHER, "p0")) is None
    assert programs.prior("H100", Owner(Phase.OTHER, "p1")) is not None


def test_rates_are_learnt_watts_or_what_is_common() -> None:
    seats = _Seats()
    a, b, stranger = (seats.number(Party(one, TRAINER)) for one in (key(1), key(2), key(3)))
    assert (a, b, stranger) == (0, 1, 2)
    assert seats.number(Party(key(1), TRAINER)) == a
    other_labels = seats.number(Party(key(1), SERVER))
    nothing = _Rates(None, seats)
    assert [nothing.of(a), nothing.covariance(a, b)] == [1.0, 0.0]
    assert nothing.covariance(a, a) == nothing.covariance(a, other_labels) == PRIOR_SD**2
    assert (nothing.floor, nothing.exact) == (None, False)

    def weights(*, learnt: bool) -> Weights[ProcessKey | None]:
        return Weights(
            keys=(key(1), key(2)),
            watts=(450.0, 0.0),
            covariance=((9.0, 2.0), (2.0, 16.0)),
            slope=250.0,
            learnt=learnt,
            floor=Prior(70.0, 3.0),
            exact=True,
            index={key(1): 0, key(2): 1},
        )

    rates = _Rates(weights(learnt=True), seats)
    assert [rates.of(seat) for seat in (a, b, stranger)] == [450.0, 1e-9, 250.0]
    assert [rates.covariance(a, a), rates.covariance(a, b)] == [9.0, 2.0]
    assert rates.covariance(stranger, stranger) == pytest.approx((PRIOR_SD * 250) ** 2)
    assert rates.covariance(a, stranger) == rates.covariance(stranger, b) == 0.0
    assert rates.whose(other_labels) == key(1)
    assert (rates.floor, rates.exact) == (Prior(70.0, 3.0), True)
    # not learnt: how far from the common slope they seem to be is an error, too
    unlearnt = _Rates(weights(learnt=False), seats)
    assert unlearnt.of(a) == 250.0
    assert unlearnt.covariance(a, a) == 9.0 + 200.0**2
    assert unlearnt.covariance(a, b) == 2.0 - 200.0 * 250.0
    seats.leave(a)
    assert seats.number(Party(key(1), TRAINER)) == 4, "a number is never used again"


def test_errors_are_found_out_half_a_minute_after_the_first_was_booked(
    holders: dict[ProcessKey, Owner],
) -> None:
    sharing = Sharing()
    sharing.present(holders)
    parties = {Party(one, owner): 0.3 for one, owner in holders.items()}
    found = []
    for second in range(1, 60):
        sharing.allot(parties, 10**8, 1.0)
        if sharing.standard_errors():
            found.append(second)
    assert 30 <= found[0] <= 33
    assert found == list(range(found[0], 60))


def test_the_errors_of_one_owner_are_of_all_his_processes_together() -> None:
    """Two that are one owner's, sharing with nobody else: no error, whoever of them it was."""
    sharing = Sharing()
    both = {key(1): TRAINER, key(2): TRAINER}
    sharing.present(both)
    for _ in range(100):
        sharing.allot({Party(one, TRAINER): 0.3 for one in both}, 10**8, 1.0)
    assert sharing.standard_errors(now=True) == {(TRAINER, ""): 0}
