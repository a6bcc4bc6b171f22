"""A life that breaks something in, the least of it that still does out."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from submeter_simulator.life import live
from submeter_simulator.timeline import Timeline


def verdict(timeline: Timeline) -> str:
    """What breaks in that life, in one line; "" if nothing does."""
    try:
        live(timeline)
    except Exception as error:  # noqa: BLE001  whatever it is, it is what was looked for
        return f"{type(error).__name__}: {error}"
    return ""


def shrunk(
    timeline: Timeline,
    breaks: Callable[[Timeline], str] = verdict,
    tell: Callable[[Timeline], None] = lambda _less: None,
) -> Timeline:
    """Leaves out whatever is not needed to break it, as ddmin does (Zeller and Hildebrandt,
    Simplifying and Isolating Failure-Inducing Input, 2002). ``tell`` hears of each step."""
    parts = 2
    while len(timeline.events) > 1:
        for less in _without_parts(timeline, parts):
            if breaks(less):
                timeline, parts = less, max(parts - 1, 2)
                tell(timeline)
                break
        else:
            if parts >= len(timeline.events):
                break
            parts = min(2 * parts, len(timeline.events))
    return _shorter(timeline, breaks)


def _without_parts(timeline: Timeline, parts: int) -> Iterator[Timeline]:
    events = timeline.events
    size = -(-len(events) // parts)
    for at in range(0, len(events), size):
        yield replace(timeline, events=events[:at] + events[at + size :])


def _shorter(timeline: Timeline, breaks: Callable[[Timeline], str]) -> Timeline:
    last_s = max((event.at_ms for event in timeline.events), default=0) // 1_000 + 1
    less = replace(timeline, seconds=min(timeline.seconds, last_s))
    return less if less != timeline and breaks(less) else timeline
