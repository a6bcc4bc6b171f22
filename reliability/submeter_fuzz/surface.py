"""What a surface is: bytes from outside in, a value or an error that it documents out."""

import logging
import os
from collections.abc import Callable
from typing import Final, NamedTuple

from submeter.model import ProcessKey

KEY: Final = ProcessKey("boot", 4711, 1)
NOW_S: Final = 1_767_225_600


class Surface(NamedTuple):
    """``take`` may raise ``errors``, nothing else. ``seeds``: what a good input looks like."""

    take: Callable[[bytes], object]
    errors: tuple[type[Exception], ...] = ()
    seeds: tuple[bytes, ...] = ()


def outcome(surface: Surface, data: bytes) -> str:
    """ "" for a value, else the name of the documented error. Whatever else is raised, is."""
    try:
        surface.take(data)
    except surface.errors as error:
        return type(error).__name__
    return ""


def quiet() -> None:
    """What is refused is not to be said a million times."""
    logging.disable(logging.CRITICAL)
    os.environ.pop("SUBMETER_CONFIG", None)
