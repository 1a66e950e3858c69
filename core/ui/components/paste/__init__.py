"""Pasting and dropping a picture anywhere on a page that has one file uploader."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

_paste = st.components.v2.component(
    "lookalike_paste",
    html="<span></span>\n",
    js=Path(__file__).with_name("paste.js").read_text(encoding="utf-8"),
)


def paste_anywhere() -> None:
    """Make the page take a picture from Ctrl+V or a drop anywhere, for its file uploader."""
    _paste(key="paste-anywhere", height=1)
