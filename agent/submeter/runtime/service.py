"""A configuration in, the whole agent out: everything opened, then threads, then signals.

Whatever can be wrong with what the user gave is found before the first thread starts.
"""

import faulthandler
import gc
import hashlib
import json
import logging
import os
import resource
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final

from submeter import __version__
from submeter.backends import Backend
from submeter.clock import Clock, SystemClock
from submeter.config import Config
from submeter.config.schema import DEFAULT
from submeter.errors import EXIT_FAILED, EXIT_OK, InputError
from submeter.exporting import Exporter, placed
from submeter.exporting import load as load_exporter
from submeter.ledger import DurableLedger
from submeter.ledger.opening import open_store
from submeter.ledger.records import Session
from submeter.ledger.retention import Keep
from submeter.model import ProcessView, Reading, Snapshot
from submeter.runtime import memory
from submeter.runtime.agent import LOOK_AFTER_NS, Agent
from submeter.runtime.answers import answers
from submeter.runtime.assembly import backend_of, clock_of, ticking_of
from submeter.runtime.budget import BudgetWatch
from submeter.runtime.committing import Committer
from submeter.runtime.ending import Ending
from submeter.runtime.footprint import LiveIntensity, place_of, pricer_of, rows_of
from submeter.runtime.identity import label_server, places, process_table, work_watch
from submeter.runtime.labels import LabelServer
from submeter.runtime.levels import LevelPage
from submeter.runtime.notify import Heart, reloading, service_manager
from submeter.runtime.outlets import Outlet, close, finish
from submeter.runtime.pods import PodWatch
from submeter.runtime.renewal import Reload, begin_anew, refusal
from submeter.runtime.state import boot_id, held, refuse_mixing
from submeter.runtime.throughput import WorkWatch
from submeter.sampling.node import Node
from submeter.settlement import About, Settlement
from submeter.throughput.workbook import Workbook
from submeter.units import NS_PER_S, UJ_PER_J, decimal
from submeter.web.app import routes
from submeter.web.broadcast import Broadcast
from submeter.web.gate import Gate
from submeter.web.history import History
from submeter.web.midnight import Midnight
from submeter.web.server import Server
from submeter.workloads.labels import Labels
from submeter.workloads.procfs import user_name

_log = logging.getLogger(__name__)

_SWITCH_INTERVAL_S: Final = 0.0005
"""How long a thread may hold the interpreter while another waits: a scrape that is being rendered
must not make the sampler late (the default is 5 ms)."""
_TIDY_NS: Final = 60 * NS_PER_S
_COMMIT_S: Final = 1.0
_LAST_PUSH_S: Final = 1.5
_END_S: Final = 4.5
_MOST_FILES: Final = 4_096


def serve(
    config: Config,
    *,
    truth: Path | None = None,
    exit_at_end: bool = False,
    reload: Reload | None = None,
) -> int:
    """Runs the agent until SIGINT or SIGTERM; the exit code. ``reload`` reads the configuration
    again when a service manager asks for that with SIGHUP.

    Raises InputError, StateUnusable, ListenFailed before anything runs, and DriverUnavailable
    where ``require_gpu`` is set and there is none.
    """
    clock = clock_of(config)
    backend = backend_of(config, clock)
    if truth is not None and not hasattr(backend, "truth"):
        raise InputError("--truth needs --backend mock: nobody knows the truth of a real node")
    if backend.notice and config.origin("state_dir") == DEFAULT:
        refuse_mixing(config.state_dir)
    with ExitStack() as stack:
        state_dir = stack.enter_context(held(config.state_dir))
        service = Service(config, clock, backend)
        stack.callback(service.close)
        url = service.open()
        _announce(url, backend, state_dir)
        code = service.run(exit_at_end=exit_at_end, reload=reload)
    if truth is not None:
        truth.write_text(json.dumps(backend.truth(), indent=2) + "\n")  # type: ignore[attr-defined]
    if service.again:
        begin_anew()
    return code


