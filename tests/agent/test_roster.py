"""A roster is the views of its processes, made when somebody looks."""

from submeter.model import (
    Account,
    Component,
    Holder,
    Owner,
    Phase,
    ProcessKey,
    ProcessView,
    Verdict,
)
from submeter.roster import Roster, judged

TRAINER, SERVER = Owner(Phase.TRAINING, "llama"), Owner(Phase.INFERENCE, "vllm")
SURE, UNSURE = (
    Verdict(Phase.TRAINING, 1.0, (), "declared"),
    Verdict(Phase.INFERENCE, 0.6, (), "rule"),
)
HELD = [(Holder(pid, memory_bytes=pid << 20), ProcessKey("b", pid, 1)) for pid in (1, 2, 3)]
POWER_MW = {
    Account("GPU-0", "", Component.DYNAMIC, TRAINER): 200_001,
    Account("GPU-0", "", Component.IDLE, TRAINER): 40_000,
    Account("GPU-0", "", Component.DYNAMIC, SERVER): 90_000,
}
ROSTER = Roster(HELD, [TRAINER, SERVER, TRAINER], [SURE, UNSURE, SURE], POWER_MW)


def test_processes_of_one_owner_share_its_power_alike() -> None:
    views = tuple(ROSTER)
    assert [view.power_mw for view in views] == [120_000, 90_000, 120_000]
    assert views[1] == ProcessView(HELD[1][1], SERVER, UNSURE, "compute", 2 << 20, 90_000)


def test_it_is_a_sequence_of_views() -> None:
    views = tuple(ROSTER)
    assert views == ROSTER
    assert views[:2] != ROSTER
    assert (len(ROSTER), ROSTER[-1], ROSTER[:2]) == (3, views[-1], views[:2])


def test_at_another_moment_the_same_draw_something_else() -> None:
    later = ROSTER.drawing({account: 2 * power_mw for account, power_mw in POWER_MW.items()})
    assert [view.power_mw for view in later] == [240_001, 180_000, 240_001]
    assert judged(later) == judged(ROSTER)


def test_who_draws_nothing_has_nothing() -> None:
    assert [view.power_mw for view in Roster(HELD[:1], [TRAINER], [SURE], {})] == [0]
    assert not Roster([], [], [], POWER_MW)


def test_columns_are_the_same_of_views_made_by_hand() -> None:
    assert (
        judged(ROSTER)
        == judged(tuple(ROSTER))
        == ((TRAINER, SERVER, TRAINER), (SURE, UNSURE, SURE))
    )
