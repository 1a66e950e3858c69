"""Judging on the Tune page: which matches are shown, and what the answers do."""

from __future__ import annotations

from base64 import b64encode
from uuid import UUID

import numpy as np
import streamlit as st

from core.embedding.active_models import ActiveModel
from core.search.query_parts import Kind
from core.signed_urls import thumbnail_path
from core.tuning.judging_queue import Proposal, propose
from core.tuning.verdicts import Verdict
from core.ui.app_status import engine, notices
from core.ui.components.judge import Pair, judge
from core.ui.panels.tuning.evidence import Evidence

AHEAD = 6
"""Matches sent to the page in advance, so that an answer shows the next one at once."""


def show_judging(evidence: Evidence, in_use: ActiveModel, kind: Kind) -> None:
    """One match after the other to judge, or why there is none. Raises DatabaseError."""
    if not evidence.pool:
        if kind == "words":
            st.info(
                "No recent text searches. Search with text, and judge the matches here.", icon=":material/format_quote:"
            )
        else:
            st.info("Matches need at least two pictures.", icon=":material/image:")
        return
    scope = f"{in_use.model.id}-{kind}"
    st.session_state.setdefault("skipped", set())
    st.session_state.setdefault("proposed", {})
    judge(
        [_pair(one) for one in _next(evidence, scope)],
        given=len(evidence.verdicts),
        done="There are no matches left to judge. Search for something else, or index more pictures.",
        key=f"judge-{scope}",
        on_answer=lambda id, answer: _handle(in_use, id, answer),
    )


def _handle(in_use: ActiveModel, id: str, answer: str) -> None:
    """Save the answer to a proposal, or undo it."""
    proposal: Proposal | None = st.session_state["proposed"].get(id)
    if proposal is None:  # of a visit before the server last started: it was saved then
        return
    pair = proposal.query.key, proposal.picture
    if answer == "skip":
        st.session_state["skipped"].add(pair)
    elif answer == "unskip":
        st.session_state["skipped"].discard(pair)
    else:
        right = {"yes": True, "no": False}.get(answer)
        with notices():
            engine().verdicts.judge(in_use.model, Verdict(proposal.query, proposal.picture, proposal.similarity, right))


def _next(evidence: Evidence, scope: str) -> list[Proposal]:
    """The proposals to show, those that were sent before first: what a person looks at must not change."""
    judged = {(entry.key, entry.picture) for entry in evidence.verdicts}
    answered = judged | st.session_state["skipped"]
    kept = [one for one in st.session_state.get(scope, []) if (one.query.key, one.picture) not in answered][
        : AHEAD // 2
    ]
    skipped = st.session_state["skipped"] | {(one.query.key, one.picture) for one in kept}
    rng = np.random.default_rng()
    st.session_state[scope] = kept + propose(evidence.pool, judged, skipped, evidence.cut, AHEAD - len(kept), rng)
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
