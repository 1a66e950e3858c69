"""What the Collection page shows: the collection or the bin, filtered, in which order, and which page of it."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from core.collection.browse import Order, page_count
from core.collection.filters import Filter
from core.ui.app_status import engine
from core.ui.filters import browsing_filters, clear_filters

COLLECTION, BIN = "Collection", "Bin"
PAGE_SIZES = [50, 100, 200, 500]
ORDERS: dict[Order, str] = {
    "newest": "Newest first",
    "oldest": "Oldest first",
    "name": "Name, A to Z",
    "name_back": "Name, Z to A",
    "largest": "Largest first",
    "smallest": "Smallest first",
}
BIN_ORDERS: dict[Order, str] = {"removed": "Recently removed", **ORDERS}


def choose_view() -> tuple[Filter, Order, int, int]:
    """Draw the choices; returns the filter, the order, the pictures a page and the page's number, from 1.

    Raises DatabaseError.
    """
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="view-bar"):
        where = _choose_pictures()
        order, size = _choose_order(where)
        pages = page_count(engine().browser.count(where), size)
        return where, order, size, _choose_page(pages, (where, order, size))


def _choose_pictures() -> Filter:
    view = st.segmented_control(
        "Show",
        [COLLECTION, BIN],
        default=COLLECTION,
        required=True,
        key="view",
        bind="query-params",
        label_visibility="collapsed",
    )
    with st.popover("Filters", icon=":material/filter_alt:", key="filter"):
        where = browsing_filters()
        clear_filters_button("clear-filter")
    return replace(where, removed=view == BIN)


def clear_filters_button(key: str) -> None:
    """A button that resets all filters."""
    st.button("Clear filters", icon=":material/filter_alt_off:", on_click=clear_filters, key=key)


def _choose_order(where: Filter) -> tuple[Order, int]:
    orders = BIN_ORDERS if where.removed else ORDERS
    order = st.selectbox(
        "Sort",
        list(orders),
        format_func=lambda value: orders[value],
        label_visibility="collapsed",
        width=190,
        key="bin-sort" if where.removed else "sort",
        bind="query-params",
    )
    size = st.selectbox(
        "Pictures a page",
        PAGE_SIZES,
        index=1,
        format_func=lambda value: f"{value} a page",  # links hold this text
        label_visibility="collapsed",
        width=140,
        key="per_page",
        bind="query-params",
    )
    return order, size


def _choose_page(pages: int, listed: object) -> int:
    """The number of the page; another filter or order starts at the first."""
    state = st.session_state
    if state.setdefault("browsed", listed) != listed:
        state["browsed"] = listed
        state["page"] = 1
    elif state.get("page", 1) > pages:
        state["page"] = pages
    return st.pagination(pages, key="page", bind="query-params")
