"""The scores of unrelated pictures for a query, and where they end, by a tail fitted to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TAIL = 0.1
"""Share of the unrelated pictures that form the tail. Its scale is the distance between the quantiles at this share and
at twice this share."""

SHAPE = -0.15
"""Shape of the tail: cosines are bounded, so it ends sooner than an exponential tail (0). It is a constant, because it
would have to be estimated from a query's few highest scores, which may be its matches. With two models, on photos of
scenes and of classes, 0.4 to 1.6 unrelated pictures on average lie above the end it gives (`python -m bench cuts`)."""


@dataclass(frozen=True)
class Background:
    """The scores (cosines) of pictures unrelated to a query: one in five is above `low`, one in ten above `start`."""

    low: float
    start: float

    def level(self, total: int, above: float = 1.0) -> float:
        """The similarity (a cosine) that on average `above` of `total` unrelated pictures reach.

        Above `start` they follow a generalised Pareto distribution (S. Coles, An Introduction to Statistical Modeling
        of Extreme Values, 2001, 4.2 and 4.3). Its scale is matched to two quantiles (E. Castillo and A. Hadi, "Fitting
        the Generalized Pareto Distribution to Data", JASA 92, 1997), which a few matches at the very top do not move.
        So each query has its own scale, a wide one near hubs.
        """
        exceeding = max(TAIL * total / above, 1.0)
        level = self.start + (self.start - self.low) * float((exceeding**SHAPE - 1) / (2**SHAPE - 1))
        return min(level, 1.0)  # no cosine is higher


def read_background(similarities: NDArray[np.floating]) -> Background:
    """The background of a query, from its similarities to a random sample of the collection, of shape (n,), n >= 1.

    Scores above the level that one unrelated picture in a sample of this size reaches are dropped as related, until
    there are none (sigma clipping, from above only): in a collection of few kinds of things, a twentieth of any sample
    may be related to a query. Where even more are, as in one of five kinds, the tail is one of related pictures, and
    would end at the highest cosine there is: then all above the widest gap of the upper half are dropped first. At
    least half of the sample is kept.
    """
    ordered = np.sort(similarities)
    background = _clipped(ordered, len(ordered))
    if background.level(len(ordered)) < 1 or len(ordered) < 4:
        return background
    half = len(ordered) // 2
    return _clipped(ordered, half + 1 + int(np.argmax(np.diff(ordered[half:]))))


def _clipped(ordered: NDArray[np.floating], kept: int) -> Background:
    """The background of the `kept` lowest of ascending scores, without those that are too high for it."""
    while True:
        background = Background(_quantile(ordered[:kept], 1 - 2 * TAIL), _quantile(ordered[:kept], 1 - TAIL))
        below = int(np.searchsorted(ordered[:kept], background.level(kept), side="right"))
        if below == kept or below < len(ordered) / 2:
            return background
        kept = below


def _quantile(ordered: NDArray[np.floating], share: float) -> float:
    """A quantile of ascending values, interpolated linearly: numpy's, without its checks and sorting."""
    place = share * (len(ordered) - 1)
    low = int(place)
    above = ordered[min(low + 1, len(ordered) - 1)]
    return float(ordered[low] + (place - low) * (above - ordered[low]))
