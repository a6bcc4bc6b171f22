"""Every configuration key, once: its type, default, unit, limits and one line of help.

A dataclass is a section, a field with `_about` metadata is a key. Parsing, error messages,
``docs/configuration.md`` and ``deploy/submeter.toml`` are all made from this table.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final, NamedTuple

from submeter.config.kinds import (
    Address,
    Kind,
    address,
    boolean,
    choice,
    integer,
    number,
    path,
    path_or_name,
    text,
    texts,
    word_or,
)
from submeter.config.notation import value_text
from submeter.config.rules import ClassifyRule
from submeter.errors import InputError
from submeter.units import NS_PER_S

_MW_PER_W: Final = 1_000


class Origin(NamedTuple):
    """Where a value was set: a file and line, ``environment NAME``, a flag, or ``default``."""

    source: str
    line: int | None = None

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}"


DEFAULT: Final = Origin("default")


class Key(NamedTuple):
    """What is known of one key, for checking it and for telling people about it."""

    kind: Kind
    default: object
    help: str
    unit: str
    default_text: str  # in words where the default depends on the machine
    example: str  # in TOML notation, where there is no default to show

    @property
    def accepts(self) -> str:
        """Completes "must be …", with the unit."""
        return f"{self.kind.expected} ({self.unit})" if self.unit else self.kind.expected


def _about(
    kind: Kind, help_: str, *, unit: str = "", default_text: str = "", example: str = ""
) -> Mapping[str, Any]:
    """The metadata that makes a field a key; an optional one has a default of None."""
    return {
        "kind": kind,
        "help": help_,
        "unit": unit,
        "default_text": default_text,
        "example": example,
    }


@dataclass(frozen=True, slots=True)
class Sampling:
    """How often the sensors of each GPU are read."""

    rate_hz: float | str = field(
        default="auto",
        metadata=_about(
            word_or("auto", number(0.1, 200)),
            'Readings of each GPU in a second; "auto" reads every value its sensors give, once.',
            unit="Hz",
        ),
    )
    compiled: bool = field(
        default=True,
        metadata=_about(
            boolean(),
            "Polls sensors in compiled code where there is any; false: in Python, for more CPU.",
        ),
    )

    @property
    def period_ns(self) -> int | None:
        """Time between two readings; None: each sensor's own refresh."""
        return None if isinstance(self.rate_hz, str) else round(NS_PER_S / self.rate_hz)


@dataclass(frozen=True, slots=True)
class Settle:
    """How often what was metered is split and booked."""

    interval_s: float = field(
        default=1.0,
        metadata=_about(
            number(0.1, 60), "Time between two settlements; exporters see each one.", unit="s"
        ),
    )

    @property
    def interval_ns(self) -> int:
        """Time between two settlements."""
        return round(self.interval_s * NS_PER_S)


@dataclass(frozen=True, slots=True)
class LedgerKeeping:
    """How long the ledger keeps which detail. Sums are kept for ever, to the microjoule."""

    keep_10s_days: float = field(
        default=3.0,
        metadata=_about(
            number(0.01, 100_000), "How long the history by 10 seconds is kept.", unit="days"
        ),
    )
    keep_minute_days: float = field(
        default=35.0,
        metadata=_about(
            number(0.1, 100_000), "How long the history by the minute is kept.", unit="days"
        ),
    )
    keep_hour_days: float = field(
        default=400.0,
        metadata=_about(
            number(2, 100_000),
            "How long the history by the hour is kept; by the day it is kept for ever.",
            unit="days",
        ),
    )


@dataclass(frozen=True, slots=True)
class Web:
    """Where metrics, the live page and the API are served."""

    listen: Address = field(
        default=Address("127.0.0.1", 10046),
        metadata=_about(address(), "Address to listen on; port 0 takes any free one."),
    )
    allow_remote: bool = field(
        default=False,
        metadata=_about(
            boolean(),
            "Lets web.listen be reachable from other machines though nobody is asked who they are.",
        ),
    )
    config_file: Path | None = field(
        default=None,
        metadata=_about(
            path(),
            "TLS, client certificates and passwords: a web-config.yml of Prometheus; needs "
            "submeter[web].",
            example='"web-config.yml"',
        ),
    )
    bearer_tokens_file: Path | None = field(
        default=None,
        metadata=_about(
            path(),
            "Bearer tokens that let in, one a line.",
            example='"bearer-tokens"',
        ),
    )


