"""What was just done, and a button that undoes it: one sentence above the pictures, on every page."""

from __future__ import annotations

from collections.abc import Callable, Sized
from dataclasses import dataclass

import streamlit as st

from core.ui.app_status import notices
from core.ui.formatting import counted


@dataclass(frozen=True)
class Done:
    """What was done, in a sentence, to how many pictures, and what undoes it, if anything does.

    `undo` returns what it changed: fewer than `count`, where that is given, when others changed some since.
    """

    sentence: str
    count: int = 0
    undo: Callable[[], object] | None = None


def attempt(act: Callable[[], Done | tuple[str, Callable[[], object]]]) -> None:
    """Do what a button asks for, and remember the sentence and the undo; a failure is a notice."""
    with notices():
        done = act()
        st.session_state["undo"] = done if isinstance(done, Done) else Done(done[0], 0, done[1])
    forget_matches()


def offer_undo(where: str = "page") -> None:
    """Show what was done, with its undo. `where` tells this bar from others on the same page."""
    done: Done | None = st.session_state.get("undo")
    if done is None:
        return
    with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"undo-bar-{where}"):
        st.markdown(f":material/check: {done.sentence}", width="stretch")
        if done.undo is not None:
            st.button("Undo", icon=":material/undo:", on_click=_undo, type="tertiary", key=f"undo-{where}")
        st.button("Dismiss", icon=":material/close:", on_click=_dismiss, type="tertiary", key=f"dismiss-{where}")


def _dismiss() -> None:
    st.session_state.pop("undo", None)


def forget_matches() -> None:
    """Have the search on the page run again: the collection has changed."""
    st.session_state.pop("matches", None)


def _undo() -> None:
    done: Done | None = st.session_state.pop("undo", None)
    if done is None or done.undo is None:
        return
    with notices():
        result = done.undo()
        back = len(result) if isinstance(result, Sized) else done.count
        if back < done.count:
            st.session_state["undo"] = Done(
                f"Undone for {back:,} of {counted(done.count, 'picture')}. "
                "Someone else has changed or deleted the others since."
            )
    forget_matches()
