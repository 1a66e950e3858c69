"""Whether the best match of a query is a true match: its similarity, corrected for how crowded its surroundings are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.search.unrelated_scores import read_background

MIN_SAMPLE = 30
"""Pictures in a sample below which no estimate of chance is made."""

SKIPPED, PLACES = 3, 10
"""The neighbourhood of a query is its matches at ranks 4 to 13, because the first few may be true matches; that of a
match is its ten nearest pictures."""

BEYOND = 30
"""The rank (from 0) that a long slope of scores still reaches."""

QUERIES = 300
"""Pictures of the sample used as queries: shares are then accurate to 0.03. Takes 0.05 s with 2,000 others."""

GROUP = 4
"""As many pictures above the level that one unrelated picture reaches form a group: by chance, this happens to one
query in fifty (Poisson distribution with mean 1)."""

MATCH, NOTHING = 0.05, 0.5
"""Shares of the pictures without look-alikes that find something as close: up to MATCH it is a match, from NOTHING on
probably none. A lower NOTHING detects more queries without a match, and is wrong about more with one: `python -m bench
cuts` prints the curve. With this value it is wrong about one in twenty, mostly where another picture ranks above the
match."""

Verdict = Literal["match", "perhaps", "nothing"]


@dataclass(frozen=True)
class Calibration:
    """What searches in this collection return when there is nothing to find, learned from its own pictures.

    `chance` is the evidence, ascending, of QUERIES pictures with their own group left out; `slope` is the mean of
    their slopes including it (see `slope`); `threshold` is the median of the cosines at which unrelated pictures end.
    """

    chance: NDArray[np.floating]
    slope: float
    threshold: float

    def share(self, found: float) -> float:
        """The share of pictures without look-alikes whose evidence is at least `found`: the p-value."""
        reaching = len(self.chance) - int(np.searchsorted(self.chance, found))
        return (reaching + 1) / (len(self.chance) + 1)


def verdict(share: float) -> Verdict:
    """The verdict for such a share (0 to 1)."""
    return "match" if share <= MATCH else "perhaps" if share < NOTHING else "nothing"


def evidence(similarities: NDArray[np.floating], crowding: float) -> float:
    """How strongly the best of the similarities (descending, at least 14) appears to be a true match.

    Three times the best, minus the mean of the query's neighbourhood and the `crowding` of the match. With twice the
    best, this is the score that corrects for hubs (CSLS: A. Conneau et al., "Word Translation Without Parallel Data",
    ICLR 2018, 2.3; hubs: M. Radovanović et al., JMLR 11, 2010). The similarity itself is added because it separates
    queries of another kind of picture better, at no cost elsewhere (area under the curve .88 to .90 on scenes, against
    foreign queries).
    """
    return float(3 * similarities[0] - crowding - similarities[SKIPPED : SKIPPED + PLACES].mean())


def crowding(similarities: NDArray[np.floating]) -> float:
    """How crowded the surroundings of a picture are: the mean of its ten highest similarities to a sample without
    it."""
    return float(np.partition(similarities, -PLACES)[-PLACES:].mean())


def slope(similarities: NDArray[np.floating]) -> float:
    """Whether scores (descending, at least 31) drop after the first few (below 0) or keep falling (above 0).

    The logarithm of the drop from a query's neighbourhood to the 31st score, relative to the drop from the best score
    to the neighbourhood.
    """
    near = similarities[SKIPPED : SKIPPED + PLACES].mean()
    return float(np.log((near - similarities[BEYOND] + 1e-6) / (similarities[0] - near + 1e-6)))


def calibrate(vectors: NDArray[np.floating], total: int) -> Calibration | None:
    """Calibrate searches among `total` pictures by a random sample of them: unit rows of shape (n, dim).

    Each of QUERIES rows is a query among the others. All pictures above the end of the unrelated ones are left out as
    its own group when they are GROUP or more, else its nearest. Among more pictures than the sample has, best matches
    are better: by the median of what the tails of the rows give. None when the sample is too small.
    """
    if len(vectors) < MIN_SAMPLE + BEYOND:
        return None
    queries, skipped = vectors[:QUERIES], SKIPPED + PLACES
    rankings, matches = list[NDArray[np.floating]](), list[int]()
    slopes, ends, gains = list[float](), list[float](), list[float]()
    for row, scores in enumerate(queries @ vectors.T):
        order = np.argsort(-scores)
        order = order[order != row]
        ranked = scores[order]
        background = read_background(ranked)
        group = int((ranked > background.level(len(ranked))).sum())
        left_out = min(group if group >= GROUP else 1, len(ranked) - skipped)
        rankings.append(ranked[left_out:])
        matches.append(int(order[left_out]))
        slopes.append(slope(ranked))
        ends.append(background.level(total))
        best, middle = (
            background.level(total, above) - background.level(len(ranked), above) for above in (1, SKIPPED + PLACES / 2)
        )
        gains.append(3 * best - middle)
    around = vectors[matches] @ vectors.T
    around[np.arange(len(matches)), matches] = -np.inf
    found = [evidence(ranked, crowding(near)) for ranked, near in zip(rankings, around, strict=True)]
    return Calibration(np.sort(found) + np.median(gains), float(np.mean(slopes)), float(np.median(ends)))
