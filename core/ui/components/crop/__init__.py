"""A crop drawn on a picture: `crop.html` is its skeleton, `crop.css` its looks, `crop.js` its behaviour."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import streamlit as st

from core.media.crop import CropBox, checked_box
from core.ui.components.base import component

_component = component("crop")


def crop(picture: bytes, *, box: CropBox | None, key: str, alt: str, original: str = "") -> CropBox | None:
    """Show a picture, a JPEG, and let a part of it be drawn; None is the whole. The `original`, the URL of the same
    picture in full, takes its place once it is loaded.

    Returns the box that was just drawn, else `box`: keep it, and give it back in the next run. A drag is reported at
    its end, and keys after a pause. `key` names this crop in the page, `alt` describes the picture in words.
    """
    state: dict[str, Any] = st.session_state.get(key) or {}
    drawn = f"{key}-drawn"

    def keep() -> None:
        value = st.session_state[key]["box"]["value"]
        st.session_state[drawn] = checked_box(value) if value else None

    box = st.session_state.pop(drawn, box)
    _component(
        key=key,
        data={
            "src": f"data:image/jpeg;base64,{b64encode(picture).decode()}",
            "original": original,
            "alt": alt,
            "box": box,
            "turn": (state.get("box") or {}).get("turn", 0),
        },
        on_box_change=keep,
    )
    return box
