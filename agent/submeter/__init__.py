"""submeter: the electricity submeter for GPUs.

For jobs: `submeter.phase`, `submeter.workload`, `submeter.measure` (see `submeter.client`), loaded
when first used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from submeter.client import Measurement as Measurement
    from submeter.client import measure as measure
    from submeter.client import phase as phase
    from submeter.client import workload as workload

__version__ = "0.1.0"

_OF_THE_CLIENT = ("Measurement", "measure", "phase", "workload")


def __getattr__(name: str) -> Any:
    if name not in _OF_THE_CLIENT:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from submeter import client

    return getattr(client, name)


def __dir__() -> list[str]:
    return [*globals(), *_OF_THE_CLIENT]
