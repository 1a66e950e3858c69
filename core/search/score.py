"""A similarity as people read it."""

from __future__ import annotations

from math import floor


def per_mille(similarity: float) -> int:
    """The similarity (-1 to 1) as it is shown and compared: 0 to 1000, rounded down.

    Rounding down keeps the screen true: what shows at least the threshold reaches it. Only from 0.9995 on is it
    1000, because half-precision storage leaves a picture a little short of 1 against itself. The small addend
    undoes binary rounding, so that 0.29 is 290.
    """
    if similarity >= 0.9995:
        return 1000
    return max(0, min(999, floor(similarity * 1000 + 1e-6)))


def percent(cosine: float) -> str:
    """A cosine as it is read: no less than 0 %, with a narrow space."""
    return f"{max(cosine, 0.0) * 100:.0f}\u202f%"
