"""What unrelated pictures score against a query: where they end, by a tail fitted to what cosines do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TAIL = 0.1
"""Share of the unrelated above which their tail begins; its scale is what lies between this share and twice as much."""

SHAPE = -0.15
"""Shape of the tail: cosines are bounded, and it ends sooner than an exponential one (0). It is a constant, because the
few highest scores of a query, which would tell it, may be its matches. With two models, on photos of scenes and of
classes, 0.4 to 1.6 unrelated pictures on average lie above the end that it gives (`python -m bench cuts`)."""


@dataclass(frozen=True)
class Background:
    """The unrelated pictures of a query: one in five scores above `low`, one in ten above `start` (cosines)."""

    low: float
    start: float

    def level(self, total: int, above: float = 1.0) -> float:
        """The similarity that on average `above` of `total` unrelated pictures reach.

        Above `start` they follow a generalised Pareto distribution (S. Coles, An Introduction to Statistical Modeling
        of Extreme Values, 2001, 4.2 and 4.3). Its scale is matched to two quantiles (E. Castillo and A. Hadi, "Fitting
        the Generalized Pareto Distribution to Data", JASA 92, 1997), which a few matches at the very top do not move.
        So each query has a scale of its own, wide where it lies among hubs.
        """
        exceeding = max(TAIL * total / above, 1.0)
        return self.start + (self.start - self.low) * float((exceeding**SHAPE - 1) / (2**SHAPE - 1))


def read_background(similarities: NDArray[np.floating]) -> Background:
    """The background of a query by its similarities to a random sample of the collection, of shape (n,), n >= 1.

    What scores above the level that one of so many reaches is related and left out, again and again until nothing is
    (sigma clipping, from above only): in a collection of few kinds of thing a twentieth of any sample may be related to
    a query. At least half of the sample stays.
    """
    ordered = np.sort(similarities)
    kept = len(ordered)
    while True:
        background = Background(_quantile(ordered[:kept], 1 - 2 * TAIL), _quantile(ordered[:kept], 1 - TAIL))
        below = int(np.searchsorted(ordered[:kept], background.level(kept), side="right"))
        if below == kept or below < len(ordered) / 2:
            return background
        kept = below


def _quantile(ordered: NDArray[np.floating], share: float) -> float:
    """A quantile of ascending values, between two of them in proportion: numpy's, without its check and sort."""
    place = share * (len(ordered) - 1)
    low = int(place)
    above = ordered[min(low + 1, len(ordered) - 1)]
    return float(ordered[low] + (place - low) * (above - ordered[low]))
