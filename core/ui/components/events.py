"""What a component's script reports: events that are each handled once, and selections that lapse with their list."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import streamlit as st


def handle_events(key: str, name: str, act: Callable[[str, str], None]) -> bool:
    """Call `act` with each (id, event) that the component `key` reports in its state `name` and that is still new.

    Call it in the component's callback, and again in the run: Streamlit breaks a callback off when the next event
    comes, and does not call it again. An event counts as handled once `act` has returned. Returns whether there were
    any.
    """
    log: dict[str, Any] = (st.session_state.get(key) or {}).get(name) or {}
    handled = handled_events(key)
    visit, events = log.get("visit", ""), log.get("events", [])
    before = handled.get(visit, 0)
    for place in range(before, len(events)):
        act(*events[place])
        handled[visit] = place + 1
    return len(events) > before


def handled_events(key: str) -> dict[str, int]:
    """How many events of each visit have been handled."""
    handled: dict[str, int] = st.session_state.setdefault(f"{key}-handled", {})
    return handled


def revision_of(listed: object) -> str:
    """A name for what is listed (JSON): the same list has the same name, another list another."""
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()[:16]


def selected_ids(state: Any, scope: str) -> list[str]:
    """The ids selected in this scope, which is a list's revision or what its pictures were found by; a selection in
    another scope has lapsed."""
    selection = (state or {}).get("selected") or {}
    return list(selection["ids"]) if selection.get("scope") == scope else []


def no_callback() -> None:
    """For states that are read after the run: Streamlit reports only the names that have a callback."""
