"""Who used an interval's energy, case by case."""

from collections.abc import Iterable

import pytest

from submeter.attribution import split
from submeter.model import (
    Component,
    EnergySource,
    Floors,
    Interval,
    Method,
    Owner,
    Phase,
    Posting,
    Usage,
)
from submeter.units import NS_PER_S, UJ_PER_J

JOULE = UJ_PER_J
TRAINER = Owner(Phase.TRAINING, workload="train")
SERVER = Owner(Phase.INFERENCE, workload="serve")
FLOORS = Floors(idle_mw=70_000, context_mw=40_000)
UNLEARNT = Floors()

Row = tuple[str, Component, Method, int]


def interval(joules: int = 300, *, observed: bool = True) -> Interval:
    return Interval(
        gpu_uuid="GPU-1",
        epoch=0,
        start_ns=5 * NS_PER_S,
        end_ns=6 * NS_PER_S,
        energy_uj=joules * JOULE,
        source=EnergySource.COUNTER,
        observed=observed,
    )


def rows(postings: Iterable[Posting]) -> set[Row]:
    """(phase and workload, component, method, whole joules)"""
    return {
        (
            f"{p.account.owner.phase} {p.account.owner.workload}".strip(),
            p.account.component,
            p.method,
            p.energy_uj // JOULE,
        )
        for p in postings
    }


IDLE, CONTEXT, DYNAMIC = Component.IDLE, Component.CONTEXT, Component.DYNAMIC


class TestNobodyToBill:
    def test_no_energy_no_postings(self) -> None:
        assert split(interval(0), Usage(), FLOORS) == ()

    def test_time_that_nobody_watched(self) -> None:
        held = Usage(holders=(TRAINER,))
        assert rows(split(interval(observed=False), held, FLOORS)) == {
            ("unattributed (not observed)", DYNAMIC, Method.UNATTRIBUTED, 300)
        }

    def test_a_driver_that_can_not_list_holders(self) -> None:
        assert rows(split(interval(), None, FLOORS)) == {
            ("unattributed (unknown holders)", DYNAMIC, Method.UNATTRIBUTED, 300)
        }

    @pytest.mark.fault("F44")
    def test_nobody_holds_it(self) -> None:
        for floors in (FLOORS, UNLEARNT):
            assert rows(split(interval(), Usage(), floors)) == {("idle", IDLE, Method.IDLE, 300)}

    @pytest.mark.parametrize("foreign", [1, 9])
    @pytest.mark.parametrize("held", [(), (TRAINER, SERVER)])
    def test_who_alone_worked_has_all_of_it_however_little(
        self, held: tuple[Owner, ...], foreign: int
    ) -> None:
        usage = Usage(holders=held, sm_time={}, foreign_sm_time=foreign)
        assert ("unattributed (unknown process)", DYNAMIC, Method.UNATTRIBUTED, 300) in rows(
            split(interval(), usage, UNLEARNT)
        )

    def test_nobody_is_listed_but_strangers_worked(self) -> None:
        assert rows(split(interval(), Usage(sm_time={}, foreign_sm_time=9), FLOORS)) == {
            ("idle", IDLE, Method.IDLE, 70),
            ("unattributed (unknown process)", DYNAMIC, Method.UNATTRIBUTED, 230),
        }


class TestOneOwner:
    def test_all_of_it_in_three_layers(self) -> None:
        assert rows(split(interval(), Usage(holders=(TRAINER,)), FLOORS)) == {
            ("training train", IDLE, Method.EXCLUSIVE, 70),
            ("training train", CONTEXT, Method.EXCLUSIVE, 40),
            ("training train", DYNAMIC, Method.EXCLUSIVE, 190),
        }

    def test_before_the_floors_are_learnt_all_is_work(self) -> None:
        assert rows(split(interval(), Usage(holders=(TRAINER,)), UNLEARNT)) == {
            ("training train", DYNAMIC, Method.EXCLUSIVE, 300)
        }

    def test_eight_processes_of_one_job_need_no_signal(self) -> None:
        postings = split(interval(), Usage(holders=(TRAINER,) * 8), UNLEARNT)
        assert rows(postings) == {("training train", DYNAMIC, Method.EXCLUSIVE, 300)}

    def test_less_than_the_floor_is_all_floor(self) -> None:
        assert rows(split(interval(50), Usage(holders=(TRAINER,)), FLOORS)) == {
            ("training train", IDLE, Method.EXCLUSIVE, 50)
        }

    @pytest.mark.fault("F23")
    def test_a_pid_that_means_nothing_is_unattributed_by_method_too(self) -> None:
        nobody = Owner(Phase.UNATTRIBUTED, workload="(unresolved)")
        assert rows(split(interval(), Usage(holders=(nobody,)), UNLEARNT)) == {
            ("unattributed (unresolved)", DYNAMIC, Method.UNATTRIBUTED, 300)
        }

    def test_a_stranger_beside_it_gets_its_share(self) -> None:
        usage = Usage(holders=(TRAINER,), sm_time={0: 75}, foreign_sm_time=25)
        assert rows(split(interval(), usage, UNLEARNT)) == {
            ("training train", DYNAMIC, Method.PROPORTIONAL, 225),
            ("unattributed (unknown process)", DYNAMIC, Method.UNATTRIBUTED, 75),
        }


