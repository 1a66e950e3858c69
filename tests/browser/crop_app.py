"""A small app for the crop's tests: a real photo, and a line that says what Python knows.

The query parameters choose: `photo`, its place among some photos; `box`, such as 0.1,0.2,0.5,0.6; `popover` to put the
crop into one; `alt`; `seconds` that a run takes.
"""

from __future__ import annotations

import json
import time
from typing import cast

import streamlit as st

from bench.support.data import some_photos
from core.media.crop import CropBox
from core.ui.components.crop import crop

st.set_page_config(page_title="Crop")
asked = st.query_params
state = st.session_state


def order(box: CropBox | None) -> None:
    state.box = box


if "box" not in state:
    state.box = cast(CropBox, tuple(map(float, asked["box"].split(",")))) if "box" in asked else None
state.runs = state.get("runs", 0) + 1
with st.container(horizontal=True):
    st.button("Run again")
    st.button("Left half", on_click=order, args=((0.0, 0.0, 0.5, 1.0),))
    st.button("All of it", on_click=order, args=(None,))
place = st.popover("Adjust") if "popover" in asked else st.container()
photo = some_photos(500)[int(asked.get("photo", "300"))]
with place:
    state.box = crop(photo.read_bytes(), box=state.box, key="crop", alt=asked.get("alt", "A photo"))
time.sleep(float(asked.get("seconds", "0")))
st.code(json.dumps({"box": state.box, "runs": state.runs}), language=None)
