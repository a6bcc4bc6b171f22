"""Questions on the agent's socket: what whole GPUs draw is for all, what was used for its user."""

from typing import Any

import pytest

from submeter.runtime.answers import answers
from submeter.runtime.labels import Answer, Who
from submeter.testing import snapshots

_ALICE, _BOB = 1_001, 1_002


def _answer(notice: str = "") -> Answer:
    names = {_ALICE: "alice", _BOB: "bob"}
    return answers(snapshots.node, lambda: (), names.__getitem__, lambda: notice)


def _used(uid: int, workload: str = snapshots.TRAINER.workload) -> Any:
    found = _answer()({"ask": "used", "workload": workload}, Who(1, uid))
    return None if found is None else found["used"]


def test_what_is_to_be_known_of_the_figures_is_said_as_it_is_now() -> None:
    """A recording is over at some time: what plays no more is not said to play."""
    notices = ["a recording plays", ""]
    answer = answers(lambda: None, lambda: (), str, lambda: notices.pop(0))
    assert answer({"ask": "gpus"}, Who(1, _ALICE)) == {"gpus": [], "notice": "a recording plays"}
    assert answer({"ask": "gpus"}, Who(1, _ALICE)) == {"gpus": []}


def test_a_workload_s_energy_is_for_its_user_and_root() -> None:
    energy_uj = sum(
        value
        for account, value in snapshots.node().energy_uj.items()
        if account.owner.workload == snapshots.TRAINER.workload
    )
    assert sum(_used(_ALICE).values()) == energy_uj > 0
    assert sum(_used(0).values()) == energy_uj
    assert _used(_BOB) == {}


@pytest.mark.parametrize(
    "question", [{"ask": "else"}, {"ask": "used"}, {"ask": "used", "workload": 3}]
)
def test_what_is_not_understood_is_not_answered(question: dict[str, object]) -> None:
    assert _answer()(question, Who(1, _ALICE)) is None