class TestSeveral:
    def test_floors_equally_and_work_by_sm_time(self) -> None:
        usage = Usage(holders=(TRAINER, SERVER), sm_time={0: 90, 1: 10})
        assert rows(split(interval(), usage, FLOORS)) == {
            ("training train", IDLE, Method.EQUAL, 35),
            ("inference serve", IDLE, Method.EQUAL, 35),
            ("training train", CONTEXT, Method.EQUAL, 20),
            ("inference serve", CONTEXT, Method.EQUAL, 20),
            ("training train", DYNAMIC, Method.PROPORTIONAL, 171),
            ("inference serve", DYNAMIC, Method.PROPORTIONAL, 19),
        }

    def test_presence_is_by_holder_not_by_owner(self) -> None:
        usage = Usage(holders=(TRAINER, TRAINER, TRAINER, SERVER), sm_time={0: 1, 1: 1, 2: 1, 3: 1})
        postings = split(interval(280), usage, Floors(idle_mw=80_000))
        assert rows(postings) == {
            ("training train", IDLE, Method.EQUAL, 60),
            ("inference serve", IDLE, Method.EQUAL, 20),
            ("training train", DYNAMIC, Method.PROPORTIONAL, 150),
            ("inference serve", DYNAMIC, Method.PROPORTIONAL, 50),
        }
        assert len({p.account for p in postings}) == len(postings)

    def test_who_did_not_work_pays_for_no_work(self) -> None:
        usage = Usage(holders=(TRAINER, SERVER), sm_time={0: 5})
        assert rows(split(interval(), usage, UNLEARNT)) == {
            ("training train", DYNAMIC, Method.PROPORTIONAL, 300)
        }

    @pytest.mark.threat("T27")
    def test_strangers_work_is_nobodys(self) -> None:
        usage = Usage(holders=(TRAINER, SERVER), sm_time={0: 50, 1: 25}, foreign_sm_time=25)
        assert rows(split(interval(), usage, UNLEARNT)) == {
            ("training train", DYNAMIC, Method.PROPORTIONAL, 150),
            ("inference serve", DYNAMIC, Method.PROPORTIONAL, 75),
            ("unattributed (unknown process)", DYNAMIC, Method.UNATTRIBUTED, 75),
        }

    @pytest.mark.fault("F45")
    def test_nobody_worked_and_the_floor_is_not_learnt(self) -> None:
        usage = Usage(holders=(TRAINER, SERVER), sm_time={0: 0, 1: 0})
        assert rows(split(interval(120), usage, UNLEARNT)) == {
            ("training train", IDLE, Method.EQUAL, 60),
            ("inference serve", IDLE, Method.EQUAL, 60),
        }

    def test_nobody_worked_and_what_exceeds_the_floor_is_presence(self) -> None:
        usage = Usage(holders=(TRAINER, SERVER), sm_time={})
        for floors in (FLOORS, Floors(idle_mw=70_000)):
            assert rows(split(interval(130), usage, floors)) == {
                ("training train", IDLE, Method.EQUAL, 35),
                ("inference serve", IDLE, Method.EQUAL, 35),
                ("training train", CONTEXT, Method.EQUAL, 30),
                ("inference serve", CONTEXT, Method.EQUAL, 30),
            }

    @pytest.mark.fault("F45")
    def test_without_a_signal_no_honest_split_exists_beyond_the_floor(self) -> None:
        usage = Usage(holders=(TRAINER, SERVER))
        assert rows(split(interval(), usage, FLOORS)) == {
            ("training train", IDLE, Method.EQUAL, 35),
            ("inference serve", IDLE, Method.EQUAL, 35),
            ("training train", CONTEXT, Method.EQUAL, 20),
            ("inference serve", CONTEXT, Method.EQUAL, 20),
            ("unattributed (no signal)", DYNAMIC, Method.UNATTRIBUTED, 190),
        }

    @pytest.mark.fault("F47")
    def test_single_microjoules_go_round(self) -> None:
        usage = Usage(holders=(TRAINER, SERVER), sm_time={0: 1, 1: 1})
        odd = Interval("GPU-1", 0, 0, NS_PER_S, 5, EnergySource.COUNTER)
        sums = {TRAINER: 0, SERVER: 0}
        for turn in range(10):
            for posting in split(odd, usage, UNLEARNT, turn):
                sums[posting.account.owner] += posting.energy_uj
        assert sums == {TRAINER: 25, SERVER: 25}


