"""A server's metrics page in, how much work it has done since it started out.

The pages are Prometheus text; of thousands of lines only a handful is looked at. Names are those
that the projects document:

* vLLM: https://docs.vllm.ai/en/latest/usage/metrics.html
* SGLang (``--enable-metrics``): https://docs.sglang.io/references/production_metrics.html
* Text Generation Inference: https://huggingface.co/docs/text-generation-inference/reference/metrics;
  its tokens are the sums of histograms, counted as requests end
* Triton (port 8002): https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/user_guide/metrics.html
* llama.cpp (``--metrics``): https://github.com/ggml-org/llama.cpp/tree/master/tools/server
"""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple
from zlib import crc32

from submeter.errors import SubmeterError
from submeter.throughput.units import GENERATION_TOKENS, INFERENCES, PROMPT_TOKENS, REQUESTS
from submeter.units import MOST_WORK

MOST_SERIES: Final = 512  # of one server: its models, engines and reasons for stopping
START: Final = "process_start_time_seconds"  # what prometheus_client says of every process


class NotCounted(SubmeterError):
    """A page that says nothing that can be counted. ``reason`` is a short word for metrics."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Server(NamedTuple):
    """A kind of server: what its page calls each unit."""

    name: str
    counters: Mapping[str, str]  # metric → unit


SERVERS: Final = (
    Server(
        "vllm",
        {
            "vllm:prompt_tokens_total": PROMPT_TOKENS,
            "vllm:generation_tokens_total": GENERATION_TOKENS,
            "vllm:request_success_total": REQUESTS,
        },
    ),
    Server(
        "sglang",
        {
            "sglang:prompt_tokens_total": PROMPT_TOKENS,
            "sglang:generation_tokens_total": GENERATION_TOKENS,
            "sglang:num_requests_total": REQUESTS,
        },
    ),
    Server(
        "tgi",
        {
            "tgi_request_input_length_sum": PROMPT_TOKENS,
            "tgi_request_generated_tokens_sum": GENERATION_TOKENS,
            "tgi_request_success": REQUESTS,
        },
    ),
    Server(
        "llama.cpp",
        {
            "llamacpp:prompt_tokens_total": PROMPT_TOKENS,
            "llamacpp:tokens_predicted_total": GENERATION_TOKENS,
        },
    ),
    Server(
        "triton",
        {"nv_inference_request_success": REQUESTS, "nv_inference_count": INFERENCES},
    ),
)
"""In the order in which a page is looked at: Triton shows the counters of an engine inside it, too,
and then a request would be counted twice."""

_WANTED: Final = frozenset(name for server in SERVERS for name in server.counters) | {START}
_LINE: Final = re.compile(
    rb"^(?P<name>" + b"|".join(map(re.escape, sorted(map(str.encode, _WANTED)))) + rb")"
    rb"(?P<rest>[ {\t][^\n]*)",
    re.MULTILINE,
)
_LABEL: Final = rb'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\]|\\.)*"'
_REST: Final = re.compile(
    rb"(?:\{(?P<labels>(?:" + _LABEL + rb"(?:,[ ]?|(?=\})))*)\})?"
    rb"[ \t]+(?P<value>\S+)(?:[ \t]+-?\d+)?[ \t]*\r?"
)
_LABELS: Final = re.compile(_LABEL)


class Page(NamedTuple):
    """What a page says. ``counts``: by unit and series (``generation_tokens:1a2b3c4d``)."""

    server: str
    counts: Mapping[str, int]
    started_s: int | None  # Unix time at which the process began, where the page says so


def parse(content: bytes) -> Page:
    """What a page says. Raises NotCounted where that is nothing, or nonsense."""
    samples: dict[str, dict[str, int]] = {}
    for line in _LINE.finditer(content):
        name = line["name"].decode("ascii")
        series, value = _sample(name, line["rest"])
        found = samples.setdefault(name, {})
        if series in found:
            raise NotCounted("nonsense", f"{name} comes twice with the same labels")
        found[series] = value
        if len(found) > MOST_SERIES:
            raise NotCounted("nonsense", f"more than {MOST_SERIES} series of {name}")
    started = samples.pop(START, {})
    for server in SERVERS:
        counts = {
            f"{unit}:{series}": value
            for name, unit in server.counters.items()
            for series, value in samples.get(name, {}).items()
        }
        if counts:
            return Page(server.name, counts, next(iter(started.values()), None))
    raise NotCounted("foreign", "the page has no counters of tokens or requests that are known")


def unit_of(count: str) -> str:
    """The unit of one of `Page.counts`."""
    return count.partition(":")[0]


def _sample(name: str, rest: bytes) -> tuple[str, int]:
    """The series, by a short name of its own, and its value."""
    match = _REST.fullmatch(rest)
    if match is None:
        raise NotCounted("nonsense", f"{name}: not a sample: {rest[:80]!r}")
    try:
        value = float(match["value"])
    except ValueError:
        value = -1.0
    if not 0 <= value < MOST_WORK:
        raise NotCounted("nonsense", f"{name} is {match['value'][:40]!r}")
    labels = b",".join(sorted(_LABELS.findall(match["labels"] or b"")))
    return f"{crc32(labels):08x}", int(value)
