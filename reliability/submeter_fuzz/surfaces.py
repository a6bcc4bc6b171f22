"""The table of surfaces: what takes bytes from outside, and how it may say no.

A surface that gives anything but a value or one of its errors has a defect. What a value must then
be is checked where it can be said: what is parsed can be written, and comes back the same.
"""

from collections.abc import Mapping
from functools import partial
from typing import Final

from submeter.errors import InputError, StateUnusable
from submeter.footprint import live, table
from submeter.ledger import log
from submeter.ledger.records import Commit
from submeter.ledger.rows import BadRow, Row, encode
from submeter.reports import _server
from submeter.runtime.labels import Refused
from submeter.throughput.pages import NotCounted
from submeter.throughput.pages import parse as parse_page
from submeter.web import webconfig
from submeter.workloads.podresources import assigned
from submeter_fuzz import books, files, processes, talks
from submeter_fuzz.surface import NOW_S, Surface

SURFACES: Final[Mapping[str, Surface]] = {
    "configuration": Surface(
        partial(files.as_file, "configuration", files.config),
        (InputError,),
        (
            b'backend = "mock"\nmax_series = 7\n[settle]\ninterval_s = 2\n',
            b'[exporters.otlp]\nendpoint = "http://127.0.0.1:4318"\n[footprint]\npue = 1.2\n',
            b'[sampling]\nrate_hz = "auto"\n[node]\npower_budget_watts = 1e4\n',
        ),
    ),
    "override": Surface(
        files.override, (InputError,), (b"settle.interval_s=2", b"exporters.jsonl.x=1")
    ),
    "rules": Surface(files.rules, (InputError,), (b"'train*'\nworkload = 'x'", b'"(a|b)+$"')),
    "web_config": Surface(
        partial(files.as_file, "web", webconfig.parse),
        (InputError,),
        (
            b"tls_server_config:\n  cert_file: a\n  key_file: b\n  min_version: TLS12\n",
            b"basic_auth_users:\n  u: $2b$04$"
            + b"a" * 53
            + b"\nhttp_server_config:\n  http2: true\n",
        ),
    ),
    "scenario": Surface(
        files.scenario_of,
        (InputError,),
        (
            b'seed = 1\n[[gpu]]\nmodel = "H100"\ncount = 2\n',
            b'[[gpu]]\nmodel = "H100"\n[[process]]\nname = "a"\ngpu = 0\npid = 5\nwatts = 3.5\n'
            b'shape = { kind = "constant" }\n',
            b'[[gpu]]\n[[fault]]\nkind = "error"\ncode = 15\nfrom_s = 1\nto_s = 2\n',
        ),
    ),
    "trace": Surface(
        partial(files.as_file, "trace", files.trace),
        (InputError,),
        (
            b'{"trace":"submeter","version":1}\n',
            b"timestamp, power.draw [W]\n2026/01/01 00:00:00.000, 71.35 W\n",
        ),
    ),
    "power_log": Surface(
        partial(files.as_file, "log", files.trace),
        (InputError,),
        (
            b"timestamp, index, uuid, power.draw [W]\n2026/01/01 00:00:00.000, 0, GPU-1, 71.35 W\n"
            b"2026/01/01 00:00:01.000, 0, GPU-1, [N/A]\n",
        ),
    ),
    "factors": Surface(
        partial(files.as_file, "factors", table.read_table),
        (InputError,),
        (
            b'[[carbon_g_per_kwh]]\nfrom = 2026-01-01\nvalue = 363\nsource = "x"\n',
            b'[[price]]\ntime_zone = "Europe/Berlin"\ncurrency = "EUR"\nsource = "y"\n'
            b'hours = [{ days = "mon-fri", from = "06:00", to = "22:00", value = 0.31 }]\n',
        ),
    ),
    "proc_stat": Surface(processes.stat_of, (), (b"7 (a) R 1 (b) S 1" + b" 0" * 17 + b" 99 0\n",)),
    "proc_cmdline": Surface(
        processes.process_of,
        (),
        (
            b"python3\0-m\0vllm.entrypoints.openai.api_server\0\npython3\nSUBMETER_PHASE=inference\0",
            b"torchrun\0--nproc-per-node=8\0train.py\0--lr\x001e-4\0\npython3\n",
            b"VLLM::EngineCore\0\0\0\0\nVLLM\n",
        ),
    ),
    "proc_cgroup": Surface(
        processes.cgroup_of,
        (),
        (
            b"0::/kubepods.slice/kubepods-pod3f1b8c9a_0d1e_4c52_9a77_4f4b2a1c0d9e.slice/"
            b"cri-containerd-" + b"ab" * 32 + b".scope\n",
            b"0::/system.slice/slurmstepd.scope/job_4711/step_0/user/task_0\n",
        ),
    ),
    "proc_tables": Surface(
        processes.proc_tables_of,
        (),
        (
            b"Name:\tx\nUid:\t1000\t0\t0\t0\n7f00-7f01 r-xp 0 08:01 12 /usr/lib/libnvinfer.so.10\n",
            b"  sl  local_address\n   0: 0100007F:1F90 00000000:0000 0A 0:0 0:0 0 1000 0 12345 1\n",
            b"PID JOBID STEPID\n12 4711 0 0 0\n",
        ),
    ),
    "classify_line": Surface(
        processes.described_of,
        (InputError,),
        (b'{"id": 1, "argv": ["python3", "train.py"], "listen": [8000]}',),
    ),
    "pod_resources": Surface(
        assigned,
        (ValueError,),
        (b"\n\x16\n\x03pod\x12\x02ns\x1a\x0b\n\x01c\x12\x06\n\x01r\x12\x01d",),
    ),
    "kubelet_file": Surface(
        partial(files.as_file, "kubelet", files.kubelet_file),
        (),
        (
            b'{"Data":{"PodDeviceEntries":[{"PodUID":"u","ContainerName":"c",'
            b'"DeviceIDs":{"0":["GPU-1"]}}]}}',
        ),
    ),
    "label_socket": Surface(
        talks.label,
        (Refused,),
        (
            b'{"phase": "training", "workload": "x", "reply": true}\n{"ask": "who"}\n',
            b'{"done": {"generation_tokens": 7}}\n',
        ),
    ),
    "level_page": Surface(talks.level_page, (), (bytes(256),)),
    "http": Surface(
        talks.http,
        (),
        (
            b"GET /metrics HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n",
            b"HEAD /x?y=1 HTTP/1.0\r\n\0\r\nGET http://a/metrics HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
    ),
    "http_headers": Surface(
        talks.headers,
        (),
        (b"application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.4", b"dXNlcjpwYXNz"),
    ),
    "server_metrics": Surface(
        parse_page,
        (NotCounted,),
        (
            b'vllm:prompt_tokens_total{model_name="m",engine="0"} 1.5e+06\n'
            b"process_start_time_seconds 1.76e+09\n",
            b"nv_inference_count 7\ntgi_request_success 3 1767225600\n",
        ),
    ),
    "electricity_maps": Surface(
        talks.electricity,
        (live.NoFactor,),
        (b'{"zone":"DE","carbonIntensity":302,"datetime":"2026-01-01T00:00:00.000Z"}',),
    ),
    "prometheus_api": Surface(
        _server._answer,
        (_server.QueryFailed,),
        (
            b'{"status":"success","data":{"resultType":"vector","result":[{"metric":{"gpu":"0"},'
            b'"value":[1767225600,"1.5"]}]}}',
            b'{"status":"error","error":"x"}',
        ),
    ),
    "ledger_row": Surface(
        books.row_of, (BadRow,), (b"\0" + encode(Row(0, energy_uj={1: 7, 300: 1 << 40})),)
    ),
    "ledger_texts": Surface(
        books.texts_of,
        (BadRow,),
        (b'c{"GPU-1":{"samples":7}}', b"s[1,1,1,[2,2,1,0,0,0,0,0,[[1,2,3,4,5,1]]]]"),
    ),
    "ledger_log": Surface(books.log_of, (BadRow,), (log.record(1, Commit(1, NOW_S)),)),
    "ledger_file": Surface(books.database_of, (StateUnusable,), (b"", b"\x00\x10\xff", bytes(9))),
}
"""By name. StateUnusable is what a reader says of a file that is no ledger."""
