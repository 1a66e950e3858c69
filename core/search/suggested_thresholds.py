"""Where to cut a ranking: thresholds for one query, from its own scores and what chance would give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.search.match_evidence import (
    BEYOND,
    MIN_SAMPLE,
    PLACES,
    SKIPPED,
    Calibration,
    Verdict,
    evidence,
    slope,
    verdict,
)
from core.search.score import percent
from core.search.unrelated_scores import read_background

THING, KIND = 10.0, 30.0
"""Unrelated pictures that would reach the lowest cut for the same thing, and the cut for the same kind. One looks
through thirty; and few pictures of a thing lie deeper among chance than ten."""

LONG_SLOPE = -0.4
"""The slope of the scores from which on a query asks for a kind of thing, not for one thing."""

OTHERS = 3.0
"""How much the slopes of the collection's own pictures weigh beside a query's: a collection is of one sort, mostly."""

Question = Literal["thing", "kind"]


@dataclass(frozen=True)
class SuggestedThresholds:
    """Thresholds (cosines) for one query, and why.

    `thing` cuts off what shows the same thing, few and far above the rest; `kind`, no higher, what shows the same kind
    of thing, many on a long slope. `question` says which of the two the scores look like. On average one unrelated
    picture scores above `unrelated`. `verdict` says whether there is a match at all; it rests on `share`, the share of
    the collection's pictures that, without their own group, find something as close (None when that is not known).
    `reason` is a sentence.
    """

    thing: float
    kind: float
    unrelated: float
    question: Question
    verdict: Verdict
    share: float | None
    reason: str

    @property
    def strict(self) -> float:
        """The highest of three, for whoever wants few."""
        return self.thing

    @property
    def balanced(self) -> float:
        """The cut for the question that the scores look like: where the page starts."""
        return self.thing if self.question == "thing" else self.kind

    @property
    def wide(self) -> float:
        """Where unrelated pictures begin, no higher than `balanced`."""
        return min(self.unrelated, self.balanced)

    @property
    def nothing(self) -> bool:
        """Whether there is probably nothing like the query."""
        return self.verdict == "nothing"


def widest_gap(scores: NDArray[np.floating], floor: float) -> float:
    """The middle of the widest gap among the scores (descending) that reach `floor`, which counts as the last of them.

    MCut (C. Largeron, C. Moulin and M. Géry, "MCut: A Thresholding Strategy for Multi-label Classification", IDA 2012).
    Where none reaches it, the best alone is cut off, just below.
    """
    reaching = np.append(scores[scores > floor], floor)
    if len(reaching) == 1:
        return float(scores[0])
    at = int(np.argmax(reaching[:-1] - reaching[1:]))
    return float(reaching[at] + reaching[at + 1]) / 2


def suggest_thresholds(
    similarities: NDArray[np.floating],
    background: NDArray[np.floating],
    total: int,
    *,
    calibration: Calibration | None = None,
    crowding: float = 0.0,
    besides: bool = False,
) -> SuggestedThresholds | None:
    """Thresholds for a query from its matches' similarities (best first) and those to a random sample of `total`.

    `calibration` is that of what was searched, and `crowding` that of the best match, see `match_evidence`; without,
    nothing is said to be no match. Pictures of the query itself should be among neither similarities; `besides` says
    that there are such. None when there is too little to go by.
    """
    if not len(similarities) or len(background) < MIN_SAMPLE:
        return None
    chance = read_background(background)
    end, thing_floor, kind = (chance.level(total, above) for above in (1.0, THING, KIND))
    thing = widest_gap(similarities, min(thing_floor, float(similarities[0])))
    question: Question = "kind" if _slope(similarities, calibration) > LONG_SLOPE else "thing"
    share = None
    if calibration is not None and len(similarities) >= SKIPPED + PLACES:
        share = calibration.share(evidence(similarities, crowding))
    best = float(similarities[0])
    said: Verdict = ("match" if best > end else "perhaps") if share is None else verdict(share)
    kind = min(kind, thing)
    return SuggestedThresholds(
        thing,
        kind,
        end,
        question,
        said,
        share,
        _reason(thing if question == "thing" else kind, end, best, question, said, share, besides=besides),
    )


def _slope(similarities: NDArray[np.floating], calibration: Calibration | None) -> float:
    """The slope of the scores, drawn towards that of the collection's pictures (shrinkage: B. Efron and C. Morris,
    "Stein's Paradox in Statistics", Scientific American 236, 1977); that of one thing where too little is known."""
    if calibration is None or len(similarities) <= BEYOND:
        return -np.inf
    return (slope(similarities) + OTHERS * calibration.slope) / (1 + OTHERS)


def _reason(
    cut: float, end: float, best: float, question: Question, said: Verdict, share: float | None, *, besides: bool
) -> str:
    ending = f"Unrelated pictures end at about {percent(end)}."
    if said == "nothing" and share is not None:
        return (
            f"Probably nothing {'else ' if besides else ''}like it here: the best match, at {percent(best)}, is no "
            f"closer than what {percent(share)} of the pictures here find without their own look-alikes. {ending}"
        )
    where = "where the scores drop most" if question == "thing" else "as far as others of its kind stand out"
    doubt = ""
    if said == "perhaps":
        doubt = " Even the best match may be chance" + (
            "." if share is None else f": {percent(share)} of the pictures here find one as close without their own."
        )
    return f"Suggested: {percent(cut)}, {where}. {ending}{doubt}"
