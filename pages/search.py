from typing import Any
from uuid import UUID

import streamlit as st

from core.collection.filters import Filter
from core.collection.store import Match
from core.errors import LookalikeError
from core.search.matches import DEFAULT_TOP_K, Matches
from core.search.query_parts import Part
from core.search.query_vector import Query
from core.search.saved_thresholds import SavedThreshold
from core.search.score import per_mille
from core.search.suggested_thresholds import SuggestedThresholds, percent
from core.signed_urls import link, thumbnail_path
from core.tuning.verdicts import Verdict, judged_query
from core.ui.app_status import engine, notices
from core.ui.auto_refresh import auto_refresh
from core.ui.components.gallery import Card, Mark, gallery
from core.ui.components.paste import paste_anywhere
from core.ui.filters import filters
from core.ui.formatting import counted
from core.ui.panels import query_builder
from core.ui.panels.match_actions import show_actions
from core.ui.panels.onboarding import offer_sample, show_tour
from core.ui.picture_drawer import show_picture
from core.ui.undo import offer_undo

QUESTIONS = {
    "thing": ("Same thing", "Where the few best drop to the rest"),
    "kind": ("Same kind", "As far as others of its kind stand out"),
}
"""The suggested cuts, by the question that each answers: its label, and why it is there."""

TOP_KS = [10, 20, 50, 100, 200, 500, 1000]

state = st.session_state
app = engine()


def matches_of(query: Query) -> Matches:
    """The matches, asked of the database once a query and its choices; moving the threshold asks nothing."""
    leave_out = query.members if state.get("leave_out") else []
    wanted = (query.parts, query.model.id, state["top_k"], where, state.get("exact"), tuple(leave_out))
    found: Matches | None
    known, found = state.get("matches", (None, None))
    if found is None or known != wanted:
        found = app.search(query, state["top_k"], where=where, exact=bool(state.get("exact")), leave_out=leave_out)
        state["matches"] = (wanted, found)
        app.verdicts.remember(judged_query(query))
    return found


def card(match: Match, matches: Matches, note: str) -> Card:
    return {
        "id": str(match.id),
        "src": thumbnail_path(app.settings, match.id),
        "url": link(app.settings, match.url),
        "title": match.title,
        "similarity": match.similarity,
        "copy_of": str(matches.copies.get(match.id, "")),
        "note": note,
        "badge": "In your query" if match.id in matches.query.members else "",
    }


def asked_threshold(matches: Matches) -> float:
    """The threshold in the address bar, else the one saved for such queries, else the suggested or the default one."""
    try:
        value = float(st.query_params["threshold"])
        if 0 <= value <= 1:
            return value
        st.warning(f"The threshold in the address must lie between 0 and 1, and {value:g} does not.")
    except KeyError:
        pass
    except ValueError:
        st.warning("The threshold in the address is no number; the suggested one is used.")
    if matches.yours and matches.yours.threshold is not None:
        return matches.yours.threshold
    if matches.cuts:
        return per_mille(getattr(matches.cuts, state.get("question", "balanced"))) / 1000
    return matches.default


def keep_threshold(value: float, cuts: SuggestedThresholds | None) -> None:
    """Remember a threshold, and the question it answers if it is a suggested cut: the next query begins with that."""
    st.query_params["threshold"] = f"{value:.3f}".rstrip("0").rstrip(".")
    chosen = [question for question in QUESTIONS if cuts and per_mille(getattr(cuts, question)) == per_mille(value)]
    state["question"] = chosen[0] if chosen else "balanced"


def advice(matches: Matches) -> str:
    yours = matches.yours
    saved = f"Yours was saved from {counted(yours.verdicts, 'verdict')}." if yours and yours.verdicts else ""
    return " ".join(filter(None, [saved, matches.cuts.reason if matches.cuts else ""]))


def keep_verdict(matches: Matches, id: str, right: bool | None) -> None:
    match = next((match for match in matches.found if str(match.id) == id), None)
    if match is None:
        return
    with notices():
        app.verdicts.judge(matches.query.model, Verdict(judged_query(matches.query), match.id, match.similarity, right))


def marks(cuts: SuggestedThresholds | None, yours: SavedThreshold | None) -> list[Mark]:
    saved: list[Mark] = []
    if yours and yours.threshold is not None:
        saved = [{"label": "Yours", "at": yours.threshold, "reason": yours.sentence or "Saved on the Tune page"}]
    if cuts is None:
        return saved
    found: list[Mark] = [
        {"label": label, "at": getattr(cuts, question), "reason": reason}
        for question, (label, reason) in QUESTIONS.items()
    ]
    return saved + found[: 1 if cuts.thing == cuts.kind else 2]


