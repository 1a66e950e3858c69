"""The query of this visit: its parts, kept in the page's URL, so that links and the Back button restore it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from core.errors import LookalikeError, QueryError
from core.search.query_parts import MAX_PARTS, Part, read_parts, write_parts

PARAMETER = "q"
"""The query parameter that holds the parts."""

NEW, ADD, EXCLUDE = "New search", "Add", "Exclude"
"""What becomes of the query when something is dropped or typed."""

NEGATIVE = -0.5
"""Weight of a negative part: with -1 it would often outweigh what is searched for."""

LATE = 15.0
"""Seconds after which no event from before a change of the URL is expected, even on a busy machine."""

_numbers = count(1)


@dataclass
class Chip:
    """A part of the query on the page; `number` names its widgets."""

    number: int
    part: Part


def come_back(arrived: bool) -> None:
    """Bring the last query of this visit back, and its threshold, when the page is come back to without another."""
    state = st.session_state
    if not arrived or PARAMETER in st.query_params or not state.get("written-query"):
        return
    st.query_params[PARAMETER] = state["written-query"]
    if threshold := state.get("kept-threshold"):
        st.query_params["threshold"] = threshold


def chips() -> list[Chip]:
    """The parts of the query, as the URL has them at first and after a step back."""
    state = st.session_state
    written = st.query_params.get(PARAMETER, "")
    if state.get("written-query") == written:
        pass
    elif _is_late(written):
        _write_url()
    else:
        state["written-query"] = written
        state["chips"] = []
        clear_problems()
        try:
            state["chips"] = _chips(read_parts(written) if written else ())
        except LookalikeError as error:
            report_problem("This search cannot be restored", error)
    return list(state.setdefault("chips", []))


def add_parts(parts: Iterable[Part], mode: str = ADD) -> None:
    """Add parts to the query, or start a new one with them."""
    kept = [] if mode == NEW else chips()
    known = {chip.part for chip in kept}
    fresh = [part for part in parts if part not in known]
    total = len(kept) + len(fresh)
    if total > MAX_PARTS:
        report_problem(
            "The query is full",
            QueryError(f"A query can have up to {MAX_PARTS} parts, and this would make {total}."),
        )
        return
    _write([*kept, *_chips(fresh)])


def replace_part(number: int, part: Part) -> None:
    """Put another part in the place of a chip's."""
    _write([Chip(number, part) if chip.number == number else chip for chip in chips()])


def remove_part(number: int) -> None:
    """Remove a chip."""
    clear_problems()
    _write([chip for chip in chips() if chip.number != number])


def clear_query() -> None:
    """Remove all chips."""
    clear_problems()
    _write([])


def forget_query() -> None:
    """Forget the last search of this visit: its pictures are gone."""
    for name in ("matches", "written-query", "chips", "kept-threshold"):
        st.session_state.pop(name, None)
    st.query_params.pop(PARAMETER, None)


def report_problem(title: str, error: LookalikeError) -> None:
    """Show a problem until something else is searched for."""
    problems = st.session_state.setdefault("query-problems", [])
    if (title, str(error)) not in problems:
        problems.append((title, str(error)))


def problems() -> list[tuple[str, str]]:
    """The problems to show, each with its title."""
    return list(st.session_state.get("query-problems", []))


def clear_problems() -> None:
    """Show no problem any more."""
    st.session_state.pop("query-problems", None)


def _chips(parts: Iterable[Part]) -> list[Chip]:
    return [Chip(next(_numbers), part) for part in parts]


def _write(entries: list[Chip]) -> None:
    state = st.session_state
    state["chips"] = entries
    now = time.monotonic()
    recent = {query: at for query, at in state.get("replaced-queries", {}).items() if now < at + LATE}
    state["replaced-queries"] = {**recent, state.get("written-query", ""): now}
    state["written-query"] = write_parts(chip.part for chip in entries) if entries else ""
    _write_url()


def _write_url() -> None:
    if written := st.session_state["written-query"]:
        st.query_params[PARAMETER] = written
    else:
        st.query_params.pop(PARAMETER, None)


def _is_late(written: str) -> bool:
    """Whether the URL is one that was replaced a moment ago: an event that the browser sent before it knew."""
    replaced = st.session_state.get("replaced-queries", {}).get(written)
    context = get_script_run_ctx()
    back = context is not None and context.is_history_navigation
    return replaced is not None and not back and time.monotonic() < replaced + LATE
