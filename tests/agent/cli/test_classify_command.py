"""`submeter classify`: lines in, answers in the same order out, and nothing lost."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.cli import main

CANARY = "CANARY-51c"
GOOD = {"id": 7, "argv": ["python", "train.py", "--lr", "1"]}


@pytest.fixture
def classify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Exit code and answers for the bytes of a file."""

    def run(content: bytes) -> tuple[int, list[dict[str, Any]]]:
        path = tmp_path / "in.jsonl"
        path.write_bytes(content)
        code = main(["classify", "--jsonl", str(path)])
        return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return run


def test_an_answer_has_the_form_that_others_read(classify: Any) -> None:
    code, answers = classify(json.dumps(GOOD).encode())
    assert code == 0
    (answer,) = answers
    assert set(answer) == {"id", "phase", "confidence", "evidence"}
    assert (answer["id"], answer["phase"]) == (7, "training")
    assert 0 < answer["confidence"] <= 1
    assert answer["evidence"]
    assert all(isinstance(each, str) for each in answer["evidence"])


@pytest.mark.parametrize(
    ("fields", "phase"),
    [
        ({"argv": ["python", "main.py"], "env": {"SUBMETER_PHASE": "other"}}, "other"),
        ({"argv": ["python", "main.py"], "listen": [8000]}, "inference"),
        ({"argv": ["python", "main.py"], "libs": ["libnvinfer.so.10"]}, "inference"),
        ({"argv": ["python", "main.py"], "cgroup": "k8s:default/train-x/trainer"}, "training"),
        ({"argv": ["python", "main.py"]}, "unknown"),
        ({"title": "VLLM::EngineCore"}, "inference"),
        ({"argv": ["ray::IDLE"], "title": "ray::IDLE"}, "unknown"),
        ({"argv": None, "title": "vllm serve m", "env": None, "listen": None}, "inference"),
    ],
)
def test_every_field_is_used(classify: Any, fields: dict[str, Any], phase: str) -> None:
    code, answers = classify(json.dumps(fields).encode())
    assert code == 0
    assert answers[0]["phase"] == phase, answers
    assert answers[0]["id"] is None


@pytest.mark.parametrize("id_", ["a", 1.5, None, [1], {"x": [None]}, "\ud800", 10**40])
def test_the_id_comes_back_as_it_was(classify: Any, id_: object) -> None:
    _, answers = classify(json.dumps({**GOOD, "id": id_}).encode())
    assert answers[0]["id"] == id_


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"x"',
        b"{}",
        b'{"argv": []}',
        b'{"argv": "python train.py"}',
        b'{"argv": [1]}',
        b'{"argv": ["x"], "env": ["A=1"]}',
        b'{"argv": ["x"], "env": {"A": 1}}',
        b'{"argv": ["x"], "listen": [70000]}',
        b'{"argv": ["x"], "listen": [true]}',
        b'{"argv": ["x"], "listen": "80"}',
        b'{"argv": ["x"], "libs": {}}',
        b'{"argv": ["x"], "cgroup": 5}',
        b'{"title": 3}',
        b'{"argv": ["x"], "id": NaN}',
        b'{"argv": ["\xff"]}',
        b"[" * 100_000,
        b"9" * 5_000,
        b'{"argv": ["x"]} {"argv": ["x"]}',
    ],
)
def test_a_malformed_line_is_answered_in_its_place(classify: Any, bad: bytes) -> None:
    good = json.dumps(GOOD).encode()
    code, answers = classify(b"\n".join([good, bad, good]) + b"\n")
    assert code == 1
    assert [set(answer) for answer in answers[::2]] == [
        {"id", "phase", "confidence", "evidence"}
    ] * 2
    assert set(answers[1]) == {"error", "line"}
    assert answers[1]["line"] == 2
    assert answers[1]["error"]


