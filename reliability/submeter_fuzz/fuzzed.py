"""`python -m submeter_fuzz.fuzzed SURFACE [libFuzzer's arguments]`: one surface under atheris.

Never returns: libFuzzer ends the process, with 0 if nothing was found. A process of its own for
each, since what is instrumented is so for good.
"""

import gc
import sys
from typing import Any

import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]

from submeter_fuzz import parsers

_NAME = sys.argv.pop(1)
with atheris.instrument_imports(include=["submeter"], exclude=parsers.others(_NAME)):
    from submeter_fuzz.surface import outcome, quiet
    from submeter_fuzz.surfaces import SURFACES


def main() -> None:
    """Fuzzes until libFuzzer has had enough."""
    quiet()
    surface = SURFACES[_NAME]
    gc.freeze()  # the modules need not be gone through for every few hundred inputs

    def one(data: bytes) -> None:
        outcome(surface, data)

    setup: Any = atheris.Setup
    setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
