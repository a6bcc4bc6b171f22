"""Metrics pages of real servers, and what a hostile one might send instead."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.throughput.pages import MOST_SERIES, NotCounted, Page, parse, unit_of


def sums(page: Page) -> dict[str, int]:
    total: Counter[str] = Counter()
    for name, amount in page.counts.items():
        total[unit_of(name)] += amount
    return dict(total)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("vllm", {"prompt_tokens": 1_854_200, "generation_tokens": 243_101, "requests": 1_118}),
        (
            "sglang",
            {"prompt_tokens": 8_128_902, "generation_tokens": 7_557_572, "requests": 25_012},
        ),
        ("tgi", {"prompt_tokens": 1_873_212, "generation_tokens": 902_311, "requests": 4_198}),
        ("triton", {"requests": 11_593, "inferences": 68_937}),
        ("llamacpp", {"prompt_tokens": 70_112, "generation_tokens": 39_080}),
    ],
)
def test_pages_of_real_servers(pages: Path, name: str, expected: dict[str, int]) -> None:
    page = parse((pages / f"{name}.prom").read_bytes())
    assert page.server.replace(".", "") == name
    assert sums(page) == expected
    assert page.started_s == (1_767_225_651 if name == "vllm" else None)


def test_an_engine_inside_triton_counts_once(pages: Path) -> None:
    both = (pages / "triton.prom").read_bytes() + (pages / "vllm.prom").read_bytes()
    assert parse(both) == parse((pages / "vllm.prom").read_bytes())


def test_the_order_of_labels_and_timestamps_mean_nothing() -> None:
    one = parse(b'vllm:prompt_tokens_total{a="1",b="} 7 "} 5 1767225600000\n')
    other = parse(b'vllm:prompt_tokens_total{b="} 7 ",a="1"} 5.0\r\n')
    assert one == other
    assert sums(one) == {"prompt_tokens": 5}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "foreign"),
        (b"<html>vllm:prompt_tokens_total 5</html>", "foreign"),
        (b"other_total 5\n", "foreign"),
        (b"vllm:prompt_tokens_total NaN\n", "nonsense"),
        (b"vllm:prompt_tokens_total -1\n", "nonsense"),
        (b"vllm:prompt_tokens_total +Inf\n", "nonsense"),
        (b"vllm:prompt_tokens_total 1e300\n", "nonsense"),
        (b"vllm:prompt_tokens_total five\n", "nonsense"),
        (b"vllm:prompt_tokens_total \n", "nonsense"),
        (b'vllm:prompt_tokens_total{a="b} 5\n', "nonsense"),
        (b"vllm:prompt_tokens_total 5\nvllm:prompt_tokens_total 6\n", "nonsense"),
        (
            b"".join(
                b'vllm:prompt_tokens_total{m="%d"} 5\n' % number
                for number in range(MOST_SERIES + 1)
            ),
            "nonsense",
        ),
    ],
)
def test_what_is_no_page_is_nothing(content: bytes, reason: str) -> None:
    with pytest.raises(NotCounted) as caught:
        parse(content)
    assert caught.value.reason == reason


@given(st.binary(max_size=400), st.sampled_from([b"", b"vllm:prompt_tokens_total", b'{a="']))
def test_any_bytes_are_a_page_or_none(content: bytes, before: bytes) -> None:
    try:
        page = parse(before + content)
    except NotCounted:
        return
    assert all(value >= 0 for value in page.counts.values())


def test_a_long_line_takes_no_long_time() -> None:
    labels = b"vllm:prompt_tokens_total{" + b'a="\\\\",' * 100_000 + b"x 5\n"
    with pytest.raises(NotCounted):
        parse(labels)
