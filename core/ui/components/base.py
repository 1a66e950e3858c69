"""How the pages' own components are made: each of its .html, .css and .js, behind what all of them share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

_HERE = Path(__file__).parent


def component(name: str) -> Callable[..., Any]:
    """The Streamlit component whose skeleton, looks and behaviour are `name`.html, .css and .js in the folder `name`.

    base.css and base.js come before its own, for Streamlit takes one text of each.
    """
    return st.components.v2.component(
        f"lookalike_{name}", html=_read(f"{name}/{name}.html"), css=_both(name, "css"), js=_both(name, "js")
    )


def _both(name: str, kind: str) -> str:
    return _read(f"base.{kind}") + _read(f"{name}/{name}.{kind}")


def _read(file: str) -> str:
    return (_HERE / file).read_text("utf-8")
