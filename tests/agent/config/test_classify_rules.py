"""``[[classify.rule]]``: what is right is kept in its order, what is wrong is pointed to."""

from pathlib import Path

import pytest

from submeter.config import Override, load
from submeter.config.rules import MOST_RULES, ClassifyRule
from submeter.errors import InputError

GOOD = """
[classify]
read_environ = false

[[classify.rule]]
user = "render*"
phase = "other"

[[classify.rule]]
namespace = "prod"
program = "app.main"
phase = "inference"
workload = "search"
"""


def test_rules_keep_their_order(tmp_path: Path) -> None:
    config = load(_file(tmp_path, GOOD), (), {"HOME": "/root"})
    assert config.classify.rule == (
        ClassifyRule({"user": "render*"}, "other"),
        ClassifyRule({"namespace": "prod", "program": "app.main"}, "inference", "search"),
    )
    assert not config.classify.read_environ


def test_rules_from_the_command_line() -> None:
    text = '[{user = "x", phase = "other"}]'
    config = load(None, [Override("classify.rule", text)], {"HOME": "/root"})
    assert config.classify.rule == (ClassifyRule({"user": "x"}, "other"),)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("[[classify.rule]]\nuesr = 'x'\nphase = 'other'", 2, "did you mean user?"),
        ("[[classify.rule]]\nuser = 'x'\nphase = 'idle'", 3, "must be one of"),
        ("[[classify.rule]]\nuser = 'x'\nphase = 'Training'", 3, "must be one of"),
        ("[[classify.rule]]\nuser = 5\nphase = 'other'", 2, "must be a text, found 5"),
        ("[[classify.rule]]\nuser = ''\nphase = 'other'", 2, "must be a text"),
        ("[[classify.rule]]\nphase = 'other'", 1, "applies to everything"),
        ("[[classify.rule]]\nuser = 'x'", 1, "says nothing"),
        ("[classify]\nrule = 5", 2, "must be [[classify.rule]] tables"),
        ("[classify]\nrule = [5]", 2, "must be a table, found 5"),
        ("[classify]\nrules = []", 2, "did you mean classify.rule"),
    ],
)
def test_what_is_wrong_is_pointed_to(tmp_path: Path, text: str, line: int, message: str) -> None:
    with pytest.raises(InputError) as caught:
        load(_file(tmp_path, text), (), {"HOME": "/root"})
    assert caught.value.line == line
    assert message in str(caught.value)


def test_there_is_an_end_to_rules(tmp_path: Path) -> None:
    text = "[[classify.rule]]\nuser = 'x'\nphase = 'other'\n" * (MOST_RULES + 1)
    with pytest.raises(InputError, match="at most"):
        load(_file(tmp_path, text), (), {"HOME": "/root"})


def _file(folder: Path, text: str) -> Path:
    path = folder / "submeter.toml"
    path.write_text(text)
    return path
