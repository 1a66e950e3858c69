"""Answers that a component's page part gives, each heard once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st


def handle_events(key: str, name: str, act: Callable[[str, str], None]) -> bool:
    """Call `act` with each (id, answer) that the component `key` has told in its state `name` and that was not heard.

    Call it in the component's callback, and again in the run: Streamlit breaks a callback off when the next answer
    comes, and does not call it anew. An answer counts as heard once `act` has returned. Returns whether there were any.
    """
    told: dict[str, Any] = (st.session_state.get(key) or {}).get(name) or {}
    heard = handled_events(key)
    visit, answers = told.get("visit", ""), told.get("answers", [])
    before = heard.get(visit, 0)
    for place in range(before, len(answers)):
        act(*answers[place])
        heard[visit] = place + 1
    return len(answers) > before


def handled_events(key: str) -> dict[str, int]:
    """How many answers of each visit of the page part were heard."""
    heard: dict[str, int] = st.session_state.setdefault(f"{key}-heard", {})
    return heard
