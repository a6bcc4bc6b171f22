"""All layers in, one `Config` out: who wins, what fits together, where the state goes."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from submeter.config.layers import (
    Override,
    environment_settings,
    file_settings,
    override_settings,
)
from submeter.config.schema import EXPORTERS, SECTIONS, Config, Exporters
from submeter.config.settings import KeyPath, Setting
from submeter.errors import InputError


def load(
    path: str | os.PathLike[str] | None = None,
    overrides: Iterable[Override] = (),
    environ: Mapping[str, str] | None = None,
) -> Config:
    """The effective configuration: ``overrides`` > ``environ`` > the file > defaults.

    ``environ`` is the process's own by default. Of several overrides of a key the last one wins.
    Raises InputError for what is not known, not of the right kind, or does not fit together.
    """
    environ = os.environ if environ is None else environ
    config = _built(
        [
            *(file_settings(Path(path)) if path is not None else ()),
            *environment_settings(environ),
            *override_settings(overrides),
        ]
    )
    if "state_dir" not in config.origins and os.geteuid() != 0:
        config = replace(config, state_dir=_user_state_dir(environ))
    _check_together(config)
    return config


def backend_options(config: Config) -> Mapping[str, object]:
    """What the chosen backend is created with: the section of its name, less what is not set."""
    section = getattr(config, config.backend, None)
    names = getattr(section, "__dataclass_fields__", ())
    values = {name: getattr(section, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def _built(layers: Iterable[Setting]) -> Config:
    """Later settings win; an exporter's options win one by one."""
    by_key: dict[str, dict[str, Any]] = {name: {} for name in ("", *SECTIONS)}
    exporters: dict[str, object] = {"prometheus": {}}
    origins = {}
    for path, value, origin in layers:
        if path[0] == EXPORTERS:
            _put(exporters, path[1:], value)
        else:
            *section, name = path
            by_key[".".join(section)][name] = value
        origins[".".join(path)] = origin
    sections = {name: SECTIONS[name](**by_key[name]) for name in SECTIONS}
    enabled = _enabled(exporters)
    return Config(**by_key[""], **sections, exporters=enabled, origins=origins)


def _put(table: dict[str, object], path: KeyPath, value: object) -> None:
    *parents, last = path
    for part in parents:
        inner = table.get(part)
        copy = dict(inner) if isinstance(inner, dict) else {}
        table[part] = copy
        table = copy
    if value != {} or not isinstance(table.get(last), dict):  # an empty table takes nothing away
        table[last] = value


def _enabled(exporters: Mapping[str, object]) -> Exporters:
    return {
        name: {option: value for option, value in options.items() if option != "enabled"}
        for name, options in exporters.items()
        if isinstance(options, dict) and options.get("enabled", True)
    }


def _user_state_dir(environ: Mapping[str, str]) -> Path:
    state_home = environ.get("XDG_STATE_HOME", "")
    if state_home.startswith("/"):  # the XDG specification has relative ones ignored
        return Path(state_home, "submeter")
    home = environ.get("HOME", "")
    if not home.startswith("/"):
        raise InputError("state_dir must be set where neither XDG_STATE_HOME nor HOME is")
    return Path(home, ".local/state/submeter")


def _check_together(config: Config) -> None:
    if config.backend == "replay" and config.replay.trace is None:
        raise config.error(
            "backend", 'backend "replay" needs a recording to play: set replay.trace (--trace FILE)'
        )
    web = config.web
    asks_who = web.config_file is not None or web.bearer_tokens_file is not None
    # Whether what those files say does ask everybody is only known when they are read.
    if web.listen.is_remote and not web.allow_remote and not asks_who:
        raise config.error(
            "web.listen",
            f"web.listen {config.web.listen} can be reached from other machines and nobody is "
            "asked who they are: set web.config_file or web.bearer_tokens_file so that they "
            "are, or web.allow_remote = true if that is meant",
        )
