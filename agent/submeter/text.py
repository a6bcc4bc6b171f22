"""Names as others gave them in, text that is safe to show out: no control codes, no surrogates.

Process names, pod names and user names come from whoever may run something on the node. A NUL
ends Prometheus's lexer and with it the whole scrape; a lone surrogate (an undecodable byte of a
file name) can't be encoded as UTF-8; an escape sequence rewrites an operator's terminal.
"""

from collections.abc import Iterable
from typing import Final

REPLACEMENT: Final = "\ufffd"

_CONTROL = [*range(0x20), *range(0x7F, 0xA0)]  # C0, DEL, C1
_SURROGATES = range(0xD800, 0xE000)
_SEPARATORS = [0x2028, 0x2029]  # line ends to some readers, never to us
UNSAFE: Final = dict.fromkeys([*_CONTROL, *_SURROGATES, *_SEPARATORS], REPLACEMENT)
"""For `str.translate`: every code point that is replaced, with what replaces it."""


def printable(text: str) -> str:
    """``text`` with each unsafe code point replaced by U+FFFD; encodes as UTF-8."""
    return text if text.isascii() and text.isprintable() else text.translate(UNSAFE)


def ranges(numbers: Iterable[int]) -> str:
    """{0, 1, 2, 5} as "0-2,5"."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], number]
        else:
            parts.append([number])
    return ",".join("-".join(map(str, part)) for part in parts)
