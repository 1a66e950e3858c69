"""For first visitors: a sample collection, and a tour that names the next step."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from core.errors import LookalikeError
from core.indexing.sample_tour import Tour, read_tour, remove_sample
from core.media.sample_images import DRAWN, NAME, REPEATED, sample
from core.search.query_parts import Part, write_parts
from core.tuning.precision_recall import MIN_VERDICTS
from core.ui.app_status import engine, notices
from core.ui.formatting import counted
from core.ui.panels.empty_state import index_link
from core.ui.panels.search.query import PARAMETER, forget_query

TUNE = Path("pages/tune.py")

state = st.session_state


def offer_sample(key: str) -> None:
    """A button that fills an empty collection with drawings."""
    st.button(
        f"Try it with {DRAWN + REPEATED} drawings",
        key=key,
        icon=":material/auto_awesome:",
        on_click=_start,
        help="Lookalike draws them now. One click removes them again.",
    )


def offer_sample_if_empty(key: str) -> None:
    """The same button, while the collection is empty."""
    if engine().database_state.state == "ready":
        with notices():
            if not engine().store.count():
                offer_sample(key)


def show_tour() -> None:
    """The tour, while there is a sample and the tour was not dismissed.

    Call it through `auto_refresh`. Reruns the page when a step is done.
    """
    if engine().database_state.state != "ready" or state.get("tour-dismissed"):
        return
    try:
        tour = read_tour(engine().database)
        now = (tour.import_id, tour.done == tour.total, tour.done > 0) if tour else None
        if state.setdefault("tour-state", now) != now:
            state["tour-state"] = now
            st.rerun()
        if (removed := state.pop("sample-removed", None)) is not None:  # not before: a rerun takes a notice with it
            st.toast(f"The sample was removed, {counted(removed, 'picture')} with it.", icon=":material/delete:")
        if tour is None:
            return
        _show(tour)
    except LookalikeError:  # the status line says what is wrong with the database
        return


def _show(tour: Tour) -> None:
    steps = _steps(tour)
    current = next((name for name, done in steps if not done), None)
    with st.container(border=True, key="tour"):
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            st.markdown(" → ".join(_step(name, done, name == current) for name, done in steps), width="content")
            with st.container(horizontal=True, gap="small", width="content"):
                st.button(
                    "Remove the sample", type="tertiary", icon=":material/delete:", on_click=_remove, args=(tour,)
                )
                st.button("Dismiss", key="dismiss-tour", type="tertiary", icon=":material/close:", on_click=_dismiss)
        _show_step(tour, current)


def _steps(tour: Tour) -> list[tuple[str, bool]]:
    steps = [("Index", tour.done == tour.total), ("Search", "matches" in state)]
    if TUNE.exists():
        steps += [("Judge", tour.verdicts >= MIN_VERDICTS), ("Tune", tour.tuned)]
    return steps


def _step(name: str, done: bool, current: bool) -> str:
    text = f"**{name}**" if current else name
    return f":material/check_circle: {text}" if done else text


def _show_step(tour: Tour, current: str | None) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        match current:
            case "Index":
                st.progress(tour.done / max(1, tour.total), text=f"Indexing: {tour.done} of {tour.total} drawings")
            case "Search":
                st.markdown("Which drawings look like a boat? Search, then move the threshold.", width="content")
                if tour.first is not None and st.button("Search with a boat", icon=":material/search:", type="primary"):
                    query = write_parts([Part(picture=tour.first)])
                    st.switch_page("pages/search.py", query_params={PARAMETER: query})
            case "Judge":
                st.markdown(
                    f"Mark {MIN_VERDICTS} matches as right or wrong with ✓ and ✗ on the cards: {tour.verdicts} so far.",
                    width="content",
                )
                st.page_link("pages/search.py", label="Search", icon=":material/arrow_forward:")
            case "Tune":
                st.markdown("From your verdicts, the Tune page suggests a threshold.", width="content")
                st.page_link("pages/tune.py", label="Tune", icon=":material/arrow_forward:")
            case _:
                st.markdown("That is all. Now remove the sample and index your own pictures.", width="content")
                index_link()


def _start() -> None:
    with notices(), st.spinner("Drawing…"):
        engine().imports.submit_files(NAME, sample(), restores=True)
        state.pop("tour-dismissed", None)


def _remove(tour: Tour) -> None:
    with notices():
        removed = remove_sample(engine().database, tour.import_id)
        forget_query()
        state["sample-removed"] = removed


def _dismiss() -> None:
    state["tour-dismissed"] = True
