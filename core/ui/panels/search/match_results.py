"""The matches of a query on the Search page, with their threshold, verdicts and actions."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.collection.filters import Filter
from core.collection.store import Match
from core.search.matches import Matches
from core.search.query_parts import Part
from core.search.query_vector import Query
from core.search.score import per_mille
from core.search.suggested_thresholds import SuggestedThresholds
from core.tuning.expected_right import chances_right
from core.tuning.verdicts import Verdict, judged_query
from core.ui.app_status import engine, model_label, notices
from core.ui.components.cards import name_apart, picture_card
from core.ui.components.events import revision_of
from core.ui.components.match_gallery import Mark, MatchCard, match_gallery
from core.ui.formatting import counted, percent
from core.ui.panels.search.compared import edit_match, outlines, query_sides, read_facts, read_warmth
from core.ui.panels.search.match_actions import show_actions
from core.ui.panels.search.query import NEGATIVE, NEW, add_parts
from core.ui.panels.search.query_tiles import ShownQuery, act_on_tile
from core.ui.panels.search.search_options import TOP_KS, fetch_more
from core.ui.picture_drawer import show_picture
from core.ui.undo import offer_undo
from core.verification.relation import relation

QUESTIONS = {
    "thing": ("Same thing", "Where the few best drop to the rest"),
    "kind": ("Same kind", "As far as others of its kind stand out"),
}
"""The suggested cuts, by the question that each answers: its label, and why it is there."""


def show_results(asked: ShownQuery, where: Filter, aside: DeltaGenerator, above: DeltaGenerator) -> None:
    """Draw the query and its matches among the pictures that a filter keeps; `aside` is for what can be done with all
    of them, and `above` for what is wrong with the link. Raises DatabaseError or EncoderError."""
    if asked.query is None:
        match_gallery(
            [],
            threshold=0.0,
            total=0,
            key="gallery",
            on_threshold=lambda _: None,
            tiles=asked.tiles,
            on_tile=act_on_tile,
            empty=asked.lacking,
        )
        return
    query = asked.query
    _forget_threshold_of_other_query(query)
    matches = _find_matches(query, where)
    threshold = _threshold(matches, above)
    offer_undo()
    judged = engine().verdicts.of_query(query.model, judged_query(query).key)
    cards = [_card(match, matches, note) for match, note in zip(matches.found, matches.notes, strict=True)]
    name_apart(cards)
    shown = match_gallery(
        cards,
        threshold=threshold,
        total=matches.total,
        key="gallery",
        search=revision_of(repr(_wanted(query, where))),
        on_threshold=lambda value: _keep_threshold(value, matches.cuts),
        tiles=asked.tiles,
        on_tile=act_on_tile,
        alike_from=_alike_from(matches.cuts),
        on_more=fetch_more if st.session_state["top_k"] < TOP_KS[-1] else None,
        marks=_marks(matches),
        advice=_advice(matches),
        caution=bool(matches.cuts and matches.cuts.nothing and not matches.same),
        rights=_rights(matches, judged),
        verdicts={str(id): right for id, right in judged.items()},
        on_verdict=lambda id, right: _save_verdict(matches, id, right),
        queries=query_sides(query),
        facts=read_facts,
        warmth=lambda id: read_warmth(matches, id),
        on_edit=edit_match,
    )
    st.caption(_summary(matches))
    show_actions(matches, matches.reaching(threshold), [UUID(id) for id in shown.selected], threshold, aside)
    if shown.more_like:
        _add(Part(picture=UUID(shown.more_like)))
    if shown.less_like:
        _add(Part(picture=UUID(shown.less_like), weight=NEGATIVE))
    if shown.opened:
        match = next(match for match in matches.found if str(match.id) == shown.opened)
        note = f"**{percent(match.similarity)}** similar"
        show_picture(match.id, _search_with, note)
    elif not matches.verified:
        _mark_same(matches)


def _wanted(query: Query, where: Filter) -> tuple[object, ...]:
    """All that the matches depend on, but for the collection."""
    state = st.session_state
    leave_out = tuple(query.members) if state.get("leave_out") else ()
    return query.parts, query.model.id, state["top_k"], where, bool(state.get("exact")), leave_out


def _find_matches(query: Query, where: Filter) -> Matches:
    """The matches, read from the database once a query and its options; moving the threshold reads nothing."""
    state = st.session_state
    wanted = _wanted(query, where)
    matches: Matches | None
    known, matches = state.get("matches", (None, None))
    if matches is None or known != wanted:
        exact = bool(state.get("exact"))
        leave_out = query.members if state.get("leave_out") else []
        matches = engine().search(query, state["top_k"], where=where, exact=exact, leave_out=leave_out)
        if state.get("marked") == wanted:  # read again after an action: the bands must not come and go
            matches = engine().mark_same(matches)
        state["matches"] = (wanted, matches)
        engine().verdicts.remember(judged_query(query))
    return matches


def _mark_same(matches: Matches) -> None:
    """Find out which matches are the same picture, now that all are on screen, and draw them again if some are."""
    state = st.session_state
    wanted, _ = state["matches"]
    marked = engine().mark_same(matches)
    state["matches"] = (wanted, marked)
    state["marked"] = wanted
    if marked.same:
        st.rerun()


def _rights(matches: Matches, judged: Mapping[UUID, bool]) -> dict[str, float] | None:
    """How likely each match is right, by its id: what was judged is known, and the rest is as right as matches as
    similar were for other queries. None while the verdicts are too few. Raises DatabaseError."""
    verdicts = engine().verdicts.read(matches.query.model, matches.query.kind)
    chances = chances_right(verdicts, np.array([match.similarity for match in matches.found], float))
    if chances is None:
        return None
    sure = {**dict.fromkeys(matches.same, True), **judged}
    return {
        str(match.id): float(sure.get(match.id, chance)) for match, chance in zip(matches.found, chances, strict=True)
    }


def _card(match: Match, matches: Matches, note: str) -> MatchCard:
    return {
        **picture_card(engine().settings, match, note),
        "similarity": match.similarity,
        "copy_of": str(matches.copies.get(match.id, "")),
        "badge": "In your query" if match.id in matches.query.members else "",
        "relation": relation(matches.same[match.id]) if match.id in matches.same else "",
        "outlines": outlines(matches.same.get(match.id)),
    }


def _threshold(matches: Matches, above: DeltaGenerator) -> float:
    """The threshold in the URL, else the one saved for such queries, else the suggested or the default one."""
    try:
        value = float(st.query_params["threshold"])
        if 0 <= value <= 1:
            return value
        above.warning(f"The threshold in the URL must be between 0 and 1, and {value:g} is not.")
    except KeyError:
        pass
    except ValueError:
        above.warning("The threshold in the URL is not a number; the suggested one is used.")
    if matches.saved_threshold and matches.saved_threshold.threshold is not None:
        return matches.saved_threshold.threshold
    if matches.cuts:
        return per_mille(getattr(matches.cuts, st.session_state.get("question", "balanced"))) / 1000
    return matches.default


def _alike_from(cuts: SuggestedThresholds | None) -> float | None:
    """The cosine from which matches are very alike: the cut for the same thing. None where nothing is suggested."""
    if cuts is None:
        return None
    return 1.0 if cuts.nothing else cuts.thing


def _keep_threshold(value: float, cuts: SuggestedThresholds | None) -> None:
    """Remember a threshold, and the question it answers if it is a suggested cut: the next query starts with that."""
    st.query_params["threshold"] = st.session_state["kept-threshold"] = f"{value:.3f}".rstrip("0").rstrip(".")
    chosen = [question for question in QUESTIONS if cuts and per_mille(getattr(cuts, question)) == per_mille(value)]
    st.session_state["question"] = chosen[0] if chosen else "balanced"


def _forget_threshold_of_other_query(query: Query) -> None:
    """A threshold that was set for another query means nothing for this one: its own is suggested."""
    state = st.session_state
    if state.setdefault("threshold-for", query.parts) != query.parts:
        st.query_params.pop("threshold", None)
        state.pop("kept-threshold", None)
        state["threshold-for"] = query.parts


def _marks(matches: Matches) -> list[Mark]:
    """The saved threshold and the suggested ones."""
    saved, suggested = matches.saved_threshold, matches.cuts
    marks: list[Mark] = []
    if saved and saved.threshold is not None:
        marks = [{"label": "Saved", "at": saved.threshold, "reason": saved.sentence or "Saved on the Tune page"}]
    if suggested is None:
        return marks
    found: list[Mark] = [
        {"label": label, "at": getattr(suggested, question), "reason": reason}
        for question, (label, reason) in QUESTIONS.items()
    ]
    return marks + found[: 1 if suggested.thing == suggested.kind else 2]


def _advice(matches: Matches) -> str:
    saved = matches.saved_threshold
    origin = f"Saved threshold, from {counted(saved.verdicts, 'verdict')}." if saved and saved.verdicts else ""
    if matches.same and matches.cuts and matches.cuts.nothing:
        return " ".join(filter(None, [origin, "Besides the same picture, there is probably nothing like it here."]))
    return " ".join(filter(None, [origin, matches.cuts.reason if matches.cuts else ""]))


def _save_verdict(matches: Matches, id: str, right: bool | None) -> None:
    match = next((match for match in matches.found if str(match.id) == id), None)
    if match is None:
        return
    verdict = Verdict(judged_query(matches.query), match.id, match.similarity, right)
    with notices():
        engine().verdicts.judge(matches.query.model, verdict)


def _summary(matches: Matches) -> str:
    """How the matches were found, in a line."""
    sentence = (
        f"{counted(matches.total, 'picture')} compared in {matches.seconds * 1000:,.0f} ms "
        f"with {model_label(matches.model)}."
    )
    if matches.approximate:
        share = f" (finds about {percent(matches.recall)} of the matches)" if matches.recall is not None else ""
        sentence += f" Approximate{share}: choose *Exact* under *Options* to compare every picture."
    if matches.query.kind == "words":
        sentence += " Text searches score lower than picture searches: 20 to 35\u202f% is high."
    return sentence


def _add(part: Part) -> None:
    add_parts([part])
    st.rerun()


def _search_with(picture: UUID) -> None:
    add_parts([Part(picture=picture)], NEW)
    st.rerun()