class Service:
    """Owns the parts of a running agent: open, run, close."""

    def __init__(self, config: Config, clock: Clock, backend: Backend) -> None:
        self._config = config
        self._backend = backend
        self._clock = clock
        self.again = False  # ended in order to begin anew
        self._manager = service_manager(os.environ, os.getpid())
        self._heart = Heart(self._manager, SystemClock())
        self._hub = Broadcast()
        self._budget = BudgetWatch(config.node.power_budget_mw)
        self._outlets: list[Outlet] = []
        keep = config.ledger
        factors = rows_of(config)
        store, loaded = open_store(
            config.state_dir,
            backend.name,
            clock.wall_ns(),
            Keep(keep.keep_10s_days, keep.keep_minute_days, keep.keep_hour_days),
            self._heart.saving,
        )
        self._committer = Committer(store, clock, lambda error: self._agent.crash(error))
        session = _session(config, clock, backend)
        ledger = DurableLedger(loaded, session, self._committer, config.max_series)
        self._levels = LevelPage(lambda: self._node.watches())
        self._listeners: list[Callable[[str, Reading], None]] = []
        functions = ticking_of(config, clock)
        self._node = Node(
            backend,
            clock,
            period_ns=config.sampling.period_ns,
            settle_ns=config.settle.interval_ns,
            on_reading=self._publish,
            seen=self._seen,
            heard=lambda: bool(self._listeners) or self._hub.heard or self._seen(),
            on_driver_error=lambda error: self._agent.driver_attention(error),
            checkpoint=ledger.checkpoint,
            boot_id=session.boot_id,
            ticking=functions is not None,
            look_after_ns=LOOK_AFTER_NS,
        )
        about = About(
            backend=backend.name,
            version=__version__,
            started_wall_ns=clock.wall_ns(),
            power_budget_mw=config.node.power_budget_mw,
            notice=self._notice,
        )
        self._labels = Labels()
        self._tidy_ns = 0
        self._label_server: LabelServer | None = None
        self._pod_watch, locate, job_of = places(config, backend.processes)
        table = process_table(config, backend.processes, self._labels, locate, job_of)
        pricer = pricer_of(config, factors, clock.wall_ns())
        place = place_of(config)
        self._live = None
        if place is not None:
            every_s = config.footprint.live_interval_s
            self._live = LiveIntensity(place, every_s, config.state_dir, clock, pricer)
        self._workbook = Workbook(ledger, clock.boottime_ns())
        self._work_watch = work_watch(
            config,
            clock,
            backend.processes,
            locate,
            views=self._views,
            workbook=self._workbook,
        )
        settlement = Settlement(
            about, ledger, table, self._node.watches, pricer, workbook=self._workbook
        )
        self._agent = Agent(
            clock,
            self._node,
            settlement,
            config.settle.interval_ns,
            ledger_up=lambda: self._committer.up,
            on_settled=self._beat,
            label_requests=lambda: self._label_server.requests() if self._label_server else {},
            exporters=lambda: tuple(outlet.state() for outlet in self._outlets),
            ticking=functions,
            others_up=lambda: {} if self._live is None else {"carbon": self._live.up},
        )
        self._gate: Gate | None = None
        self._login_workers = ThreadPoolExecutor(1, "login")  # no thread until somebody logs in
        self._reader = ThreadPoolExecutor(1, "history")  # no thread until somebody asks
        self._history = History(config.state_dir, self._reader, clock.wall_ns, self._snapshot)
        self._midnight = Midnight(config.state_dir, self._reader, self._snapshot)
        self._server: Server | None = None
        self._server_thread: threading.Thread | None = None

    def open(self) -> str:
        """Loads the exporters and takes the address; the URL of the page."""
        for name, options in self._config.exporters.items():
            outlet = Outlet(_exporter(self._config, name, options), self._clock, self._snapshot)
            self._outlets.append(outlet)
            if outlet.offer is not None:
                self._listeners.append(outlet.offer)
        answer = answers(self._snapshot, self._node.watches, user_name, self._notice)
        self._label_server = label_server(
            self._config,
            self._labels,
            self._clock,
            answer,
            levels=self._levels,
            workbook=self._workbook,
        )
        table = routes(
            self._snapshot,
            self._outlets,
            self._hub,
            self._agent.not_ready,
            self._history.handler(),
            day=self._midnight.day,
            host=os.uname().nodename,
        )
        web = self._config.web
        if web.config_file is not None or web.bearer_tokens_file is not None:
            self._gate = Gate(web.config_file, web.bearer_tokens_file, self._login_workers)
            self._gate.open()
        self._server = Server(
            table,
            web.listen.host,
            web.listen.port,
            allow_remote=web.allow_remote,
            gate=self._gate,
        )
        return self._server.bind()

    def run(self, *, exit_at_end: bool, reload: Reload | None = None) -> int:
        """Starts everything, waits for the end, stops everything."""
        assert self._server is not None
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        faulthandler.enable()  # a watchdog's SIGABRT then says what every thread was at
        _allow_many_connections()
        memory.keep_together()
        ended = self._agent.ended
        thread = threading.Thread(target=self._server.run, name="web", daemon=True)
        with ended.by_signals():
            self._server_thread = thread
            thread.start()
            for outlet in self._outlets:
                outlet.start()
            for helper in self._helpers():
                helper.start()
            self._committer.start()
            self._agent.start(give_up=self._config.require_gpu)
            gc.collect()
            gc.freeze()  # what is there now stays: collections need not look at it again
            memory.give_back()
            _wait(ended, self._backend if exit_at_end else None)
            while ended.only_reload() and self._stays_as_it_is(reload):
                _wait(ended, self._backend if exit_at_end else None)
            self.again &= not ended.wait(0)  # unless somebody wants the end after all
            self._end()  # a second ^C, or one more from the terminal's whole group, changes nothing
        if self._agent.gave_up is not None:
            raise self._agent.gave_up
        return self._code()

    def _code(self) -> int:
        return EXIT_OK if self._agent.crashed is None else EXIT_FAILED

    def _end(self) -> None:
        """Stops everything, the ledger's last second included; cut short where that hangs."""
        self._manager.tell(*(reloading(SystemClock()) if self.again else ("STOPPING=1",)))
        _end_within(_END_S, self._code)
        snapshot = self._agent.stop()
        finish(self._outlets, snapshot)
        if not self._committer.stop(_COMMIT_S):
            _log.error("the last second is not in the ledger: the disk takes too long")
        _say_goodbye(snapshot)

    def _stays_as_it_is(self, reload: Reload | None) -> bool:
        """After SIGHUP. Under a service manager it asks for a reload; of a terminal that is
        closed it means the end."""
        if reload is None or not self._manager.listens:
            return False
        reason = refusal(reload, self._snapshot())
        self.again = not reason
        if reason:
            _log.error("not reloaded, the old configuration stays in effect: %s", reason)
            self._heart.say(f"not reloaded: {reason}")
        return bool(reason)

    def _beat(self) -> None:
        # Not from a snapshot: that is made when somebody looks, and costs a third of a settlement.
        now_ns = self._clock.boottime_ns()
        powers = {watch.info.uuid: watch.power_mw(now_ns) for watch in self._node.watches()}
        self._hub.remember(now_ns, {uuid: mw for uuid, mw in powers.items() if mw is not None})
        self._budget.look(self._snapshot)
        self._heart.beat(self._snapshot, self._agent.not_ready, self._agent.pulse)
        if now_ns >= self._tidy_ns:
            self._tidy_ns = now_ns + _TIDY_NS
            memory.give_back()

    def close(self) -> None:
        """Gives everything back; called whatever happened."""
        self._committer.stop(_COMMIT_S)
        if self._server is not None:
            self._server.stop()
            if self._server_thread is not None:
                self._server_thread.join(timeout=2.0)
            else:
                self._server.close()
        for workers in (self._login_workers, self._reader):
            workers.shutdown(wait=False, cancel_futures=True)
        for helper in self._helpers():
            helper.stop()
        self._levels.close()
        finish(self._outlets, None)
        close(self._outlets, self._clock, _LAST_PUSH_S)

    def _seen(self) -> bool:
        """Whether a program or a job wants readings as soon as they are there."""
        return self._hub.hurried or self._levels.wanted(self._clock.boottime_ns())

    def _publish(self, uuid: str, reading: Reading) -> None:
        """A sensor's new value, to the page, the jobs that measure themselves, and exporters."""
        if self._hub.heard:
            self._hub.publish(uuid, reading)
        if self._levels.wanted(reading.at_ns):
            self._levels.publish(uuid, reading)
        for listener in self._listeners:
            listener(uuid, reading)

    def _helpers(self) -> list[LabelServer | PodWatch | LiveIntensity | WorkWatch]:
        helpers = (self._label_server, self._pod_watch, self._live, self._work_watch)
        return [helper for helper in helpers if helper is not None]

    def _views(self) -> list[ProcessView]:
        return self._agent.processes()

    def _snapshot(self) -> Snapshot | None:
        return self._agent.snapshot

    def _notice(self) -> str:
        return self._backend.notice