@dataclass(frozen=True, slots=True)
class Node:
    """The machine that the GPUs are in."""

    power_budget_watts: float | None = field(
        default=None,
        metadata=_about(
            number(1, 10_000_000),
            "Power that all GPUs together may draw; published with what is left of it.",
            unit="W",
            example="8000",
        ),
    )

    @property
    def power_budget_mw(self) -> int | None:
        """Power that all GPUs together may draw; None if not set."""
        watts = self.power_budget_watts
        return None if watts is None else round(watts * _MW_PER_W)


@dataclass(frozen=True, slots=True)
class Footprint:
    """What joules mean: facility energy, water, carbon, cost; what is not set is not shown."""

    pue: float | None = field(
        default=None,
        metadata=_about(
            number(1, 10), "Facility energy ÷ energy of the IT equipment.", example="1.25"
        ),
    )
    wue: float | None = field(
        default=None,
        metadata=_about(
            number(0, 100),
            "Water that the site uses for a kWh of the IT equipment.",
            unit="L/kWh",
            example="1.8",
        ),
    )
    wue_source: float | None = field(
        default=None,
        metadata=_about(
            number(0, 1_000),
            "Water that generating a kWh takes, per kWh that the site draws.",
            unit="L/kWh",
            example="3.1",
        ),
    )
    carbon_g_per_kwh: float | None = field(
        default=None,
        metadata=_about(
            number(0, 10_000),
            "Carbon intensity of the electricity.",
            unit="gCO2e/kWh",
            example="380",
        ),
    )
    country: str | None = field(
        default=None,
        metadata=_about(
            text(),
            "Country (three letters) whose carbon intensity codecarbon tells; needs "
            "submeter[carbon].",
            example='"DEU"',
        ),
    )
    region: str | None = field(
        default=None,
        metadata=_about(
            text(), "Region of that country, as codecarbon names it.", example='"california"'
        ),
    )
    cloud: str | None = field(
        default=None,
        metadata=_about(
            text(),
            "Cloud region whose carbon intensity codecarbon tells, instead of a country.",
            example='"gcp:europe-west1"',
        ),
    )
    live_url: str | None = field(
        default=None,
        metadata=_about(
            text(),
            "Asked for the carbon intensity of now, as Electricity Maps answers; wins while fresh.",
            example='"https://api.electricitymaps.com/v3/carbon-intensity/latest?zone=DE"',
        ),
    )
    live_token_file: Path | None = field(
        default=None,
        metadata=_about(
            path(), "File with the token for that address.", example='"/etc/submeter/token"'
        ),
    )
    live_interval_s: float = field(
        default=300.0,
        metadata=_about(number(10, 86_400), "Time between two questions to it.", unit="s"),
    )
    live_max_age_s: float = field(
        default=7_200.0,
        metadata=_about(number(60, 864_000), "How old a value may be and still be used.", unit="s"),
    )
    price: float | None = field(
        default=None,
        metadata=_about(
            number(0, 1_000_000), "Price of a kWh, in the currency below.", example="0.28"
        ),
    )
    currency: str | None = field(
        default=None,
        metadata=_about(
            text(),
            "Currency of the price (ISO 4217); XXX, none in particular, where it is not set.",
            example='"EUR"',
        ),
    )
    table: Path | None = field(
        default=None,
        metadata=_about(
            path(),
            "File of factors with source and validity, and of tariffs by the hour; wins over the "
            "keys above.",
            example='"/etc/submeter/factors.toml"',
        ),
    )


@dataclass(frozen=True, slots=True)
class Throughput:
    """How much work was done, as servers tell: tokens, requests. So joules per token."""

    discover: bool = field(
        default=True,
        metadata=_about(
            boolean(),
            "Asks recognised servers on this node's GPUs for /metrics, by the loopback address.",
        ),
    )
    servers: Mapping[str, str] | None = field(
        default=None,
        metadata=_about(
            texts(),
            "Servers not found so, as in containers: workload = address, or several with blanks.",
            example='{ chat = "http://10.0.3.4:8000/metrics" }',
        ),
    )
    interval_s: float = field(
        default=15.0,
        metadata=_about(number(1, 3_600), "Time between two questions to a server.", unit="s"),
    )
    timeout_s: float = field(
        default=2.0,
        metadata=_about(number(0.1, 60), "How long a server may take to answer.", unit="s"),
    )