def test_neither_an_answer_nor_a_complaint_quotes_what_came_in(classify: Any) -> None:
    lines = [
        {"argv": ["python", f"{CANARY}.py", f"--password={CANARY}", CANARY], "title": CANARY},
        {"argv": [CANARY], "env": {"HF_TOKEN": CANARY, "SUBMETER_PHASE": CANARY}},
        {"argv": [["x", CANARY]]},
        {"argv": ["x"], "env": CANARY},
        [CANARY],
    ]
    content = "\n".join(json.dumps(line) for line in lines) + f"\n{CANARY} not JSON"
    _, answers = classify(content.encode())
    assert len(answers) == 6
    assert CANARY not in json.dumps(answers)


@pytest.mark.fault("F41")
def test_monstrous_command_lines(classify: Any) -> None:
    argvs = [
        ["python", "train.py", "x" * 2_000_000],
        ["x" * 2_000_000],
        ["a=" * 1_000_000],
        ["-" * 2_000_000],
        ["python", *["--lr"] * 300_000],
        ["", "", ""],
        ["'\"\n\x1b[31m\x00\\"],
        ["env"] * 10_000,
        ["python", "-m", "." * 200_000],
        ["python", "A" * 200_000 + ".py"],
        ["/" * 500_000],
    ]
    code, answers = classify("\n".join(json.dumps({"argv": argv}) for argv in argvs).encode())
    assert code == 0
    assert len(answers) == len(argvs)
    assert answers[0]["phase"] == "training"


def test_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.dumps(GOOD).encode() + b"\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert main(["classify", "--jsonl", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["id"] == 7


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--jsonl", "/nonexistent/x"], 2),
        (["--jsonl", "x\0y"], 2),
        (["--jsonl", "/tmp"], 2),
        (["--pid", "x"], 2),
        (["--pid", "0"], 1),
        (["--pid", "-5"], 1),
        (["--pid", str(2**22 + 1)], 1),
        (["--pid", "1", "--jsonl", "-"], 2),
    ],
)
def test_what_can_not_be_done_is_said_in_one_line(
    arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["classify", *arguments]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1


def test_a_process_by_its_number(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["classify", "--pid", str(os.getpid()), "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)
    assert answer["id"] == os.getpid()
    assert main(["classify", "--pid", str(os.getpid())]) == 0
    assert capsys.readouterr().out.startswith(f"{os.getpid()}: ")


def test_a_process_of_which_nothing_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        while "input()" not in Path(f"/proc/{process.pid}/cmdline").read_text():
            """It isn't that program yet."""
        code = main(["classify", "--pid", str(process.pid)])
    assert code == 0
    assert "unknown (nothing certain)" in capsys.readouterr().out


def test_all_processes_on_the_gpus(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["classify", "--backend", "mock", "--json"]) == 0
    answers = json.loads(capsys.readouterr().out)
    assert {"training", "inference"} <= {answer["phase"] for answer in answers}
    assert main(["classify", "--backend", "mock"]) == 0
    assert "PHASE" in capsys.readouterr().out


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(
    lines=st.lists(
        st.binary(max_size=40).map(lambda data: data.replace(b"\n", b""))
        | st.fixed_dictionaries(
            {},
            optional={
                name: _JSON | st.lists(st.text(max_size=10), max_size=5)
                for name in ("id", "argv", "title", "env", "cgroup", "listen", "libs", "parent")
            },
        ).map(lambda fields: json.dumps(fields).encode()),
        min_size=1,
        max_size=6,
    )
)
def test_as_many_answers_as_lines(
    lines: list[bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("lines") / "in"
    path.write_bytes(b"\n".join(lines) + b"\n")
    output = io.StringIO()
    before, sys.stdout = sys.stdout, output
    try:
        code = main(["classify", "--jsonl", str(path)])
    finally:
        sys.stdout = before
    answers = [json.loads(line) for line in output.getvalue().splitlines()]
    assert len(answers) == len(lines)
    assert code == int(any("error" in answer for answer in answers))
    for number, answer in enumerate(answers, start=1):
        if "error" in answer:
            assert answer["line"] == number
