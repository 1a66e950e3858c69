"""For first visitors: a sample collection, and a tour that names the next step."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from core.errors import LookalikeError
from core.indexing.sample_tour import Tour, read_tour
from core.media.sample_images import DRAWN, NAME, REPEATED, sample
from core.search.query_parts import Part, write_parts
from core.ui.app_status import engine, notices
from core.ui.formatting import counted
from core.ui.panels.empty_state import index_link
from core.ui.panels.search.query import PARAMETER

VERDICTS = 10
"""Verdicts after which the tour moves on to tuning."""

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
        _offer_undo(tour)
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
        steps += [("Judge", tour.verdicts >= VERDICTS), ("Tune", tour.tuned)]
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
                    f"Mark {VERDICTS} matches as right or wrong with ✓ and ✗ on the cards: {tour.verdicts} so far.",
                    width="content",
                )
                st.page_link("pages/search.py", label="Search", icon=":material/arrow_forward:")
            case "Tune":
                st.markdown("With some more verdicts, the Tune page suggests a threshold.", width="content")
                st.page_link("pages/tune.py", label="Tune", icon=":material/arrow_forward:")
            case _:
                st.markdown("That is all. Now remove the sample and index your own pictures.", width="content")
                index_link()


def _start() -> None:
    with notices(), st.spinner("Drawing…"):
        engine().imports.submit_files(NAME, sample(), restores=True)
        for name in ("tour-dismissed", "deleted-import"):
            state.pop(name, None)


def _remove(tour: Tour) -> None:
    with notices():
        entry = engine().imports.read(tour.import_id)
        state["deleted-import"] = (entry, engine().imports.delete(tour.import_id))
        state.pop("matches", None)


def _dismiss() -> None:
    state["tour-dismissed"] = True


def _offer_undo(tour: Tour | None) -> None:
    """After the sample was removed, an undo."""
    entry, removed = state.get("deleted-import", (None, 0))
    if tour is not None or entry is None or entry.name != NAME:
        return
    with st.container(border=True, horizontal=True, vertical_alignment="center", key="tour-undo"):
        st.markdown(f":material/delete: The sample was removed, {counted(removed, 'picture')} with it.")
        st.button("Undo", key="undo-sample", icon=":material/undo:", on_click=_restore, args=(entry.id,))


def _restore(import_id: int) -> None:
    with notices():
        engine().imports.restore(import_id)
        del state["deleted-import"]