def forget_foreign_threshold(query: Query) -> None:
    """A threshold that was set for another query means nothing for this one: its own is suggested."""
    if state.setdefault("threshold-for", query.parts) != query.parts:
        st.query_params.pop("threshold", None)
        state["threshold-for"] = query.parts


def empty_collection() -> None:
    with st.container(border=True, horizontal_alignment="center"):
        st.markdown("#### There is nothing to search yet", text_alignment="center")
        st.markdown(
            "First give Lookalike the addresses of some pictures, or see in a minute what it does with drawings.",
            text_alignment="center",
        )
        with st.container(horizontal=True, horizontal_alignment="center", vertical_alignment="center"):
            st.page_link("pages/index.py", label="Index pictures", icon=":material/arrow_forward:")
            offer_sample("sample-search")


def invitation(count: int) -> None:
    with st.container(border=True, horizontal_alignment="center"):
        st.markdown("#### Which of your pictures look like it?", text_alignment="center")
        st.markdown(
            "Drop a picture anywhere on this page, paste one with Ctrl+V, or give its address. "
            f"It is compared with {counted(count, 'picture')}.",
            text_alignment="center",
        )


def facts(matches: Matches) -> str:
    """How the matches were found, in a line."""
    how = f"{matches.total:,} pictures compared in {matches.seconds * 1000:,.0f} ms with {matches.model}"
    if matches.approximate:
        share = f" (it finds about {percent(matches.recall)} of them)" if matches.recall is not None else ""
        how += f". Approximate{share}: choose Exact to compare with every picture"
    if matches.query.kind == "words":
        how += ". Words and pictures score lower than two pictures do: 20 to 35\u202f% is a lot"
    return how


def search_alone(picture: UUID) -> None:
    query_builder.ask([Part(picture=picture)], query_builder.NEW)
    st.rerun()


def results(query: Query) -> None:
    matches = matches_of(query)
    threshold = asked_threshold(matches)
    offer_undo()
    bar = st.container()
    judged = app.verdicts.of_query(query.model, judged_query(query).key)
    shown = gallery(
        [card(match, matches, note) for match, note in zip(matches.found, matches.notes, strict=True)],
        threshold=threshold,
        total=matches.total,
        key="gallery",
        on_threshold=lambda value: keep_threshold(value, matches.cuts),
        selectable=True,
        marks=marks(matches.cuts, matches.yours),
        advice=advice(matches),
        caution=bool(matches.cuts and matches.cuts.nothing),
        verdicts={str(id): right for id, right in judged.items()},
        on_verdict=lambda id, right: keep_verdict(matches, id, right),
    )
    st.caption(facts(matches))
    with bar:
        show_actions(matches, matches.reaching(threshold), [UUID(id) for id in shown.selected], threshold)
    if shown.asked:
        action, id = shown.asked
        weight: dict[str, Any] = {"weight": query_builder.LESS} if action == "less" else {}
        query_builder.ask([Part(picture=UUID(id), **weight)])
        st.rerun()
    if shown.opened:
        match = next(match for match in matches.found if str(match.id) == shown.opened)
        show_picture(match.id, search_alone, f"**{percent(match.similarity)}** similar")


tour = st.container()
left, right = st.columns([1, 3.4], gap="medium")
try:
    ready = app.database_state.state == "ready"
    count = app.store.count() if ready else 0
    with left:
        if ready:
            query_builder.take()
        query_builder.inputs()
        query = query_builder.show_query() if ready and count else None
        with st.expander("Keep to some pictures", icon=":material/filter_alt:"):
            where = filters() if ready else Filter()
        with st.expander("How to search", icon=":material/tune:"):
            st.selectbox(
                "Most similar pictures to fetch (top-k)",
                TOP_KS,
                index=TOP_KS.index(DEFAULT_TOP_K),
                key="top_k",
                bind="query-params",
            )
            st.toggle("Leave out what is in the query", key="leave_out", bind="query-params")
            st.toggle(
                "Exact",
                key="exact",
                bind="query-params",
                help="Compare with every picture, however long it takes. Small collections always are.",
            )
        paste_anywhere()
    with right:
        if ready and not count:
            empty_collection()
        elif query is not None:
            forget_foreign_threshold(query)
            results(query)
        elif ready and not query_builder.chips():
            invitation(count)
except LookalikeError as error:
    st.error(str(error), icon=":material/error:")
with tour:
    auto_refresh(show_tour)
