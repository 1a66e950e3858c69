"""What a page shows while it has nothing else to show: a title, a sentence and a way on."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st


def empty_state(title: str, text: str, way_on: Callable[[], None] | None = None) -> None:
    """A card with a title, a sentence and, where given, the buttons or links that `way_on` draws."""
    with st.container(border=True, horizontal_alignment="center"):
        st.header(title, anchor=False, text_alignment="center")
        st.markdown(text, text_alignment="center")
        if way_on is not None:
            with st.container(horizontal=True, horizontal_alignment="center", vertical_alignment="center"):
                way_on()


def index_link() -> None:
    """The link to the page where pictures are indexed."""
    st.page_link("pages/index.py", label="Index pictures", icon=":material/arrow_forward:")
