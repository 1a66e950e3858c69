"""Whether the best match of a query is one: its similarity, seen against how crowded the place is where it lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.search.unrelated_scores import read_background

MIN_SAMPLE = 30
"""Pictures in a sample below which nothing is said about chance."""

SKIPPED, PLACES = 3, 10
"""The neighbourhood of a query are the matches at places 4 to 13, for the first few may be true ones; that of a match
are its ten nearest pictures."""

BEYOND = 30
"""The place (from 0) that a long slope of scores still reaches."""

QUERIES = 300
"""Pictures of the sample that are searched for: a share is right within 0.03. It takes 0.05 s with 2,000 others."""

GROUP = 4
"""So many pictures above the level that one unrelated picture reaches are a group: chance gives that to one query in
fifty (Poisson distribution with mean 1)."""

MATCH, NOTHING = 0.05, 0.5
"""Shares of the pictures with nothing like them that find as much: up to MATCH it is a match, from NOTHING on probably
none. A lower NOTHING finds more queries without a match, and is wrong of more that have one: `python -m bench cuts` has
the curve. Here one in twenty of those hears it, mostly where something else comes before the match."""

Verdict = Literal["match", "perhaps", "nothing"]


@dataclass(frozen=True)
class Calibration:
    """What searches in this collection give when there is nothing to find, learnt from its own pictures.

    `chance` is the evidence, ascending, of QUERIES pictures whose own group is left out; `slope` is the mean of their
    slopes with it (see `slope`); and `threshold` is the cosine at which unrelated pictures end for the median of them.
    """

    chance: NDArray[np.floating]
    slope: float
    threshold: float

    def share(self, found: float) -> float:
        """The share of pictures with nothing like them whose evidence is at least `found`: the p-value."""
        reaching = len(self.chance) - int(np.searchsorted(self.chance, found))
        return (reaching + 1) / (len(self.chance) + 1)


def verdict(share: float) -> Verdict:
    """What such a share says."""
    return "match" if share <= MATCH else "perhaps" if share < NOTHING else "nothing"


def evidence(similarities: NDArray[np.floating], crowding: float) -> float:
    """That the best of the similarities (descending, at least 14) is a true match.

    Three times it, less the mean of the query's neighbourhood and the `crowding` of the match. With twice, this is the
    score that takes hubs out (CSLS: A. Conneau et al., "Word Translation Without Parallel Data", ICLR 2018, 2.3; hubs:
    M. Radovanović et al., JMLR 11, 2010); the similarity itself is added because it tells queries of another kind of
    picture better, and costs nothing elsewhere (area under the curve .88 to .90 on scenes, against foreign queries).
    """
    return float(3 * similarities[0] - crowding - similarities[SKIPPED : SKIPPED + PLACES].mean())


def crowding(similarities: NDArray[np.floating]) -> float:
    """How crowded the place of a picture is, by its similarities to a sample without itself: the mean of the ten
    highest."""
    return float(np.partition(similarities, -PLACES)[-PLACES:].mean())


def slope(similarities: NDArray[np.floating]) -> float:
    """Whether scores (descending, at least 31) drop behind the first few (below 0) or go on falling (above).

    The logarithm of the drop from a query's neighbourhood to the 31st, as a share of that from the best to the
    neighbourhood.
    """
    near = similarities[SKIPPED : SKIPPED + PLACES].mean()
    return float(np.log((near - similarities[BEYOND] + 1e-6) / (similarities[0] - near + 1e-6)))


def calibrate(vectors: NDArray[np.floating], total: int) -> Calibration | None:
    """What searches among `total` pictures give, by a random sample of them: unit rows of shape (n, dim).

    Each of QUERIES rows is a query among the others. Left out as its own group are all that stand above the end of
    the unrelated when they are GROUP or more, else its nearest. Of more pictures than the sample has, the best are
    better: by as much as the tails of the rows say, at their median.
    None when there are too few.
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
