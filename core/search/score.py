"""Similarities as they are displayed."""

from __future__ import annotations

from math import floor


def per_mille(similarity: float) -> int:
    """A similarity (-1 to 1) as it is shown and compared: 0 to 1000, rounded down.

    It is rounded down so that whatever shows at least the threshold also reaches it. From 0.9995 on it is 1000,
    because with half-precision storage a picture's similarity to itself is slightly below 1. The small addend
    undoes binary rounding, so that 0.29 becomes 290.
    """
    if similarity >= 0.9995:
        return 1000
    return max(0, min(999, floor(similarity * 1000 + 1e-6)))


def percent(cosine: float) -> str:
    """A cosine as it is read: no less than 0 %, with a narrow space."""
    return f"{max(cosine, 0.0) * 100:.0f}\u202f%"
