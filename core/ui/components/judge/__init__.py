"""One match after the other, big beside its query: do these belong together?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypedDict

import streamlit as st

from core.ui.components.base import component
from core.ui.components.events import handle_events, handled_events

_component = component("judge")


class Pair(TypedDict):
    """A match to judge. `querySrc` and `matchSrc` are URLs of images; a text query has none."""

    id: str
    querySrc: str
    queryWords: str
    queryName: str
    matchSrc: str
    matchName: str


def judge(pairs: Sequence[Pair], *, given: int, done: str, key: str, on_answer: Callable[[str, str], None]) -> None:
    """Draw the first of the pairs, and the next one when it is answered.

    `given` counts the verdicts so far, `done` says that there is nothing more to judge. `on_answer` is called once
    for each answer, before the script runs: with the pair's id and "yes", "no", "skip", or what undoes them:
    "undo" and "unskip".
    """

    def handle_answers() -> bool:
        return handle_events(key, "answers", on_answer)

    if handle_answers():
        st.rerun()
    _component(
        key=key,
        data={"pairs": list(pairs), "given": given, "handled": handled_events(key), "done": done},
        on_answers_change=handle_answers,
    )