@dataclass(frozen=True, slots=True)
class Classify:
    """Who does what: rules of the operator, and what jobs say of themselves."""

    rule: tuple[ClassifyRule, ...] = ()
    """Array of tables, checked in `submeter.config.rules`."""
    read_environ: bool = field(
        default=True,
        metadata=_about(
            boolean(), "Reads a few known variables of processes, where the agent may."
        ),
    )
    socket: Path | None = field(
        default=None,
        metadata=_about(
            path(),
            "Socket on which jobs label themselves.",
            default_text='"/run/submeter/submeter.sock" with "/var/lib/submeter" as root, '
            "else submeter.sock in the state directory",
            example='"/run/submeter/submeter.sock"',
        ),
    )
    socket_group: str | None = field(
        default=None,
        metadata=_about(
            text(),
            "Group whose members may connect to that socket, besides the agent's own user.",
            example='"users"',
        ),
    )
    kubelet_socket: Path = field(
        default=Path("/var/lib/kubelet/pod-resources/kubelet.sock"),
        metadata=_about(path(), "Socket of the kubelet's pod-resources service."),
    )


@dataclass(frozen=True, slots=True)
class Mock:
    """The simulated node (`backend = "mock"`)."""

    scenario: Path | str | None = field(
        default=None,
        metadata=_about(
            path_or_name(),
            "Scenario: a file, or the name of one that comes with submeter.",
            example='"scenario.toml"',
        ),
    )


@dataclass(frozen=True, slots=True)
class Replay:
    """A recording played back (`backend = "replay"`)."""

    trace: Path | None = field(
        default=None,
        metadata=_about(
            path(), "Recording to play; this backend needs one.", example='"node.trace"'
        ),
    )
    speed: float = field(
        default=1.0,
        metadata=_about(number(0.001, 100_000), "How many times as fast as it was recorded."),
    )


Exporters = Mapping[str, Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class Config:
    """The effective configuration."""

    backend: str = field(
        default="nvml",
        metadata=_about(
            choice("nvml", "mock", "replay"),
            "Where readings come from: the driver, the simulated node or a recording.",
        ),
    )
    require_gpu: bool = field(
        default=False,
        metadata=_about(
            boolean(), "Exit (69) instead of waiting where there is no usable GPU or driver."
        ),
    )
    state_dir: Path = field(
        default=Path("/var/lib/submeter"),
        metadata=_about(
            path(),
            "Folder of the ledger: what was used, kept across restarts.",
            default_text='"/var/lib/submeter" as root, else "$XDG_STATE_HOME/submeter" '
            'or "~/.local/state/submeter"',
        ),
    )
    max_series: int = field(
        default=2_000,
        metadata=_about(
            integer(10, 100_000),
            'Energy series published at most; newer ones are booked to workload "(other)".',
        ),
    )
    sampling: Sampling = Sampling()
    settle: Settle = Settle()
    ledger: LedgerKeeping = LedgerKeeping()
    web: Web = Web()
    node: Node = Node()
    footprint: Footprint = Footprint()
    throughput: Throughput = Throughput()
    classify: Classify = Classify()
    mock: Mock = Mock()
    replay: Replay = Replay()
    exporters: Exporters = field(default_factory=lambda: {"prometheus": {}})
    """Enabled exporters by name, each with its own options, which the exporter checks."""
    origins: Mapping[str, Origin] = field(default_factory=dict)
    """Where each value comes from, by dotted key; what is absent is a default."""

    def origin(self, key: str) -> Origin:
        """Where the value of a dotted key was set."""
        return self.origins.get(key, DEFAULT)

    def error(self, key: str, message: str) -> InputError:
        """An error about a value that points to where it was set."""
        return InputError(message, source=self.origin(key).source, line=self.origin(key).line)


EXPORTERS: Final = "exporters"
SECTIONS: Final[Mapping[str, type[Any]]] = {
    each.name: type(each.default) for each in fields(Config) if is_dataclass(each.default)
}


def _keys(prefix: str, owner: type[Any]) -> Iterator[tuple[str, Key]]:
    for each in fields(owner):
        if each.metadata:
            about = dict(each.metadata)
            shown = value_text(each.default)
            about["default_text"] = about["default_text"] or shown
            about["example"] = about["example"] or shown
            yield f"{prefix}{each.name}", Key(default=each.default, **about)


KEYS: Final[Mapping[str, Key]] = dict(
    chain(_keys("", Config), *(_keys(f"{name}.", SECTIONS[name]) for name in SECTIONS))
)
