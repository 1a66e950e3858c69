"""Judging on the Tune page: which matches are shown, and what becomes of the answers."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from uuid import UUID

import numpy as np
import streamlit as st

from core.embedding.active_models import ActiveModel
from core.search.query_parts import Kind
from core.signed_urls import thumbnail_path
from core.tuning.judging_queue import Candidates, Proposal, propose
from core.tuning.verdicts import StoredVerdict, Verdict
from core.ui.app_status import engine, notices
from core.ui.components.judge import Pair, judge

AHEAD = 6
"""Matches that the page has at hand: an answer shows the next one at once."""


def show_judging(
    in_use: ActiveModel, kind: Kind, pool: Sequence[Candidates], verdicts: Sequence[StoredVerdict], cut: float
) -> None:
    """One proposal after the other; `cut` is the threshold (0 to 1) around which most of them lie."""
    scope = f"{in_use.model.id}-{kind}"
    st.session_state.setdefault("passed", set())
    st.session_state.setdefault("proposed", {})
    judge(
        [_pair(one) for one in _next(pool, verdicts, cut, scope)],
        given=len(verdicts),
        done="There is nothing left to judge here. Search for something else, or index more pictures.",
        key=f"judge-{scope}",
        on_answer=lambda id, given: _answer(in_use, id, given),
    )


def _answer(in_use: ActiveModel, id: str, given: str) -> None:
    """Keep what was answered about a proposal, or what took that back."""
    proposal: Proposal | None = st.session_state["proposed"].get(id)
    if proposal is None:  # of a visit before the server's last start: it was kept then
        return
    pair = proposal.query.key, proposal.picture
    if given == "skip":
        st.session_state["passed"].add(pair)
    elif given == "unskip":
        st.session_state["passed"].discard(pair)
    else:
        right = {"yes": True, "no": False}.get(given)
        with notices():
            engine().verdicts.judge(in_use.model, Verdict(proposal.query, proposal.picture, proposal.similarity, right))


def _next(pool: Sequence[Candidates], verdicts: Sequence[StoredVerdict], cut: float, scope: str) -> list[Proposal]:
    """The proposals to show, those that were on the way first: what a person looks at must not change."""
    judged = {(entry.key, entry.picture) for entry in verdicts}
    closed = judged | st.session_state["passed"]
    kept = [one for one in st.session_state.get(scope, []) if (one.query.key, one.picture) not in closed][: AHEAD // 2]
    passed = st.session_state["passed"] | {(one.query.key, one.picture) for one in kept}
    rng = np.random.default_rng()
    st.session_state[scope] = kept + propose(pool, judged, passed, cut, AHEAD - len(kept), rng)
    st.session_state["proposed"].update({one.id: one for one in st.session_state[scope]})
    return list(st.session_state[scope])


def _pair(proposal: Proposal) -> Pair:
    return {
        "id": proposal.id,
        "querySrc": _query_image(proposal),
        "queryWords": proposal.query.label if proposal.query.kind == "words" else "",
        "queryName": _query_name(proposal),
        "matchSrc": thumbnail_path(engine().settings, proposal.picture),
        "matchName": _picture_name(proposal.picture),
    }


def _query_image(proposal: Proposal) -> str:
    if proposal.query.kind == "words":
        return ""
    if proposal.thumbnail is not None:
        return f"data:image/jpeg;base64,{b64encode(proposal.thumbnail).decode()}"
    part = proposal.query.parts[0]
    return thumbnail_path(engine().settings, part.picture) if part.picture else ""


def _query_name(proposal: Proposal) -> str:
    part = proposal.query.parts[0]
    return proposal.query.label or (_picture_name(part.picture) if part.picture else "")


@st.cache_data(max_entries=2_000, ttl=600, show_spinner=False)
def _picture_name(id: UUID) -> str:
    return engine().store.name(id)
