"""Suggested thresholds for one query, from its own scores and those expected by chance."""

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
"""Unrelated pictures expected above the lowest cut for the same thing, and above the cut for the same kind. Thirty are
quickly looked through, and few pictures of the same thing rank behind ten unrelated ones."""

LONG_SLOPE = -0.4
"""Slope of the scores above which a query is taken to ask for a kind of thing rather than for one thing."""

OTHERS = 3.0
"""Weight of the mean slope of the collection's own pictures relative to the query's: most collections are of one
sort."""

Question = Literal["thing", "kind"]


@dataclass(frozen=True)
class SuggestedThresholds:
    """Thresholds (cosines) for one query, and why.

    `thing` is the cut for pictures of the same thing, few and far above the rest; `kind`, no higher, the cut for
    pictures of the same kind of thing, many on a long slope. `question` is which of the two the scores look like. On
    average one unrelated picture scores above `unrelated`. `verdict` is whether there is a match at all, based on
    `share`: the share of the collection's pictures that find something as close without their own group (None when
    unknown). `reason` is a sentence.
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
        """The highest of the three, for few matches."""
        return self.thing

    @property
    def balanced(self) -> float:
        """The cut for what the scores look like: the page's starting value."""
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
    """The middle of the widest gap among the scores (descending) above `floor`, which counts as the last of them.

    MCut (C. Largeron, C. Moulin and M. Géry, "MCut: A Thresholding Strategy for Multi-label Classification", IDA 2012).
    When no score is above `floor`, it is the best score.
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
    """Thresholds for a query from the similarities of its matches (best first, (m,)) and of a random sample of the
    `total` pictures searched, (n,).

    `calibration` is of the pictures searched and `crowding` of the best match, see `match_evidence`; without a
    calibration the verdict is never "nothing". The query's own pictures should be in neither array; `besides` is True
    when it has any in the collection. None when there are too few similarities.
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
    result: Verdict = ("match" if best > end else "perhaps") if share is None else verdict(share)
    kind = min(kind, thing)
    return SuggestedThresholds(
        thing,
        kind,
        end,
        question,
        result,
        share,
        _reason(thing if question == "thing" else kind, end, best, question, result, share, besides=besides),
    )


def _slope(similarities: NDArray[np.floating], calibration: Calibration | None) -> float:
    """The slope of the scores, drawn towards that of the collection's pictures (shrinkage: B. Efron and C. Morris,
    "Stein's Paradox in Statistics", Scientific American 236, 1977); that of one thing where too little is known."""
    if calibration is None or len(similarities) <= BEYOND:
        return -np.inf
    return (slope(similarities) + OTHERS * calibration.slope) / (1 + OTHERS)


def _reason(
    cut: float, end: float, best: float, question: Question, result: Verdict, share: float | None, *, besides: bool
) -> str:
    ending = f"Unrelated pictures end at about {percent(end)}."
    if result == "nothing" and share is not None:
        return (
            f"Probably nothing {'else ' if besides else ''}like it here: the best match, at {percent(best)}, is no "
            f"closer than what {percent(share)} of the pictures here find without their own look-alikes. {ending}"
        )
    where = "where the scores drop most" if question == "thing" else "as far as others of its kind stand out"
    doubt = ""
    if result == "perhaps":
        doubt = " Even the best match may be a coincidence" + (
            "."
            if share is None
            else f": {percent(share)} of the pictures here find one as close without their look-alikes."
        )
    return f"Suggested: {percent(cut)}, {where}. {ending}{doubt}"
