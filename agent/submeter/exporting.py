"""An exporter's name and options in, the exporter out; what the agent and exporters agree on.

A built-in exporter is a module of ``submeter_exporters``; another distribution offers one through
the entry-point group ``submeter.exporters``. Both are a function ``create(options)``. The agent
imports neither before it is asked to.
"""

import importlib
import pkgutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from importlib.util import find_spec
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

from submeter.config import Config
from submeter.config.kinds import Kind
from submeter.config.notation import found_text, value_text
from submeter.errors import InputError
from submeter.model import Reading, Snapshot
from submeter.web.http import Routes

BUILT_IN: Final = "submeter_exporters"
GROUP: Final = "submeter.exporters"

Source = Callable[[], Snapshot | None]
"""The newest snapshot; None before the first one."""

Options = Mapping[str, object]


class Exporter(Protocol):
    """One way out of the agent. Snapshots are cumulative: skipping some loses nothing.

    A pull exporter has routes, a push exporter an interval; one may have both.
    """

    name: str
    interval_ns: int | None
    """How often `publish` is to be called; None: never."""

    def routes(self, source: Source) -> Routes:
        """What it serves over HTTP; nothing for a pure push exporter."""
        ...

    def publish(self, snapshot: Snapshot) -> None:
        """Sends or writes a snapshot. May be slow: it has a thread of its own. Raises OSError or
        SubmeterError when that fails; the next one is tried all the same."""
        ...

    def close(self) -> None:
        """Lets go of what it holds. Never raises."""
        ...


Create = Callable[[Options], Exporter]


@runtime_checkable
class Tracer(Protocol):
    """An exporter that wants every value the sensors give, besides snapshots."""

    def trace(self, readings: Sequence[tuple[str, Reading]]) -> None:
        """Readings with the UUID of their GPU, since the last call; called before each `publish`,
        in the same thread and under the same terms."""
        ...


class OptionError(InputError):
    """An option is wrong; ``option`` says which one, so that its place can be named."""

    def __init__(self, option: str, message: str) -> None:
        super().__init__(message)
        self.option = option


@contextmanager
def placed(config: Config, name: str) -> Iterator[None]:
    """Whatever an exporter says of an option of its, is said of the place where that was set.
    Raises InputError."""
    try:
        yield
    except OptionError as error:
        raise config.error(f"exporters.{name}.{error.option}", str(error)) from error


REQUIRED: Final = object()
"""The default of an option that must be given."""


class Option(NamedTuple):
    """What one option may hold. ``OPTIONS`` of a module, if it has that, is such a table."""

    kind: Kind
    default: object
    help: str
    unit: str = ""


def available() -> tuple[str, ...]:
    """Names of all exporters there are, sorted; built-in modules and installed plug-ins."""
    return tuple(sorted({*_built_in(), *_plug_ins()}))


def load(name: str, options: Options) -> Exporter:
    """The exporter of that name, ready to be used.

    Raises InputError for an unknown name or for options it doesn't take.
    """
    return _factory(name)(options)


def check(name: str, options: Options) -> None:
    """Raises what `load` would for a wrong name or option, without making the exporter; what a
    plug-in takes only it knows."""
    _factory(name)
    if name in _built_in():
        checked(name, options, options_of(name))


def options_of(name: str) -> Mapping[str, Option]:
    """The options that a built-in exporter takes; for its documentation."""
    known: Mapping[str, Option] = importlib.import_module(f"{BUILT_IN}.{name}").OPTIONS
    return known


def options_markdown(name: str) -> str:
    """The options of a built-in exporter as a table."""
    rows = ["| option | default | accepts | |", "|---|---|---|---|"]
    for key, (kind, default, help_, unit) in options_of(name).items():
        shown = "required" if default is REQUIRED else _shown(key, default)
        rows.append(
            f"| `{key}` | {shown} | {kind.expected}{f' ({unit})' if unit else ''} | {help_} |"
        )
    return "\n".join(rows) + "\n"


def checked(name: str, options: Options, known: Mapping[str, Option]) -> dict[str, Any]:
    """For exporters: the value of every option. Raises OptionError for the first wrong one."""
    check_options(name, options, known)
    values: dict[str, Any] = {}
    for key, option in known.items():
        given = options.get(key, option.default)
        if given is REQUIRED:
            raise OptionError(key, f"exporter {name} needs {key}: {option.kind.expected}")
        values[key] = given if key not in options else option.kind.convert(given)
        if key in options and values[key] is None:
            unit = f" ({option.unit})" if option.unit else ""
            raise OptionError(
                key,
                f"exporters.{name}.{key} must be {option.kind.expected}{unit}, "
                f"found {found_text(given)}",
            )
    return values


def needs(name: str, extra: str, *modules: str) -> None:
    """For exporters: raises InputError where a module of an extra is not installed."""
    for module in modules:
        if not _is_installed(module):
            raise InputError(
                f"exporter {name} needs {module}, which is not installed: "
                f"pip install 'submeter[{extra}]'"
            )


def check_options(name: str, options: Options, known: Collection[str]) -> None:
    """For exporters: raises OptionError if there is an option that isn't known."""
    for option in options:
        if option not in known:
            near = get_close_matches(option, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            raise OptionError(option, f"exporter {name} has no option {option!r}: {takes}{hint}")


def _shown(key: str, default: object) -> str:
    if default is None or default == {}:
        return "–"
    return f"`{value_text(f'{default:04o}' if key == 'mode' else default)}`"


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package that it would be in
        return False


def _factory(name: str) -> Create:
    if name in _built_in():
        module = importlib.import_module(f"{BUILT_IN}.{name}")
        create: Create = module.create
        return create
    plug_ins = _plug_ins()
    if name not in plug_ins:
        raise InputError(f"unknown exporter {name!r}; there are {', '.join(available())}")
    try:
        return plug_ins[name]()
    except (ImportError, AttributeError) as error:
        raise InputError(f"exporter {name} can't be loaded: {error}") from error


def _built_in() -> list[str]:
    spec = find_spec(BUILT_IN)
    paths = None if spec is None else spec.submodule_search_locations
    if paths is None:
        return []
    return [module.name for module in pkgutil.iter_modules(paths) if module.name[0] != "_"]


def _plug_ins() -> Mapping[str, Callable[[], Create]]:
    from importlib.metadata import entry_points  # here: 4 MB that most agents never need

    return {entry.name: entry.load for entry in entry_points(group=GROUP)}
