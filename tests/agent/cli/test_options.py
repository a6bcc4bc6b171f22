"""The flags that commands share: each is short for a configuration key, and the last one wins."""

import argparse

import pytest

from submeter.cli._options import FLAGS, add_common, settings
from submeter.config import Config, Origin, Override
from submeter.config.schema import KEYS
from submeter.errors import InputError

HOME = {"HOME": "/home/somebody"}


def parsed(*arguments: str, flags: tuple[str, ...] = ()) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_common(parser, *flags)
    return parser.parse_args(arguments)


def effective(*arguments: str, before: tuple[Override, ...] = ()) -> Config:
    return settings(parsed(*arguments), before, HOME)


def test_every_flag_is_short_for_a_key_there_is() -> None:
    assert {flag.key for flag in FLAGS.values()} <= set(KEYS)


def test_flags_and_set_are_the_same_and_the_last_one_wins() -> None:
    assert (
        effective("--listen", "127.0.0.1:1", "--set", "web.listen=127.0.0.1:2").web.listen.port == 2
    )
    config = effective("--set", "web.listen=127.0.0.1:2", "--listen", "127.0.0.1:1")
    assert config.web.listen.port == 1
    assert config.origin("web.listen") == Origin("--listen")


def test_a_switch() -> None:
    assert effective("--require-gpu").require_gpu is True
    assert effective().require_gpu is False


def test_a_wrong_flag_is_named_as_it_was_written() -> None:
    with pytest.raises(InputError) as caught:
        effective("--backend", "mock", "--speed", "fast")
    assert str(caught.value) == (
        '--speed: replay.speed must be a number from 0.001 to 100000, found "fast"'
    )


def test_what_the_command_sets_itself_loses_to_the_command_line() -> None:
    mine = (Override("backend", "mock", "submeter demo"), Override("max_series", "50", "demo"))
    config = effective("--set", "max_series=60", before=mine)
    assert config.backend == "mock"
    assert config.origin("backend") == Origin("submeter demo")
    assert config.max_series == 60


def test_a_command_takes_only_the_flags_it_names() -> None:
    assert parsed("--listen", "x", flags=("--listen",)).overrides
    with pytest.raises(SystemExit):
        parsed("--trace", "x", flags=("--listen",))


def test_parsing_twice_starts_afresh() -> None:
    parser = argparse.ArgumentParser()
    add_common(parser)
    assert parser.parse_args(["--set", "max_series=20"]).overrides == [Override("max_series", "20")]
    assert not parser.parse_args([]).overrides
