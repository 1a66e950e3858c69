"""Where to cut a ranking: thresholds for one query, from its own scores and what chance would give."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

MIN_BACKGROUND = 30
"""Pictures in the random sample below which nothing is said about chance."""

TAIL = 0.2
"""Share of the sample that counts as its upper tail."""

MAD_TO_SIGMA = 1.4826
"""The median absolute deviation of a normal distribution, times this, is its standard deviation."""


@dataclass(frozen=True)
class SuggestedThresholds:
    """Three thresholds (cosines) for one query, strict >= balanced >= wide, and why.

    `reason` is a sentence; `nothing` says that even the best match is no closer than chance would make it.
    """

    strict: float
    balanced: float
    wide: float
    nothing: bool
    reason: str


def unrelated(background: NDArray[np.floating]) -> NDArray[np.floating]:
    """Of the similarities to a random sample, (n,), those that chance explains.

    What lies above the level that chance would reach once in so many is left out, again and again until nothing does
    (sigma clipping, from above only): in a collection of few kinds of thing a fifth of any sample may be related to a
    query. At least half of the sample stays.
    """
    kept = background
    while len(rest := kept[kept <= chance_level(kept, len(kept))]) < len(kept):
        if len(rest) < len(background) / 2:
            break
        kept = rest
    return kept


def chance_level(background: NDArray[np.floating], total: int) -> float:
    """The similarity that the best of `total` unrelated pictures would reach if chance were normal.

    `background` are the similarities of the query to a random sample of the collection, of shape (n,). Most of them
    are unrelated to it, so that their median describes the unrelated, and the median absolute deviation of those below
    it (of both sides: B. Iglewicz and D. Hoaglin, How to Detect and Handle Outliers, 1993), for related ones lie above;
    of a normal distribution with these, one value in `total` exceeds the quantile 1 - 1/total.
    """
    middle = float(np.median(background))
    sigma = MAD_TO_SIGMA * float(np.median(middle - background[background <= middle]))
    return middle + sigma * NormalDist().inv_cdf(1 - 1 / max(total, 2))


def cautious_level(background: NDArray[np.floating], total: int) -> float:
    """The same if chance had the longer tail of an exponential distribution, fitted to the sample's highest TAIL.

    The level that one value in `total` exceeds is u + mean excess over u · ln(TAIL · total), with u the quantile
    1 - TAIL (peaks over threshold, with shape 0: S. Coles, An Introduction to Statistical Modeling of Extreme Values,
    2001, 4.3.3). Related pictures in the sample would make it higher.
    """
    start = float(np.quantile(background, 1 - TAIL))
    excess = float(np.mean(background[background > start] - start)) if np.any(background > start) else 0.0
    return start + excess * float(np.log(max(TAIL * total, 1.0)))


def steepest_gap(scores: NDArray[np.floating]) -> float:
    """The middle of the gap in a descending ranking, of two or more scores, that is widest for its rank.

    MCut takes the widest gap (C. Largeron, C. Moulin and M. Géry, "MCut: A Thresholding Strategy for Multi-label
    Classification", IDA 2012), which chance alone puts behind the first or the second: in an exponential tail the
    gap behind rank r is 1/r of the first on average (A. Rényi, "On the theory of order statistics", 1953). So each
    gap is taken times its rank.
    """
    gaps = (scores[:-1] - scores[1:]) * np.arange(1, len(scores))
    at = int(np.argmax(gaps))
    return float(scores[at] + scores[at + 1]) / 2


def suggest_thresholds(
    similarities: NDArray[np.floating], background: NDArray[np.floating], total: int, *, besides: bool = False
) -> SuggestedThresholds | None:
    """Thresholds for a query from its matches' similarities (best first) and those to a random sample.

    Wide is the chance level; balanced the steepest gap among the scores above it, the chance level counting as the
    last of them; strict the cautious level, kept between balanced and the best match. Pictures of the query itself
    should not be among the similarities, for the gap below them says nothing; `besides` says that there are such.
    None when there is too little to go by.
    """
    if not len(similarities) or len(background) < MIN_BACKGROUND:
        return None
    best = float(similarities[0])
    background = unrelated(background)
    wide = min(chance_level(background, total), 0.999)
    if best <= wide:
        return SuggestedThresholds(
            *(wide, wide, wide),
            nothing=True,
            reason=f"Probably nothing {'else ' if besides else ''}like it here: the best match, at {percent(best)}, "
            f"is no closer than the best of {total:,} unrelated pictures would be ({percent(wide)}).",
        )
    balanced = steepest_gap(np.append(similarities[similarities > wide], wide))
    cautious = cautious_level(background, total)
    doubt = "" if best > cautious else " Even the best match may be chance."
    return SuggestedThresholds(
        strict=max(balanced, min(cautious, best)),
        balanced=balanced,
        wide=wide,
        nothing=False,
        reason=f"Suggested: {percent(balanced)}, where the scores drop most. "
        f"Unrelated pictures end at about {percent(wide)}.{doubt}",
    )


def percent(cosine: float) -> str:
    """A cosine as it is read: no less than 0 %, with a narrow space."""
    return f"{max(cosine, 0.0) * 100:.0f}\u202f%"
