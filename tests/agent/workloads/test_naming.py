import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.model import Owner, Phase, ProcessFacts, ProcessKey, Verdict
from submeter.workloads.naming import NAMELESS, owner, tidy

KEY = ProcessKey("boot", 1, 1)
TRAINS = Verdict(Phase.TRAINING, 0.9, ("because",), "recognised")
UID = "0f5e1f2a-1b2c-4d3e-8f90-a1b2c3d4e5f6"
POD = f"0::/kubepods/pod{UID}/{'3f1c' * 16}"


def test_the_most_stable_name_there_is() -> None:
    argv = ("python3", "/srv/x/train.py", "--token", "CANARY")
    job = "6:freezer:/slurm/uid_7/job_9/step_0"
    declared = {"SUBMETER_WORKLOAD": "my run"}
    assert _name(argv=argv, cgroup=POD, environ=declared) == "my run"
    assert _name(argv=argv, cgroup=POD) == UID
    assert _name(argv=argv, cgroup=job) == "job 9"
    assert _name(argv=argv, cgroup=f"0::/docker/{'ab' * 32}") == "abababababab"
    assert _name(argv=argv, cgroup="0::/system.slice/ollama.service") == "ollama.service"
    assert _name(argv=argv, cgroup="0::/user.slice/user-1.slice/session-3.scope") == "train.py"
    assert _name(argv=("python3", "-m", "pkg.train", "CANARY")) == "pkg.train"
    assert _name(argv=("/opt/bin/llama-server", "-m", "CANARY")) == "llama-server"
    assert _name(argv=("torchrun", "--nproc-per-node", "2", "a/b.py")) == "b.py"
    assert _name(comm="python3") == "python3"
    assert _name() == NAMELESS


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("VLLM::EngineCore", "VLLM::EngineCore"),
        ("ray::PPO.train_buffered()", "ray::PPO"),
        ("ray::ServeReplica:app:qwen2.5", "ray::ServeReplica:app:qwen2.5"),
        ("/opt/chrome/chrome --type=gpu --key=CANARY", "chrome"),
        ("postgres: CANARY", "postgres"),
        ("python train.py --password CANARY", "python"),
    ],
)
def test_titles_are_cut_to_their_first_word(title: str, name: str) -> None:
    assert _name(argv=(title,), title=title, comm="x") == name


@pytest.mark.threat("T3")
def test_places_come_from_the_kernel_alone() -> None:
    lies = {
        "SUBMETER_WORKLOAD": "theirs",
        "SLURM_JOB_ID": "1",
        "CONTAINER_NAME": "theirs",
        "HOSTNAME": "theirs",
        "POD_NAME": "theirs",
        "USER": "theirs",
    }
    facts = ProcessFacts(
        KEY, argv=("python", "train.py", "--name", "theirs"), user="me", cgroup=POD, environ=lies
    )
    assert owner(facts, TRAINS) == Owner(
        Phase.TRAINING, "theirs", user="me", pod=UID, container="3f1c3f1c3f1c"
    )


def test_a_simulated_node_names_its_places() -> None:
    facts = ProcessFacts(KEY, cgroup="k8s:ml/train-0/main", user="ana")
    assert owner(facts, TRAINS) == Owner(
        Phase.TRAINING, "train-0", user="ana", namespace="ml", pod="train-0", container="main"
    )


@pytest.mark.threat("T3")
def test_nobody_can_take_the_agent_s_own_names() -> None:
    for name in ("(agent down)", "(other)", "((other))", "(unknown)"):
        assert not tidy(name).startswith("(") or not tidy(name).endswith(")")


@pytest.mark.fault("F39")
@given(st.text(max_size=400) | st.text("() x", max_size=8))
def test_any_name_is_short_and_fit_to_print(text: str) -> None:
    name = tidy(text)
    assert len(name) <= 64
    name.encode("utf-8")
    assert not any(ord(character) < 32 or ord(character) == 127 for character in name)
    assert not (name.startswith("(") and name.endswith(")"))


@given(
    words=st.lists(
        st.sampled_from(["python", "-m", "-u", "-c", "env", "sudo", "srun", "bash", "--x", "-n"])
        | st.sampled_from(["--key=CANARY", "KEY=CANARY", "--password=CANARY"]),
        max_size=10,
    )
)
def test_options_and_assignments_never_become_a_name(words: list[str]) -> None:
    assert "CANARY" not in _name(argv=tuple(words), comm="python3")


def _name(**facts: object) -> str:
    return owner(ProcessFacts(KEY, **facts), TRAINS).workload  # type: ignore[arg-type]