def _exporter(config: Config, name: str, options: Mapping[str, object]) -> Exporter:
    """Raises InputError that points to where a wrong option was set."""
    with placed(config, name):
        return load_exporter(name, options)


def _session(config: Config, clock: Clock, backend: Backend) -> Session:
    """This start of the agent. What is simulated or replayed begins anew with each, so it is of
    no boot."""
    plain = repr(replace(config, origins={}))
    return Session(
        id=0,
        backend=backend.name,
        version=__version__,
        config=hashlib.sha256(plain.encode()).hexdigest(),
        boot_id=boot_id() if not backend.notice else "",
        wall_ns=clock.wall_ns(),
        boottime_ns=clock.boottime_ns(),
    )


def _allow_many_connections() -> None:
    """Raises the soft limit of open files to the hard one: 1,024 is soon used up by scrapers."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _announce(url: str, backend: Backend, state_dir: Path) -> None:
    if backend.notice:
        _log.warning("%s", backend.notice)
    _log.info("serving %s and %smetrics; state in %s", url, url, state_dir)


def _end_within(seconds: float, code: Callable[[], int]) -> None:
    """Ends the process by force, with that code, if it hasn't ended by then: a thread may be stuck
    in the driver, and whoever stops a service waits for it. What was booked until now is booked."""

    def end() -> None:
        _log.error("something does not let go within %g s; ending all the same", seconds)
        faulthandler.dump_traceback(all_threads=True)
        os._exit(code())

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def _wait(ended: Ending, until_finished: Backend | None) -> None:
    """Until somebody ends it, or the recording is over."""
    while not ended.wait(timeout=None if until_finished is None else 0.2):
        if getattr(until_finished, "finished", False):
            return


def _say_goodbye(snapshot: Snapshot | None) -> None:
    total_uj = sum(gpu.energy_uj for gpu in snapshot.gpus) if snapshot else 0
    if snapshot is not None and snapshot.gpus:
        joules = decimal(total_uj, len(str(UJ_PER_J)) - 1)
        _log.info("metered %s J on %d GPU(s)", joules, len(snapshot.gpus))
