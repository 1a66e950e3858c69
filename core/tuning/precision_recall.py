"""Verdicts and similarities -> precision and recall by threshold, and suggested thresholds.

What is estimated: a query is drawn at random, and its `core.tuning.judging_queue.MATCHES` most similar pictures are
fetched. Of those that reach a threshold, precision is the share that a person would call right. Of all the right ones
among those fetched, recall is the share that reaches the threshold; right pictures that are not fetched do not count.
The pairs of all queries have the same weight.

Verdicts are not a random sample of these pairs: the page proposes mostly pairs near the threshold. But whether a pair
was judged depends only on its similarity, so given the similarity the answers are missing at random (D. Rubin,
"Inference and missing data", Biometrika 63, 1976). Therefore the share of right ones is estimated as a curve over
similarity and applied to every candidate pair, judged or not. This is post-stratification by similarity with smooth
strata: a verdict stands for all pairs in its stratum (A. Gelman and T. Little, "Poststratification into many
categories using hierarchical logistic regression", Survey Methodology 23, 1997; for precision and recall: P. Welinder,
M. Welling and P. Perona, "A lazy man's approach to benchmarking", CVPR 2013).
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
"""The fewest verdicts, right or wrong ones, and queries for which anything is estimated.

30 verdicts are ten for each of the curve's three coefficients. Six is the smallest number whose 95 % interval, if all
agree, excludes one half (Clopper and Pearson: from 0.54 for 6 of 6, from 0.48 for 5 of 5). Queries are the clusters of
the bootstrap: its intervals extend 3.9 standard errors with five of them, but 4.8 with four, 7.6 with three and 36 with
two, see `Tuning.bands`."""

REPLICATES = 600
"""Bootstrap replicates: with many queries, an interval ends near the eighth replicate from each side."""

CONFIDENCE = 0.95
"""The confidence that precision and recall are both inside their intervals."""


@dataclass(frozen=True)
class Interval:
    """A share and its confidence interval, all 0 to 1."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Reading:
    """The estimates at a threshold: precision and recall, the numbers of verdicts that reach it and of right ones among
    them, and the number of all verdicts."""

    threshold: float
    precision: Interval
    recall: Interval
    reached: int
    right: int
    verdicts: int

    @property
    def sentence(self) -> str:
        """The estimates in a sentence."""
        return (
            f"At {per_mille(self.threshold) / 10:g}\u202f% {in_words(self.precision.value)} shown are right, and "
            f"{in_words(self.recall.value)} of the right ones are shown (from {self.verdicts:,} verdicts)."
        )


@dataclass(frozen=True)
class Check:
    """Leave-one-query-out validation: the number of right verdicts predicted and found, and the lowest and highest
    best-F1 threshold when one query is left out."""

    expected: float
    right: int
    lowest: float
    highest: float


def in_words(share: float) -> str:
    """A share in words: "about 19 in 20"."""
    if share >= 0.985:
        return "nearly all"
    if share < 0.015:
        return "hardly any"
    base = 10 if abs(round(share * 10) / 10 - share) <= 0.025 and 0 < round(share * 10) < 10 else 20
    return f"about {min(max(round(share * base), 1), base - 1)} in {base}"


def missing(queries: Sequence[str], rights: Sequence[bool]) -> str:
    """A sentence on what is missing before a threshold can be suggested; "" if nothing is."""
    right, judged, distinct = sum(rights), len(rights), len(set(queries))
    more = max(
        MIN_VERDICTS - judged,
        max(0, MIN_EACH - right) + max(0, MIN_EACH - (judged - right)),
        MIN_QUERIES - distinct,
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
        f"{MIN_QUERIES} different queries (so far {distinct})" if distinct < MIN_QUERIES else "",
    ]
    needs = " and ".join(filter(None, short)) if judged >= MIN_VERDICTS // 2 else ""
    text = f"{more} more verdict{'' if more == 1 else 's'} until a threshold can be suggested"
    return f"{text}, with at least {needs}." if needs else f"{text}."


