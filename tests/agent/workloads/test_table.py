import gc
from dataclasses import replace

import pytest

from submeter.model import Phase, ProcessFacts, ProcessKey
from submeter.units import NS_PER_S
from submeter.workloads import ProcessTable

CANARY = "CANARY-9f3"
KEY = ProcessKey("boot", 1, 1)


class Script:
    """A process source that says what the test says, and counts who asks."""

    def __init__(self, *facts: ProcessFacts) -> None:
        self.processes: dict[ProcessKey, ProcessFacts | None] = {one.key: one for one in facts}
        self.asked: list[ProcessKey] = []

    def facts(self, key: ProcessKey) -> ProcessFacts | None:
        self.asked.append(key)
        return self.processes.get(key)


class ScriptWithPorts(Script):
    def __init__(self, *facts: ProcessFacts) -> None:
        super().__init__(*facts)
        self.ports: dict[ProcessKey, tuple[int, ...]] = {}
        self.files: dict[ProcessKey, tuple[str, ...]] = {}
        self.asked_ports: list[ProcessKey] = []

    def listen_ports(self, key: ProcessKey) -> tuple[int, ...]:
        self.asked_ports.append(key)
        return self.ports.get(key, ())

    def libraries(self, key: ProcessKey) -> tuple[str, ...]:
        return ()

    def writing(self, key: ProcessKey) -> tuple[str, ...]:
        return self.files.get(key, ())


def test_it_says_who_that_is() -> None:
    table = ProcessTable(Script(_facts("python train.py")))
    table.observe([KEY], 0)
    seen = table.view(KEY)
    assert seen is not None
    assert (seen.owner.phase, seen.owner.workload) == (Phase.TRAINING, "train.py")
    assert seen.verdict.phase is Phase.TRAINING


def test_who_can_not_be_told_is_nobody_and_asked_for_again() -> None:
    source = Script()
    table = ProcessTable(source)
    table.observe([KEY], 0)
    assert table.view(KEY) is None
    source.processes[KEY] = _facts("python train.py")
    table.observe([KEY], NS_PER_S)
    assert table.view(KEY) is not None
    assert table.view(ProcessKey("boot", 1, 2)) is None


def test_the_young_are_looked_at_again_the_known_then_never() -> None:
    source = Script(_facts("python train.py"))
    table = ProcessTable(source)
    looks = _looks(source, table, seconds=400)
    assert looks == [0, 1, 5, 30]


def test_the_unknown_are_looked_at_every_minute() -> None:
    source = Script(_facts("python main.py"))
    table = ProcessTable(source)
    assert _looks(source, table, seconds=250) == [0, 1, 5, 30, 60, 120, 180, 240]


@pytest.mark.fault("F48")
def test_what_becomes_clear_late_counts_from_then_on() -> None:
    source = Script(_facts("bash"))
    table = ProcessTable(source)
    table.observe([KEY], 0)
    before = table.view(KEY)
    source.processes[KEY] = _facts("python train.py")
    table.observe([KEY], NS_PER_S)
    after = table.view(KEY)
    assert before is not None
    assert after is not None
    assert (before.owner.phase, before.owner.workload) == (Phase.UNKNOWN, "bash")
    assert (after.owner.phase, after.owner.workload) == (Phase.TRAINING, "train.py")


def test_it_says_whether_anybody_became_another() -> None:
    source = Script(_facts("bash"))
    table = ProcessTable(source)
    seen: list[int] = []
    for at_s, line in enumerate(["bash", "bash", "python train.py", "python train.py"]):
        source.processes[KEY] = _facts(line)
        before, known = table.changes, table.view(KEY)
        table.observe([KEY], at_s * 60 * NS_PER_S)
        now = table.view(KEY)
        assert now is not None
        same = known is not None and (known.owner, known.verdict) == (now.owner, now.verdict)
        assert (table.changes == before) == same
        seen.append(table.changes)
    table.observe([], 10_000 * NS_PER_S)
    assert seen == [1, 1, 2, 2]
    assert (table.view(KEY), table.changes) == (None, 3)


@pytest.mark.parametrize("later", [None, "", "python main.py"])
def test_what_was_clear_stays_clear(later: str | None) -> None:
    source = Script(_facts("python train.py"))
    table = ProcessTable(source)
    table.observe([KEY], 0)
    source.processes[KEY] = None if later is None else _facts(later)
    table.observe([KEY], NS_PER_S)
    seen = table.view(KEY)
    assert seen is not None
    assert seen.owner.phase is Phase.TRAINING
    assert seen.owner.workload == ("main.py" if later else "train.py")


