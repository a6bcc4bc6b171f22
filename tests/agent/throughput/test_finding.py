"""Where servers listen: on themselves, their parents, their siblings; nobody else is asked."""

import os
from pathlib import Path

from submeter.model import Owner, Phase, ProcessFacts, ProcessKey, ProcessView, Verdict
from submeter.throughput.finding import find, servers_on
from submeter.workloads.lineage import Lineage, lineage, shares_network


class People:
    """Processes by PID: their command line, and where they listen."""

    def __init__(self, **commands: tuple[str, tuple[int, ...]]) -> None:
        self.commands = {int(pid[1:]): said for pid, said in commands.items()}
        self.asked: list[int] = []

    def identify(self, pid: int) -> ProcessKey | None:
        return ProcessKey("boot", pid, 100 * pid) if pid in self.commands else None

    def facts(self, key: ProcessKey) -> ProcessFacts | None:
        return ProcessFacts(key, argv=(self.commands[key.pid][0],))

    def listen_ports(self, key: ProcessKey) -> tuple[int, ...]:
        self.asked.append(key.pid)
        return self.commands[key.pid][1]


def judge(facts: ProcessFacts) -> Verdict:
    phase = Phase.INFERENCE if facts.argv[0].startswith("serve") else Phase.UNKNOWN
    return Verdict(phase, 1.0, (), "recognised")


def family(**parents: int) -> Lineage:
    of = {int(pid[1:]): parent for pid, parent in parents.items()}
    children: dict[int, list[int]] = {}
    for pid, parent in of.items():
        children.setdefault(parent, []).append(pid)
    return Lineage(of, children)


def found(holders: list[int], people: People, tree: Lineage, near: bool = True) -> dict[int, int]:
    keys = [ProcessKey("boot", pid, 100 * pid) for pid in holders]
    return {
        each.address.port: len(each.source.holders)
        for each in find(keys, people, tree, judge, lambda _pid: near)
    }


def test_workers_of_one_server_are_one_source() -> None:
    """vLLM: the API server listens, its engine's workers hold the GPUs."""
    people = People(
        p5=("bash", (22,)), p10=("serve", (8000,)), p11=("serve engine", ()),
        p12=("serve worker", ()), p13=("serve worker", (40_001,)),
    )  # fmt: skip
    tree = family(p5=1, p10=5, p11=10, p12=11, p13=11)
    assert found([12, 13], people, tree) == {8000: 2, 40_001: 2}
    assert 5 not in people.asked  # a shell is no server, and its ports are nobody's business


def test_a_sibling_may_be_the_one_that_listens() -> None:
    """TGI: the launcher starts the router, which listens, and shards, which hold the GPUs."""
    people = People(p10=("serve-launcher", ()), p11=("serve-router", (3000,)), p12=("serve", ()))
    assert found([12], people, family(p10=1, p11=10, p12=10)) == {3000: 1}


def test_two_servers_of_one_shell_are_two() -> None:
    people = People(p5=("bash", ()), p10=("serve", (8000,)), p20=("serve", (8001,)))
    assert found([10, 20], people, family(p5=1, p10=5, p20=5)) == {8000: 1, 8001: 1}


def test_another_networks_loopback_is_not_ours() -> None:
    people = People(p10=("serve", (8000,)))
    assert found([10], people, family(p10=1), near=False) == {}


def test_a_circle_of_parents_ends() -> None:
    assert list(family(p10=11, p11=10).ancestors(10)) == [11]
    assert list(family(p10=11, p11=10).descendants(10)) == [11]


def test_only_recognised_servers_are_looked_at() -> None:
    def view(pid: int, phase: Phase) -> ProcessView:
        verdict = Verdict(phase, 1.0, (), "recognised")
        return ProcessView(ProcessKey("boot", pid, 1), Owner(phase), verdict)

    views = [view(1, Phase.TRAINING), view(2, Phase.INFERENCE), view(3, Phase.UNKNOWN)]
    assert [key.pid for key in servers_on([*views, *views])] == [2]


def test_a_real_tree(tmp_path: Path) -> None:
    assert shares_network(os.getpid()) is True
    assert shares_network(2**30) is None
    assert lineage().parents[os.getpid()] == os.getppid()
    for pid, stat in (("7", "7 (a) b) S 5 0"), ("8", "nonsense"), ("9", "9 (x) S 7")):
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "stat").write_text(stat)
    assert lineage(tmp_path).parents == {7: 5, 9: 7}
