"""Answers that a component's page part gives, each heard once."""

from __future__ import annotations

from typing import Any

import streamlit as st


def fresh_answers(key: str, name: str) -> list[tuple[str, str]]:
    """The (id, answer) pairs that the component `key` has told in its state `name` since the last call."""
    told: dict[str, Any] = (st.session_state.get(key) or {}).get(name) or {}
    heard = heard_answers(key)
    visit, answers = told.get("visit", ""), told.get("answers", [])
    before, heard[visit] = heard.get(visit, 0), len(answers)
    return [(str(id), str(answer)) for id, answer in answers[before:]]


def heard_answers(key: str) -> dict[str, int]:
    """How many answers of each visit of the page part were heard."""
    heard: dict[str, int] = st.session_state.setdefault(f"{key}-heard", {})
    return heard
