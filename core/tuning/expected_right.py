"""How many of the matches that a search shows are right, by the verdicts on others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.tuning.logistic_curve import ShareCurve
from core.tuning.precision_recall import missing
from core.tuning.verdicts import StoredVerdict

Array = NDArray[np.float64]


def chances_right(verdicts: Sequence[StoredVerdict], similarities: Array) -> Array | None:
    """The probability (0 to 1) that matches of these similarities (cosines, of shape (m,)) are right, by the curve of
    the Tune page; None while the verdicts are too few for one."""
    rights = [entry.right for entry in verdicts]
    if missing([entry.key for entry in verdicts], rights):
        return None
    known = np.array([entry.similarity for entry in verdicts], float)
    curve = ShareCurve(known, np.array(rights, float), float(known.min()), float(known.max()))
    return curve.at(curve.fit(np.ones((1, len(known)))), similarities)
