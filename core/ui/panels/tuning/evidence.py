"""What the Tune page works with: the matches to judge, the verdicts, and the curves once there are enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st

from core.embedding.active_models import ActiveModel
from core.search.query_parts import Kind
from core.tuning.judging_queue import Candidates, usual_cut
from core.tuning.precision_recall import Tuning, missing
from core.tuning.verdicts import StoredVerdict
from core.ui.app_status import engine

LOOK_SECONDS = 0.6
"""How long a run may look up queries."""


@dataclass(frozen=True)
class Evidence:
    """The matches to judge of each query, the verdicts, and the curves; `missing` says what these need, else ""."""

    pool: Sequence[Candidates]
    verdicts: Sequence[StoredVerdict]
    tuning: Tuning | None
    missing: str

    @property
    def disputed(self) -> int:
        """How many matches were judged both right and wrong."""
        return sum(entry.disputed for entry in self.verdicts)

    @property
    def cut(self) -> float:
        """The threshold (0 to 1) around which verdicts say most."""
        if self.tuning:
            return self.tuning.best
        similarities = [entry.similarity for entry in self.verdicts]
        return usual_cut(self.pool, similarities, [entry.right for entry in self.verdicts])


def read_evidence(in_use: ActiveModel, kind: Kind) -> Evidence:
    """Read it for one kind of search. Raises DatabaseError."""
    with st.spinner("Looking for matches to judge…", show_time=False):
        pool = engine().judging_queue.pool(in_use, kind, LOOK_SECONDS)
    verdicts = engine().verdicts.read(in_use.model, kind)
    rights = [entry.right for entry in verdicts]
    lacking = missing([entry.key for entry in verdicts], rights)
    tuning = None
    if pool and not lacking:
        stamp = (in_use.model.id, kind, len(pool), len(verdicts), sum(rights), verdicts[-1].at)
        tuning = _tuning(verdicts, pool, stamp)
    return Evidence(pool, verdicts, tuning, lacking)


@st.cache_resource(max_entries=4, show_spinner=False)
def _tuning(_verdicts: Sequence[StoredVerdict], _pool: Sequence[Candidates], stamp: tuple[object, ...]) -> Tuning:
    """The curves, computed again only when the stamp changes."""
    return Tuning(
        [entry.key for entry in _verdicts],
        np.array([entry.similarity for entry in _verdicts]),
        [entry.right for entry in _verdicts],
        [entry.similarities for entry in _pool],
    )
