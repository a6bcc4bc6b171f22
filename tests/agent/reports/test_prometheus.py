"""Prometheus's API asked: the same questions, honest about what failed and what is not exact."""

import json
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from submeter import cli
from submeter.errors import InputError, SubmeterError
from submeter.model import Method, Phase
from submeter.reports import presentations
from submeter.reports._server import server
from submeter.reports.moments import zone
from submeter.reports.presentations import load
from submeter.reports.prometheus import from_prometheus
from submeter.reports.question import Question
from submeter.reports.work import Done

NOW_S = 1_774_827_000  # 2026-03-29 23:30 UTC
Reply = tuple[int, dict[str, Any] | bytes]
A = {"gpu": "0", "uuid": "GPU-a", "phase": "training", "workload": "t", "component": "dynamic"}
B = {"gpu": "1", "uuid": "GPU-b", "phase": "idle", "workload": "", "component": "idle"}


def vector(*pairs: tuple[dict[str, str], str]) -> Reply:
    result = [{"metric": labels, "value": [NOW_S, number]} for labels, number in pairs]
    return 200, {"status": "success", "data": {"resultType": "vector", "result": result}}


class Fake:
    """A server that answers as it is told, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.answers: list[tuple[str, Callable[[dict[str, str]], Reply]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path, _, query = self.path.partition("?")
                asked = {"path": path, **dict(urllib.parse.parse_qsl(query))}
                outer.asked.append(asked)
                outer.headers.append(dict(self.headers))
                code, body = next(
                    (reply(asked) for part, reply in outer.answers if part in asked["query"]),
                    vector(),
                )
                content = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(code)
                if code == 302:
                    self.send_header("Location", outer.url + "/elsewhere")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                with suppress(BrokenPipeError):  # who asked has left
                    self.wfile.write(content)

            def log_message(self, *arguments: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,))
        self.thread.start()

    def on(self, part: str, *replies: Reply) -> None:
        """Answers queries that have that part, one after the other; the last one for ever."""
        left = list(replies)
        self.answers.append((part, lambda _: left.pop(0) if len(left) > 1 else left[0]))

    def stop(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture
def fake() -> Iterator[Fake]:
    made = Fake()
    yield made
    made.stop()


def test_a_period_is_one_query_and_sums_hold(fake: Fake) -> None:
    fake.on("submeter_energy_joules_total", vector((A, "100.25"), (B, "0.5")))
    fake.on("attribution", vector(({"method": "exclusive"}, "100.75")))
    fake.on("suspect", vector(({"reason": "jump"}, "3")))
    fake.on("unmetered", vector(({"reason": "gap"}, "1.5")))
    fake.on("gpu_info", vector(({"uuid": "GPU-a", "name": "H100"}, "1")))
    fake.on("build_info", vector(({"backend": "nvml"}, "1")))
    report = from_prometheus(fake.url + "/", Question(("workload",)), NOW_S)
    assert report.total_uj == 100_750_000 == sum(row.energy_uj for row in report.rows)
    assert [(gpu.uuid, gpu.number, gpu.name) for gpu in report.gpus] == [
        ("GPU-a", 0, "H100"),
        ("GPU-b", 1, ""),
    ]
    assert report.phase_uj[Phase.TRAINING] == 100_250_000
    assert report.quality.method_uj == {Method.EXCLUSIVE: 100_750_000}
    assert report.quality.suspect_uj == {"jump": 3_000_000}
    assert report.quality.unmetered_ns == {"gap": 1_500_000_000}
    assert not report.quality.exact
    assert report.quality.problems == ()
    assert "increase()" in load("table").render(report).decode()
    assert fake.asked[0]["path"] == "/api/v1/query"
    assert fake.asked[0]["time"] == str(NOW_S)
    assert "[86400s]" in fake.asked[0]["query"]


def test_local_days_are_asked_for_as_long_as_they_are(fake: Fake) -> None:
    berlin = zone("Europe/Berlin")
    since_s = NOW_S - 4 * 86_400

    def reply(asked: dict[str, str]) -> Reply:
        if asked["path"].endswith("/query"):
            return vector((A, "1"))
        times = range(int(asked["start"]), int(asked["end"]) + 1, int(asked["step"]))
        result = [{"metric": A, "values": [[at_s, "2"] for at_s in times]}]
        return 200, {"status": "success", "data": {"resultType": "matrix", "result": result}}

    fake.answers.append(("submeter_energy", reply))
    question = Question(("day", "phase"), since_s, NOW_S, berlin, timeline=True)
    report = from_prometheus(fake.url, question, NOW_S)
    asked = [each for each in fake.asked if "submeter_energy" in each["query"]]
    assert any("[82800s]" in each["query"] for each in asked)  # the day with 23 hours
    assert [(*row.values, row.energy_uj) for row in report.rows] == [
        ("2026-03-26", "training", 1_000_000),  # a part of a day: a query of its own
        ("2026-03-27", "training", 2_000_000),
        ("2026-03-28", "training", 2_000_000),
        ("2026-03-29", "training", 1_000_000),
        ("2026-03-30", "training", 1_000_000),
    ]
    assert sum(sum(bar.energy_uj.values()) for bar in report.timeline) == report.total_uj


def test_what_fails_is_named_and_the_rest_is_kept(
    fake: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.on("submeter_energy_joules_total", vector((A, "5"), (B, "NaN")))
    error = {"status": "error", "errorType": "execution", "error": "too many samples"}
    fake.on("suspect", (422, error))
    code = cli.main(["report", "--prometheus", fake.url, "--json", "--by", "phase"])
    out, err = capsys.readouterr()
    quality = json.loads(out)["quality"]
    assert code == 1
    assert quality["partial"] is True
    assert quality["exact"] is False
    assert any("values are no numbers" in each for each in quality["problems"])
    assert any(
        "increase(submeter_suspect_energy_joules_total" in each and "too many samples" in each
        for each in quality["problems"]
    )
    assert json.loads(out)["total_joules"] == "5"
    assert err.count("\n") == 1
    assert "partial" in err


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        ((500, b"<html>"), "HTTP 500"),
        ((302, b""), "redirects"),
        ((200, b"<html>"), "not an answer"),
        ((200, b'{"status":"success"}'), "not an answer"),
        ((200, b'{"status":"success","data":{"resultType":"vector","result":7}}'), "not an answer"),
        ((200, b"[" * 100_000), "not an answer"),
        ((200, b'{"status":"error","error":"bad \\u001b[2J query"}'), "bad \ufffd[2J query"),
    ],
)
def test_no_answer_at_all_is_an_error_with_the_query(fake: Fake, reply: Reply, says: str) -> None:
    fake.on("", reply)
    with pytest.raises(SubmeterError, match=r"sum by \(gpu.*increase") as caught:
        from_prometheus(fake.url, Question(), NOW_S)
    assert says in str(caught.value)
    assert "/elsewhere" not in {each["path"] for each in fake.asked}


def test_a_server_that_is_down_or_slow_is_an_error(fake: Fake) -> None:
    with pytest.raises(SubmeterError, match=r"sum by \(gpu.*increase.*can't be reached"):
        from_prometheus("http://127.0.0.1:1", Question(), NOW_S)
    released = threading.Event()

    def slow(_: dict[str, str]) -> Reply:
        released.wait(10)
        return vector()

    fake.answers.append(("", slow))
    began = time.monotonic()
    with pytest.raises(SubmeterError, match=r"sum by \(gpu.*increase.*no answer within 0\.1 s"):
        from_prometheus(fake.url, Question(), NOW_S, patience_s=0.1)
    released.set()
    assert time.monotonic() - began < 9


def test_a_query_that_is_too_slow_leaves_the_others_marked_as_partial(fake: Fake) -> None:
    released = threading.Event()

    def slow(_: dict[str, str]) -> Reply:
        released.wait(10)
        return vector()

    fake.answers.append(("unmetered", slow))
    fake.on("submeter_energy_joules_total", vector((A, "5")))
    report = from_prometheus(fake.url, Question(("phase",)), NOW_S, patience_s=0.5)
    released.set()
    assert report.total_uj == 5_000_000
    (problem,) = report.quality.problems
    assert "submeter_unmetered_seconds_total" in problem
    assert "no answer within 0.5 s" in problem
    for name in presentations.available():
        content = presentations.load(name).render(report)
        assert b"partial" in content.lower() or name == "csv", name


@pytest.mark.threat("T34")
@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "prometheus:9090", "", "http://", "ftp://x", "http://x:y", "http://a b"],
)
def test_only_http_is_asked(url: str) -> None:
    with pytest.raises(InputError, match="--prometheus"):
        server(url)


def test_a_password_is_sent_and_never_shown(fake: Fake) -> None:
    fake.on("", (401, b""))
    with pytest.raises(SubmeterError) as caught:
        from_prometheus(fake.url.replace("//", "//ann:s3cret@"), Question(), NOW_S)
    assert fake.headers[0]["Authorization"] == "Basic YW5uOnMzY3JldA=="
    assert "s3cret" not in str(caught.value)


def test_by_method_there_is_no_phase_and_none_is_invented(fake: Fake) -> None:
    method = {"gpu": "0", "uuid": "GPU-a", "method": "weighted"}
    fake.on("sum by (gpu, uuid, method)", vector((method, "4")))
    report = from_prometheus(fake.url, Question(("method", "gpu"), timeline=True), NOW_S)
    assert [row.values for row in report.rows] == [("weighted", "GPU-a")]
    assert (report.phase_uj, report.layers_uj, report.workloads) == ({}, {}, ())
    assert b"phase-" not in load("html").render(report).partition(b"<body>")[2]
    with pytest.raises(InputError, match="leave out phase"):
        from_prometheus(fake.url, Question(("method", "phase")), NOW_S)


def test_nothing_found_is_said_and_simulations_are_loud(fake: Fake) -> None:
    fake.on("build_info", vector(({"backend": "mock"}, "1"), ({"backend": "nvml"}, "1")))
    notices = from_prometheus(fake.url, Question(), NOW_S).origin.notices
    assert "no submeter_energy_joules_total" in notices[0]
    assert "mock, nvml" in notices[1]


def test_what_was_done_is_asked_for_too(fake: Fake) -> None:
    fake.on("submeter_energy_joules_total", vector((A, "100"), (B, "50")))
    who = {"phase": A["phase"], "workload": A["workload"]}
    fake.on("submeter_tokens_total", vector(({**who, "kind": "generation"}, "40")))
    fake.on("submeter_work_uncounted_seconds_total", vector((who, "2.5")))
    report = from_prometheus(fake.url, Question(), NOW_S)
    (only,) = report.work
    assert (only.phase, only.workload) == (A["phase"], A["workload"])
    assert only.done == Done("generation_tokens", 40, 100_000_000)
    assert only.uncounted_ns == 2_500_000_000
