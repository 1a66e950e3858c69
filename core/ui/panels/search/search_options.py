"""The filters and options of a search; all are kept in the page's URL."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.collection.filters import Filter
from core.search.matches import DEFAULT_TOP_K
from core.ui.app_status import engine
from core.ui.filters import filters

TOP_KS = [10, 20, 50, 100, 200, 500, 1000]


def show_options() -> tuple[Filter, DeltaGenerator]:
    """Draw filters and options at the end of the strip; returns the filter and a place for what can be done with the
    matches, and keeps the options in `top_k`, `leave_out` and `exact` of the session state. Raises DatabaseError."""
    with st.container(key="strip-actions", horizontal=True, horizontal_alignment="right", gap="small"):
        with st.popover("Filters", icon=":material/filter_alt:", type="tertiary"):
            where = filters() if engine().database_state.state == "ready" else Filter()
        with st.popover("Options", icon=":material/tune:", type="tertiary"):
            st.selectbox(
                "Number of matches to fetch (top-k)",
                TOP_KS,
                index=TOP_KS.index(DEFAULT_TOP_K),
                key="top_k",
                bind="query-params",
            )
            st.toggle("Hide the query pictures", key="leave_out", bind="query-params")
            st.toggle(
                "Exact",
                key="exact",
                bind="query-params",
                help="Compare with every picture, even if that is slow. Small collections are always searched exactly.",
            )
        return where, st.container(width="content")


def fetch_more() -> None:
    """Fetch the next larger number of matches; call it in a callback."""
    top_k = st.session_state["top_k"]
    st.session_state["top_k"] = next((count for count in TOP_KS if count > top_k), top_k)