def test_ports_are_looked_at_where_nothing_else_helps_one_process_at_a_time() -> None:
    keys = [ProcessKey("boot", pid, 1) for pid in range(4)]
    known = ProcessKey("boot", 9, 1)
    source = ScriptWithPorts(
        *(_facts("python main.py", key) for key in keys), _facts("python train.py", known)
    )
    source.ports = dict.fromkeys(keys[1:], (8000,))
    table = ProcessTable(source)
    for second in range(4):
        table.observe([*keys, known], second * NS_PER_S)
        assert len(source.asked_ports) == second + 1
    assert set(source.asked_ports) == set(keys)
    phases = [seen.owner.phase for key in keys if (seen := table.view(key))]
    assert phases == [Phase.UNKNOWN, Phase.INFERENCE, Phase.INFERENCE, Phase.INFERENCE]
    _looks(source, table, seconds=40, keys=keys, start=4)
    assert known not in source.asked_ports
    after = [seen.owner.phase for key in keys if (seen := table.view(key))]
    assert after == phases


def test_the_dead_are_kept_for_a_while_then_forgotten() -> None:
    table = ProcessTable(Script(_facts("python train.py")), grace_ns=10 * NS_PER_S)
    table.observe([KEY], 0)
    table.observe([], 10 * NS_PER_S)
    assert table.view(KEY) is not None
    table.observe([], 20 * NS_PER_S)
    assert table.view(KEY) is None
    assert len(table) == 0


def test_the_living_are_never_forgotten() -> None:
    table = ProcessTable(Script(_facts("python train.py")), grace_ns=10 * NS_PER_S)
    for second in range(0, 100, 9):
        table.observe([KEY], second * NS_PER_S)
    assert table.view(KEY) is not None


def test_it_is_bounded() -> None:
    keys = [ProcessKey("boot", pid, 1) for pid in range(50)]
    table = ProcessTable(Script(*(_facts("python main.py", key) for key in keys)), limit=10)
    table.observe(keys, 0)
    assert len(table) == 10
    assert table.view(keys[9]) is not None
    assert table.view(keys[10]) is None


def test_a_reused_pid_is_somebody_else() -> None:
    other = KEY._replace(start_ticks=2)
    table = ProcessTable(Script(_facts("python train.py"), _facts("vllm serve m", other)))
    table.observe([KEY, other], 0)
    first, second = table.view(KEY), table.view(other)
    assert first is not None
    assert second is not None
    assert (first.owner.phase, second.owner.phase) == (Phase.TRAINING, Phase.INFERENCE)


@pytest.mark.threat("T1")
@pytest.mark.parametrize("line", ["python main.py", "vllm serve m", "python -c x", "sudo x"])
def test_nothing_of_a_command_line_or_environment_is_kept(line: str) -> None:
    facts = replace(
        _facts(f"{line} --password {CANARY} --key={CANARY} {CANARY}"),
        environ={"RANK": CANARY, "SUBMETER_PHASE": CANARY, "MASTER_PORT": CANARY},
    )
    source = ScriptWithPorts(facts)
    table = ProcessTable(source)
    for second in range(70):
        table.observe([KEY], second * NS_PER_S)
    source.processes.clear()
    assert CANARY not in _everything(table)
    assert CANARY in _everything([table, [facts]])  # or this test would prove nothing


def _everything(root: object) -> str:
    """The repr of all that can be reached from it, module internals left out."""
    seen: dict[int, object] = {}
    todo = [root]
    while todo:
        one = todo.pop()
        if id(one) in seen or isinstance(one, type) or callable(one):
            continue
        seen[id(one)] = one
        todo.extend(gc.get_referents(one))
    return "\n".join(str(one) for one in seen.values() if isinstance(one, str | bytes | tuple))


def _looks(
    source: Script,
    table: ProcessTable,
    *,
    seconds: int,
    keys: list[ProcessKey] | None = None,
    start: int = 0,
) -> list[int]:
    """The seconds at which the source was asked."""
    looks = []
    for second in range(start, start + seconds):
        before = len(source.asked)
        table.observe(keys or [KEY], second * NS_PER_S)
        if len(source.asked) > before:
            looks.append(second)
    return looks


def _facts(line: str, key: ProcessKey = KEY) -> ProcessFacts:
    return ProcessFacts(key, argv=tuple(line.split()), comm="python3")


def test_who_writes_checkpoints_trains() -> None:
    source = ScriptWithPorts(_facts("python run.py"))
    table = ProcessTable(source)
    source.files[KEY] = ("checkpoints",)
    table.observe([KEY], 0)
    seen = table.view(KEY)
    assert seen is not None
    assert seen.owner.phase is Phase.TRAINING
    assert seen.verdict.evidence == ("writes checkpoints",)
