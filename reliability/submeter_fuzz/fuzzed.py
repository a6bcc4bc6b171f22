"""`python -m submeter_fuzz.fuzzed SURFACE [libFuzzer's arguments]`: one surface under atheris.

Never returns: libFuzzer ends the process, with 0 if nothing was found. A process of its own for
each, since what is instrumented is so for good.
"""

import sys
from typing import Any

import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]

with atheris.instrument_imports(include=["submeter", "h11", "tomllib"]):
    from submeter_fuzz.surfaces import SURFACES, outcome, quiet


def main() -> None:
    """Fuzzes until libFuzzer has had enough."""
    quiet()
    surface = SURFACES[sys.argv.pop(1)]

    def one(data: bytes) -> None:
        outcome(surface, data)

    setup: Any = atheris.Setup
    setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
