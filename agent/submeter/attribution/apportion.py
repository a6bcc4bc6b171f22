"""A whole and weights in, integer parts that add up to it out: the largest-remainder method.

Every part is within 1 of its exact rational share. Truncating instead, as most exporters do, loses
up to one unit per part each time: 30 J a day for seven processes at 100 Hz.
"""

from collections.abc import Sequence


def apportion(total: int, weights: Sequence[int], turn: int = 0) -> list[int]:
    """``total`` in parts proportional to ``weights``; the parts' sum is ``total`` exactly.

    Units left over go to the largest remainders; ``turn`` says who is first among equals, so
    counting it up gives everybody the same over as many turns as there are parts. A weight of 0
    never gets anything. Raises ValueError for a negative total or weight, or no positive weight.
    """
    whole = sum(weights)
    if total < 0 or whole <= 0 or min(weights) < 0:
        raise ValueError(f"can't apportion {total} to weights {list(weights)}")
    count = len(weights)
    if weights.count(weights[0]) == count:  # the floor's case, by far the most frequent one
        part, left = divmod(total, count)
        parts = [part] * count
        for i in range(turn, turn + left):
            parts[i % count] += 1
        return parts
    parts = []
    remainders = []
    for weight in weights:
        part, remainder = divmod(total * weight, whole)
        parts.append(part)
        remainders.append(remainder)
    left = total - sum(parts)
    if left:
        by_need = sorted(range(count), key=lambda i: (-remainders[i], (i - turn) % count))
        for i in by_need[:left]:
            parts[i] += 1
    return parts
