"""Verdicts and similarities -> precision and recall over the threshold, and the thresholds worth keeping.

What is estimated: a query is drawn at random and its most similar pictures are fetched, as many as
`core.tuning.judging_queue.MATCHES`. Of those that reach a threshold, precision is the share a person would call right.
Recall is, of all the right ones among those fetched, the share that reaches the threshold; a right picture that is not
even fetched counts nowhere. Pairs of all queries count alike.

Verdicts are no random sample of those pairs: the page proposes mostly what lies near the cut. Whether a pair was
judged depends on its similarity alone, so given the similarity the answers are as good as random (D. Rubin, "Inference
and missing data", Biometrika 63, 1976). So the share of right ones is estimated as a curve over the similarity and
put on every candidate pair, judged or not. That is post-stratification by similarity, a verdict standing for as many
pairs as its stratum has, with smooth strata (A. Gelman and T. Little, "Poststratification into many categories using
hierarchical logistic regression", Survey Methodology 23, 1997; for precision and recall: P. Welinder, M. Welling and
P. Perona, "A lazy man's approach to benchmarking", CVPR 2013).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from core.search.score import per_mille
from core.tuning.logistic_curve import STEPS, Array, ShareCurve, from_above, histogram

MIN_VERDICTS, MIN_EACH, MIN_QUERIES = 30, 6, 5
"""Below so many verdicts, right and wrong ones, and queries nothing is said."""

REPLICATES = 600
"""Bootstrap replicates: the quantiles of the intervals then lie on their tenth or so."""

CONFIDENCE = 0.95
"""How sure it is that precision and recall both lie in their intervals."""


@dataclass(frozen=True)
class Interval:
    """A share and between what it lies, all 0 to 1."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Reading:
    """What a threshold means: precision and recall, and of the verdicts that reach it how many there are and how many
    say right. `verdicts` is the number of all."""

    threshold: float
    precision: Interval
    recall: Interval
    reached: int
    right: int
    verdicts: int

    @property
    def sentence(self) -> str:
        """The same for people."""
        return (
            f"At {per_mille(self.threshold) / 10:g}\u202f% {in_words(self.precision.value)} shown are right, and "
            f"{in_words(self.recall.value)} of the right ones are shown (from {self.verdicts:,} verdicts)."
        )


@dataclass(frozen=True)
class Check:
    """Each query foretold by the others: how many right ones they expect among the verdicts and how many there are,
    and the lowest and the highest best-F1 threshold that leaving out one query gives."""

    expected: float
    right: int
    lowest: float
    highest: float


def in_words(share: float) -> str:
    """A share as people say it: "about 19 in 20"."""
    if share >= 0.985:
        return "nearly all"
    if share < 0.015:
        return "hardly any"
    base = 10 if abs(round(share * 10) / 10 - share) <= 0.025 and 0 < round(share * 10) < 10 else 20
    return f"about {min(max(round(share * base), 1), base - 1)} in {base}"


def missing(queries: Sequence[str], rights: Sequence[bool]) -> str:
    """A sentence that says what is still missing before a threshold can be suggested; "" when nothing is."""
    right, judged, asked = sum(rights), len(rights), len(set(queries))
    more = max(
        MIN_VERDICTS - judged,
        max(0, MIN_EACH - right) + max(0, MIN_EACH - (judged - right)),
        MIN_QUERIES - asked,
    )
    if more <= 0:
        return ""
    short = [
        f"{MIN_EACH} matches that are right (there {'is' if right == 1 else 'are'} {right})"
        if right < MIN_EACH
        else "",
        f"{MIN_EACH} that are wrong (there {'is' if judged - right == 1 else 'are'} {judged - right})"
        if judged - right < MIN_EACH
        else "",
        f"{MIN_QUERIES} different queries (so far {asked})" if asked < MIN_QUERIES else "",
    ]
    needs = " and ".join(filter(None, short)) if judged >= MIN_VERDICTS // 2 else ""
    told = f"{more} more verdict{'' if more == 1 else 's'} until a threshold can be suggested"
    return f"{told}, with at least {needs}." if needs else f"{told}."