class Tuning:
    """Curves from verdicts. `thresholds` has shape (STEPS + 1,): 0, 0.005, …, 1; so have the curves."""

    def __init__(
        self, queries: Sequence[str], similarities: Array, rights: Sequence[bool], candidates: Sequence[Array]
    ) -> None:
        """The first three have one entry per verdict; `candidates` are the similarities of each query's matches in the
        pool, of shape (matches,) each. Check that `missing` returns "" first."""
        self.thresholds: Array = np.arange(STEPS + 1) / STEPS
        self._similarities = np.asarray(similarities, float)
        self._rights = np.asarray(rights, float)
        self._codes = np.unique(np.array(queries), return_inverse=True)[1]
        self._queries = int(self._codes.max()) + 1
        self._counts: Array = np.stack([histogram(values) for values in candidates])
        pairs = np.concatenate(candidates)
        self.span = float(pairs.min()), float(pairs.max())
        self._curve = ShareCurve(self._similarities, self._rights, *self.span)
        fit = self._curve.fit(np.ones((1, len(self._rights))))
        self.precision, self.recall = self._curve.over(fit, self._counts.sum(axis=0)[None])[:, 0]
        self._shown = np.append(from_above(self._counts.sum(axis=0)), 0) > 0

    def at(self, threshold: float) -> Reading:
        """The estimates at a threshold (0 to 1), rounded to the nearest half percent."""
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

    def for_precision(self, target: float) -> float | None:
        """The lowest threshold with a precision of at least `target` (0 to 1); None if no threshold that shows
        anything reaches it."""
        enough = (self.precision >= target) & self._shown
        return float(self.thresholds[np.argmax(enough)]) if enough.any() else None

    @property
    def reachable(self) -> float:
        """The highest precision of any threshold that shows something."""
        return float(self.precision[self._shown].max())

    @cached_property
    def bands(self) -> tuple[Array, Array]:
        """The lower and the upper ends of the intervals, each of shape (2, STEPS + 1): precision, recall.

        Verdicts of one query are not independent, so whole queries are resampled: a Bayesian bootstrap (D. Rubin,
        Annals of Statistics 9, 1981), whose weights, unlike counts, never leave a replicate without a right verdict,
        over clusters (A. Davison and D. Hinkley, Bootstrap Methods and their Application, 1997, 3.8). Percentile
        intervals are too short for few clusters and are expanded as in T. Hesterberg ("What teachers should know
        about the bootstrap", The American Statistician 69, 2015). Precision and recall share the error of
        1 - CONFIDENCE between them (O. Dunn, "Multiple comparisons among means", JASA 56, 1961). Where all the
        verdicts that reach a threshold agree, no replicate shows how often they might not; the interval of precision
        then extends at least as far as the exact one of C. Clopper and E. Pearson (Biometrika 26, 1934).
        """
        rng = np.random.default_rng(len(self._rights))
        queries = rng.exponential(size=(REPLICATES, self._queries))
        pool = rng.exponential(size=(REPLICATES, len(self._counts)))
        fits = self._curve.fit(queries[:, self._codes], rng.exponential(size=(REPLICATES, 1)))
        error = (1 - CONFIDENCE) / 4  # two intervals with two ends each
        wider = stats.t.ppf(error, self._queries - 1) * np.sqrt(self._queries / (self._queries - 1))
        tail = float(stats.norm.cdf(wider))
        lows, highs = np.quantile(self._curve.over(fits, pool @ self._counts), [tail, 1 - tail], axis=1)
        for step, threshold in enumerate(self.thresholds):
            reach = self._rights[self._similarities >= threshold - 1e-9]
            if reach.all() or not reach.any():
                exact = exact_interval(int(reach.sum()), len(reach), 1 - 2 * error)
                highs[0, step] = max(highs[0, step], exact.high)
                lows[0, step] = 0.0 if len(reach) and not reach.any() else lows[0, step]
        middle = np.stack([self.precision, self.recall])
        return np.minimum(lows, middle), np.maximum(highs, middle)

    @cached_property
    def check(self) -> Check:
        """Leave each query out in turn and predict its verdicts from the others (M. Stone, "Cross-validatory choice
        and assessment of statistical predictions", JRSS B 36, 1974)."""
        weights = 1.0 - (self._codes[None] == np.arange(self._queries)[:, None])
        fits = self._curve.fit(weights)
        chances = self._curve.chances(fits[self._codes])
        total = np.broadcast_to(self._counts.sum(axis=0), (self._queries, STEPS))
        cuts = self.thresholds[_best(*self._curve.over(fits, total))]
        return Check(float(chances.sum()), int(self._rights.sum()), float(cuts.min()), float(cuts.max()))

    def more_for(self, half_width: float, reading: Reading) -> int:
        """About how many more verdicts narrow both intervals to ±`half_width`, whose width is inversely proportional to
        the square root of their number."""
        widest = max(part.high - part.low for part in (reading.precision, reading.recall)) / 2
        return max(0, round(len(self._rights) * ((widest / half_width) ** 2 - 1)))


def exact_interval(right: int, verdicts: int, confidence: float) -> Interval:
    """The share of right verdicts with its exact binomial interval (C. Clopper and E. Pearson, Biometrika 26, 1934)."""
    if not verdicts:
        return Interval(0.5, 0.0, 1.0)
    found = stats.binomtest(right, verdicts).proportion_ci(confidence, method="exact")
    return Interval(right / verdicts, float(found.low), float(found.high))


def _best(precision: Array, recall: Array) -> NDArray[np.intp]:
    """The index of the highest F1 in each row."""
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return np.asarray(np.argmax(f1, axis=1))
