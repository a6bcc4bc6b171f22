"""`python -m submeter_reliability docs` writes the document; without, it measures and prints.

Measures that are named run, however long they take; with none named, the short ones.
"""

import argparse
import datetime
import sys
from collections.abc import Mapping, Sequence

from submeter_reliability import catalogue, document, figures, marks
from submeter_reliability.figures import Measure, Result, Unavailable


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0 if every figure keeps its bound, 1 if not."""
    parser = argparse.ArgumentParser(prog="submeter_reliability", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="MEASURE", help="docs, all, or measures")
    names = parser.parse_args(arguments).names
    known = figures.measures()
    if names != ["docs"]:
        chosen = _chosen(names, known)
        for name in chosen:
            _measure(name, known[name])
    _write(known)
    return 0 if names == ["docs"] else _report(known)


def _chosen(names: Sequence[str], known: Mapping[str, Measure]) -> list[str]:
    wrong = figures.unknown([name for name in names if name != "all"], known)
    if wrong:
        sys.exit(f"no measure {', '.join(wrong)}; there are {', '.join(known)}")
    if "all" in names:
        return list(known)
    return list(names) or [name for name in known if known[name].MINUTES < figures.LONG]


def _measure(name: str, measure: Measure) -> None:
    print(f"measuring {name}: about {measure.MINUTES:g} min", file=sys.stderr, flush=True)
    try:
        values = measure.measure()
    except Unavailable as reason:
        print(f"{name}: not measured here: {reason}", file=sys.stderr)
        return
    figures.keep({each.name: Result(values[each.name], _today()) for each in measure.FIGURES})


def _write(known: Mapping[str, Measure]) -> None:
    groups, claims = catalogue.load(), marks.find()
    text = document.write(groups, claims, known, figures.read())
    document.PATH.write_text(text, encoding="utf-8")


def _report(known: Mapping[str, Measure]) -> int:
    """Prints each figure; gives 1 if one fails or was never measured."""
    results, wrong, today = figures.read(), 0, _today()
    for measure in known.values():
        for figure in measure.FIGURES:
            result = results.get(figure.name)
            if result is None:
                print(f"{figure.name} - {figure.bound}")
            else:
                old = "" if result.date == today else f"  # of {result.date}"
                print(f"{figure.name} {figures.shown(result.value)} {figure.bound}{old}")
            wrong += result is None or not figure.holds(result.value)
    print(f"{wrong} figures fail" if wrong else "every bound is kept", file=sys.stderr)
    return int(bool(wrong))


def _today() -> str:
    return datetime.datetime.now(tz=datetime.UTC).date().isoformat()


if __name__ == "__main__":
    sys.exit(main())