class Tuning:
    """Curves from verdicts. `thresholds` has shape (STEPS + 1,): 0, 0.005, …, 1; so have the curves."""

    def __init__(
        self, queries: Sequence[str], similarities: Array, rights: Sequence[bool], candidates: Sequence[Array]
    ) -> None:
        """A verdict is one place of the first three; `candidates` are the similarities of the matches of each query
        in the pool, of shape (matches,) each. Ask `missing` first."""
        self.thresholds: Array = np.arange(STEPS + 1) / STEPS
        self._similarities = np.asarray(similarities, float)
        self._rights = np.asarray(rights, float)
        self._codes = np.unique(np.array(queries), return_inverse=True)[1]
        self._asked = int(self._codes.max()) + 1
        self._counts: Array = np.stack([histogram(values) for values in candidates])
        pairs = np.concatenate(candidates)
        self.span = float(pairs.min()), float(pairs.max())
        self._curve = ShareCurve(self._similarities, self._rights, *self.span)
        fit = self._curve.fit(np.ones((1, len(self._rights))))
        self.precision, self.recall = self._curve.over(fit, self._counts.sum(axis=0)[None])[:, 0]
        self._shown = np.append(from_above(self._counts.sum(axis=0)), 0) > 0

    def at(self, threshold: float) -> Reading:
        """What a threshold (0 to 1) means; it is taken to the nearest half percent."""
        step = int(np.clip(round(threshold * STEPS), 0, STEPS))
        reach = self._similarities >= self.thresholds[step] - 1e-9
        lows, highs = self.bands
        values = self.precision[step], self.recall[step]
        precision, recall = (
            Interval(float(value), float(lows[of, step]), float(highs[of, step])) for of, value in enumerate(values)
        )
        return Reading(
            threshold=float(self.thresholds[step]),
            precision=precision,
            recall=recall,
            reached=int(reach.sum()),
            right=int(self._rights[reach].sum()),
            verdicts=len(self._rights),
        )

    @property
    def best(self) -> float:
        """The threshold with the highest F1, the harmonic mean of precision and recall (C. van Rijsbergen,
        Information Retrieval, 1979)."""
        return float(self.thresholds[_best(self.precision[None], self.recall[None])[0]])

    def for_precision(self, wished: float) -> float | None:
        """The lowest threshold from which on precision is at least `wished` (0 to 1); None when none reaches that
        while anything is shown."""
        enough = (self.precision >= wished) & self._shown
        return float(self.thresholds[np.argmax(enough)]) if enough.any() else None

    @property
    def reachable(self) -> float:
        """The highest precision of any threshold that shows something."""
        return float(self.precision[self._shown].max())

    @cached_property
    def bands(self) -> tuple[Array, Array]:
        """The lower and the upper ends of the intervals, each of shape (2, STEPS + 1): precision, recall.

        Verdicts of one query are not independent, so whole queries are drawn anew: a Bayesian bootstrap (D. Rubin,
        Annals of Statistics 9, 1981), whose weights, unlike counts, never leave a replicate without a right verdict,
        over clusters (A. Davison and D. Hinkley, Bootstrap Methods and their Application, 1997, 3.8). Percentile
        intervals are too short for few clusters and are expanded as T. Hesterberg says ("What teachers should know
        about the bootstrap", The American Statistician 69, 2015). Precision and recall share the error of
        1 - CONFIDENCE between them (O. Dunn, "Multiple comparisons among means", JASA 56, 1961). Where all the
        verdicts that reach a threshold agree, no replicate can tell how often they might not; precision then ends
        where the exact interval of C. Clopper and E. Pearson (Biometrika 26, 1934) does.
        """
        rng = np.random.default_rng(len(self._rights))
        asked = rng.exponential(size=(REPLICATES, self._asked))
        pool = rng.exponential(size=(REPLICATES, len(self._counts)))
        fits = self._curve.fit(asked[:, self._codes], rng.exponential(size=(REPLICATES, 1)))
        spare = (1 - CONFIDENCE) / 4  # two intervals with two ends each
        wider = stats.t.ppf(spare, self._asked - 1) * np.sqrt(self._asked / (self._asked - 1))
        tail = float(stats.norm.cdf(wider))
        lows, highs = np.quantile(self._curve.over(fits, pool @ self._counts), [tail, 1 - tail], axis=1)
        for step, threshold in enumerate(self.thresholds):
            reach = self._rights[self._similarities >= threshold - 1e-9]
            if reach.all() or not reach.any():
                exact = exact_interval(int(reach.sum()), len(reach), 1 - 2 * spare)
                highs[0, step] = max(highs[0, step], exact.high)
                lows[0, step] = 0.0 if len(reach) and not reach.any() else lows[0, step]
        middle = np.stack([self.precision, self.recall])
        return np.minimum(lows, middle), np.maximum(highs, middle)

    @cached_property
    def check(self) -> Check:
        """Leave each query out in turn, and let the others foretell its verdicts (M. Stone, "Cross-validatory choice
        and assessment of statistical predictions", JRSS B 36, 1974)."""
        weights = 1.0 - (self._codes[None] == np.arange(self._asked)[:, None])
        fits = self._curve.fit(weights)
        chances = self._curve.chances(fits[self._codes])
        total = np.broadcast_to(self._counts.sum(axis=0), (self._asked, STEPS))
        cuts = self.thresholds[_best(*self._curve.over(fits, total))]
        return Check(float(chances.sum()), int(self._rights.sum()), float(cuts.min()), float(cuts.max()))

    def more_for(self, half_width: float, reading: Reading) -> int:
        """About how many more verdicts make both intervals no wider than twice `half_width`: an interval shrinks with
        the square root of the verdicts."""
        widest = max(part.high - part.low for part in (reading.precision, reading.recall)) / 2
        return max(0, round(len(self._rights) * ((widest / half_width) ** 2 - 1)))


def exact_interval(right: int, verdicts: int, confidence: float) -> Interval:
    """The share of right verdicts with its exact binomial interval (C. Clopper and E. Pearson, Biometrika 26, 1934)."""
    if not verdicts:
        return Interval(0.5, 0.0, 1.0)
    found = stats.binomtest(right, verdicts).proportion_ci(confidence, method="exact")
    return Interval(right / verdicts, float(found.low), float(found.high))


def _best(precision: Array, recall: Array) -> NDArray[np.intp]:
    """The place of the highest F1 in each row."""
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return np.asarray(np.argmax(f1, axis=1))
