"""The share of right matches as a curve over the similarity, and what it makes of the pairs that nobody judged."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

Array = NDArray[np.float64]

STEPS = 200
"""Thresholds lie on half percents, as the gallery's arrow keys do."""

SPREADS = np.array([10.0, 20.0, 10.0])
"""Standard deviations of the prior on the curve's coefficients, in logits: wide, and finite so that verdicts which a
threshold separates give a finite curve (A. Gelman et al., "A weakly informative default prior distribution for
logistic and other regression models", Annals of Applied Statistics 2, 2008)."""

DOUBT = 0.25
"""A made-up wrong verdict of that weight, as similar as the most similar judged: no number of right ones is a proof
that all are (S. Greenland, "Prior data for non-normal priors", Statistics in Medicine 26, 2007)."""

NEWTON_STEPS, LONGEST_STEP = 25, 5.0


class ShareCurve:
    """P(right | similarity) as a logistic curve whose slope may change once, at the median of the verdicts."""

    def __init__(self, similarities: Array, rights: Array, low: float, high: float) -> None:
        """The verdicts, of shape (n,) each, and between what the similarities of the candidates lie."""
        self._low, self._high = low, max(high, low + 1e-3)
        self._knot = float(self._place(np.median(similarities)))
        self._design = self._features(np.append(similarities, similarities.max()))
        self._answers = np.append(rights, 0.0)

    def fit(self, weights: Array, doubt: Array | None = None) -> Array:
        """Curves by weighted maximum likelihood under the prior, one for each row of weights, by Newton's method
        (J. Platt, "Probabilistic outputs for support vector machines", 1999, fits a logistic curve to scores).

        `weights` are those of the verdicts, of shape (curves, n); `doubt` multiplies DOUBT, of shape (curves, 1). The
        result has shape (curves, 3).
        """
        made_up = DOUBT * (np.ones((len(weights), 1)) if doubt is None else doubt)
        weights = np.hstack([weights, made_up])
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
        """How likely each verdict is to say right by the curve of its own row, of shape (n,)."""
        return _logistic(np.einsum("nf,nf->n", self._design[:-1], fits))

    def over(self, fits: Array, counts: Array) -> Array:
        """Precision and recall over the thresholds, of shape (2, curves, STEPS + 1).

        `counts` are the candidates in each half percent, of shape (curves, STEPS).
        """
        middles = np.clip((np.arange(STEPS) + 0.5) / STEPS, self._low, self._high)
        right = counts * _logistic(fits @ self._features(middles).T)
        right, shown = (np.pad(from_above(values), ((0, 0), (0, 1))) for values in (right, counts))
        top = _logistic(fits @ self._features(np.array([self._high])).T)
        precision = np.where(shown > 1e-9, right / np.maximum(shown, 1e-9), top)
        return np.stack([precision, right / np.maximum(right[:, :1], 1e-12)])

    def _place(self, similarities: Array | np.floating) -> Array:
        """Similarities as the curve sees them: 0 to 1 over those of the candidates."""
        return np.asarray((similarities - self._low) / (self._high - self._low), float)

    def _features(self, similarities: Array) -> Array:
        """A line and, from the knot on, another: of shape (n, 3)."""
        places = self._place(similarities)
        return np.stack([np.ones_like(places), places, np.maximum(places - self._knot, 0)], axis=-1)


def histogram(similarities: Array) -> Array:
    """How many similarities lie in each half percent, of shape (STEPS,); what is below zero lies in the first."""
    places = np.clip(np.floor(similarities * STEPS + 1e-9), 0, STEPS - 1).astype(int)
    return np.bincount(places, minlength=STEPS).astype(float)


def from_above(values: Array) -> Array:
    """Sums over each place and all above it, along the last axis."""
    return values[..., ::-1].cumsum(axis=-1)[..., ::-1]


def _logistic(logits: Array) -> Array:
    return np.asarray(special.expit(logits))
