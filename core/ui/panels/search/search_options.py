"""The filters and options of a search; all are kept in the page's URL."""

from __future__ import annotations

import streamlit as st

from core.collection.filters import Filter
from core.search.matches import DEFAULT_TOP_K
from core.ui.app_status import engine
from core.ui.filters import filters

TOP_KS = [10, 20, 50, 100, 200, 500, 1000]


def show_options() -> Filter:
    """Draw filters and options; returns the filter, and keeps the options in `top_k`, `leave_out` and `exact` of the
    session state. Raises DatabaseError."""
    with st.expander("Filters", icon=":material/filter_alt:"):
        where = filters() if engine().database_state.state == "ready" else Filter()
    with st.expander("Search options", icon=":material/tune:"):
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
    return where