class TestMig:
    def test_one_owner_on_two_instances_is_two_accounts_and_needs_a_signal(self) -> None:
        usage = Usage(holders=(TRAINER, TRAINER), mig=("1g.10gb/7", "2g.20gb/3"))
        postings = split(interval(), usage, FLOORS)
        assert {(p.account.mig, p.account.component, p.energy_uj // JOULE) for p in postings} == {
            ("1g.10gb/7", IDLE, 35),
            ("2g.20gb/3", IDLE, 35),
            ("1g.10gb/7", CONTEXT, 20),
            ("2g.20gb/3", CONTEXT, 20),
            ("", DYNAMIC, 190),
        }

    def test_one_holder_of_one_instance_is_exclusive(self) -> None:
        (posting,) = split(interval(), Usage(holders=(TRAINER,), mig=("1g.10gb/7",)), UNLEARNT)
        assert (posting.account.mig, posting.method) == ("1g.10gb/7", Method.EXCLUSIVE)

    def test_busy_time_of_instances_decides(self) -> None:
        usage = Usage(
            holders=(TRAINER, SERVER, SERVER),
            mig=("3g.40gb/1", "1g.10gb/7", "1g.10gb/8"),
            sm_time={0: 150, 1: 100, 2: 0},
        )
        dynamic = [p for p in split(interval(260), usage, FLOORS) if p.account.component is DYNAMIC]
        assert {(p.account.mig, p.method, p.energy_uj // JOULE) for p in dynamic} == {
            ("3g.40gb/1", Method.MIG, 90),
            ("1g.10gb/7", Method.MIG, 60),
        }

    def test_learnt_weights_decide_here_too(self) -> None:
        usage = Usage((TRAINER, SERVER), {0: 30, 1: 10}, mig=("3g.40gb/1", "1g.10gb/7"),
                      weights={0: 100, 1: 50})  # fmt: skip
        dynamic = [p for p in split(interval(260), usage, FLOORS) if p.account.component is DYNAMIC]
        assert [(p.account.mig, p.method, p.energy_uj // JOULE) for p in dynamic] == [
            ("3g.40gb/1", Method.WEIGHTED, 100),
            ("1g.10gb/7", Method.WEIGHTED, 50),
        ]

    @pytest.mark.threat("T27")
    def test_an_instance_that_works_for_strangers_is_nobody_s(self) -> None:
        usage = Usage((TRAINER,), {0: 10}, foreign_sm_time=20, mig=("1g.10gb/7",))
        dynamic = {p.method: p for p in split(interval(260), usage, FLOORS)
                   if p.account.component is DYNAMIC}  # fmt: skip
        assert dynamic[Method.UNATTRIBUTED].energy_uj == 100 * JOULE
        assert dynamic[Method.MIG].energy_uj == 50 * JOULE

    def test_no_instance_was_busy(self) -> None:
        usage = Usage((TRAINER, SERVER), {0: 0, 1: 0}, mig=("3g.40gb/1", "1g.10gb/7"))
        postings = split(interval(), usage, FLOORS)
        assert {p.account.component for p in postings} == {IDLE, CONTEXT}

    def test_nobody_knows_which_instance_was_busy(self) -> None:
        usage = Usage((TRAINER, SERVER), mig=("3g.40gb/1", "1g.10gb/7"))
        dynamic = [p for p in split(interval(), usage, FLOORS) if p.account.component is DYNAMIC]
        assert [p.method for p in dynamic] == [Method.UNATTRIBUTED]


class TestWeights:
    def test_learnt_weights_decide_instead_of_sm_time(self) -> None:
        usage = Usage((TRAINER, SERVER), {0: 50, 1: 50}, weights={0: 300, 1: 100})
        dynamic = [p for p in split(interval(260), usage, FLOORS) if p.account.component is DYNAMIC]
        assert [(p.method, p.energy_uj // JOULE) for p in dynamic] == [
            (Method.WEIGHTED, 112),
            (Method.WEIGHTED, 37),
        ]

    def test_strangers_have_their_weight(self) -> None:
        usage = Usage((TRAINER, SERVER), {0: 50}, 50, weights={0: 300}, foreign_weight=100)
        dynamic = [p for p in split(interval(260), usage, FLOORS) if p.account.component is DYNAMIC]
        assert [(p.method, p.energy_uj // JOULE) for p in dynamic] == [
            (Method.WEIGHTED, 112),
            (Method.UNATTRIBUTED, 37),
        ]

    def test_weights_of_nobody_fall_back_to_sm_time(self) -> None:
        usage = Usage((TRAINER, SERVER), {0: 50, 1: 50}, weights={})
        dynamic = [p for p in split(interval(260), usage, FLOORS) if p.account.component is DYNAMIC]
        assert {p.method for p in dynamic} == {Method.PROPORTIONAL}
