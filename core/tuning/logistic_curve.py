"""The share of right matches as a curve over similarity, which estimates the pairs that nobody judged."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

Array = NDArray[np.float64]

STEPS = 200
"""Thresholds are multiples of half a percent, as with the gallery's arrow keys."""

SPREADS = np.array([10.0, 20.0, 10.0])
"""Standard deviations of the normal prior on the curve's coefficients, in logits: intercept, slope, change of slope.

It keeps the curve finite if a threshold separates the verdicts, as the weakly informative prior of A. Gelman et al.
("A weakly informative default prior distribution for logistic and other regression models", Annals of Applied
Statistics 2, 2008). Their scale of 2.5 for slopes is too tight here: theirs is a Cauchy distribution with long tails,
for inputs with a standard deviation of 0.5, and ours are similarities from 0 to 1 over the candidates, of which a small
part separates wrong from right. In simulations with 30 verdicts and true slopes of 15, 30 and 50 the curve's mean error
was 13, 17 and 18 points with 2.5, and 5, 5 and 6 with 20; with 40 and 80 it was the same within 1.3 points. Half of
that for the change of slope prefers a straight line."""

DOUBT = 0.25
"""The weight of an artificial wrong verdict at the highest judged similarity: right verdicts alone never prove that all
matches are right (S. Greenland, "Prior data for non-normal priors", Statistics in Medicine 26, 2007)."""

NEWTON_STEPS, LONGEST_STEP = 25, 5.0
"""Most steps of Newton's method, and the longest change of a coefficient in a step, in logits, against overshooting."""


class ShareCurve:
    """P(right | similarity) as a logistic curve whose slope may change once, at the median of the verdicts."""

    def __init__(self, similarities: Array, rights: Array, low: float, high: float) -> None:
        """The verdicts, of shape (n,) each, and the lowest and highest similarity of the candidates."""
        self._low, self._high = low, max(high, low + 1e-3)
        self._knot = float(self._place(np.median(similarities)))
        self._design = self._features(np.append(similarities, similarities.max()))
        self._answers = np.append(rights, 0.0)

    def fit(self, weights: Array, doubt: Array | None = None) -> Array:
        """Maximum a posteriori curves, one for each row of weights, by Newton's method (J. Platt, "Probabilistic
        outputs for support vector machines", 1999, fits a logistic curve to scores).

        `weights` are those of the verdicts, of shape (curves, n); `doubt`, of shape (curves, 1), multiplies DOUBT. The
        result has shape (curves, 3).
        """
        artificial = DOUBT * (np.ones((len(weights), 1)) if doubt is None else doubt)
        weights = np.hstack([weights, artificial])
        fits = np.zeros((len(weights), len(SPREADS)))
        prior = np.diag(SPREADS**-2)
        for _ in range(NEWTON_STEPS):
            chances = _logistic(fits @ self._design.T)
            slope = (weights * (self._answers - chances)) @ self._design - fits @ prior
            bend = weights * chances * (1 - chances)
            curvature = np.einsum("bn,ni,nj->bij", bend, self._design, self._design, optimize=True) + prior
            step = np.linalg.solve(curvature, slope[..., None])[..., 0]
            fits += np.clip(step, -LONGEST_STEP, LONGEST_STEP)
            if np.abs(step).max() < 1e-6:
                break
        return fits

    def chances(self, fits: Array) -> Array:
        """The probability that each verdict is right by the curve in its own row of `fits`, of shape (n,)."""
        return _logistic(np.einsum("nf,nf->n", self._design[:-1], fits))

    def at(self, fit: Array, similarities: Array) -> Array:
        """The probability that matches are right by one curve of shape (1, 3), for similarities of shape (m,); beyond
        the candidates it is that of the nearest one."""
        return _logistic(self._features(np.clip(similarities, self._low, self._high)) @ fit[0])

    def over(self, fits: Array, counts: Array) -> Array:
        """Precision and recall at every threshold, of shape (2, curves, STEPS + 1).

        `counts` are the numbers of candidates in each half percent, of shape (curves, STEPS).
        """
        middles = np.clip((np.arange(STEPS) + 0.5) / STEPS, self._low, self._high)
        right = counts * _logistic(fits @ self._features(middles).T)
        right, shown = (np.pad(from_above(values), ((0, 0), (0, 1))) for values in (right, counts))
        top = _logistic(fits @ self._features(np.array([self._high])).T)
        precision = np.where(shown > 1e-9, right / np.maximum(shown, 1e-9), top)
        return np.stack([precision, right / np.maximum(right[:, :1], 1e-12)])

    def _place(self, similarities: Array | np.floating) -> Array:
        """Similarities scaled to 0 to 1 over the range of the candidates."""
        return np.asarray((similarities - self._low) / (self._high - self._low), float)

    def _features(self, similarities: Array) -> Array:
        """The features of a line that may bend at the knot, of shape (n, 3)."""
        places = self._place(similarities)
        return np.stack([np.ones_like(places), places, np.maximum(places - self._knot, 0)], axis=-1)


def histogram(similarities: Array) -> Array:
    """The number of similarities in each half percent, of shape (STEPS,); negative ones count in the first."""
    places = np.clip(np.floor(similarities * STEPS + 1e-9), 0, STEPS - 1).astype(int)
    return np.bincount(places, minlength=STEPS).astype(float)


def from_above(values: Array) -> Array:
    """Cumulative sums from the end, along the last axis."""
    return values[..., ::-1].cumsum(axis=-1)[..., ::-1]


def _logistic(logits: Array) -> Array:
    return np.asarray(special.expit(logits))
