"""The operator's rules: between what is declared and what is recognised, first come first."""

from dataclasses import replace

import pytest

from submeter.config.rules import RESULTS, RULE_KEYS
from submeter.model import Phase, ProcessFacts, ProcessKey, Verdict
from submeter.workloads.operator import PATTERNS, Rule, compiled, judge, workload
from submeter.workloads.placement import placement
from submeter.workloads.recognise import recognise

FACTS = ProcessFacts(
    ProcessKey("boot", 1, 1),
    comm="python3",
    argv=("nohup", "python", "/srv/acme/serve.py", "--mode=fast"),
    user="ann",
    cgroup="k8s:prod/search-7c9-x/api",
)


@pytest.mark.parametrize(
    ("patterns", "applies"),
    [
        ({"user": "ann"}, True),
        ({"user": "a*"}, True),
        ({"user": "an"}, False),
        ({"program": "serve.py"}, True),
        ({"program": "python3"}, True),
        ({"argument": "--mode=*"}, True),
        ({"argument": "mode"}, False),
        ({"namespace": "prod"}, True),
        ({"pod": "search-*", "container": "api"}, True),
        ({"pod": "search-*", "container": "web"}, False),
        ({"job": "*"}, False),  # a pattern never matches what isn't there
        ({"title": "*"}, False),
        ({"unit": "*"}, False),
    ],
)
def test_all_patterns_of_a_rule_must_match(patterns: dict[str, str], applies: bool) -> None:
    rules = [compiled("rule 1", patterns, "training", "named")]
    verdict = judge(rules, placement)(FACTS)
    assert (verdict.phase is Phase.TRAINING) is applies
    assert workload(rules, FACTS, placement) == ("named" if applies else "")
    if applies:
        assert verdict == Verdict(Phase.TRAINING, 1.0, ("rule 1 of the configuration",), "rule")
    else:
        assert verdict == recognise(FACTS)


def test_what_is_declared_comes_first() -> None:
    rules = [compiled("rule 1", {"user": "ann"}, "training", "")]
    verdict = judge(rules, placement)(replace(FACTS, environ={"SUBMETER_PHASE": "other"}))
    assert (verdict.phase, verdict.source) == (Phase.OTHER, "declared")


def test_the_first_rule_that_says_it_wins() -> None:
    rules = [
        compiled("rule 1", {"user": "bob"}, "training", "bobs"),
        compiled("rule 2", {"user": "ann"}, None, "anns"),
        compiled("rule 3", {"user": "*"}, "inference", "all"),
        compiled("rule 4", {"user": "*"}, "other", "never"),
    ]
    assert judge(rules, placement)(FACTS).phase is Phase.INFERENCE
    assert workload(rules, FACTS, placement) == "anns"


def test_unknown_may_be_ruled() -> None:
    rules = [compiled("rule 1", {"user": "ann"}, "unknown", "")]
    assert judge(rules, placement)(FACTS).phase is Phase.UNKNOWN


def test_monstrous_arguments_cost_little() -> None:
    rules: list[Rule] = [compiled("rule 1", {"argument": "*a*b*c*d"}, "other", "")]
    huge = replace(FACTS, argv=("x" * 2_000_000, "a" * 2_000_000, *["b"] * 100_000))
    assert judge(rules, placement)(huge).phase is not Phase.TRAINING


def test_the_configuration_and_the_rules_know_the_same_patterns() -> None:
    assert set(PATTERNS) == set(RULE_KEYS) - set(RESULTS)
