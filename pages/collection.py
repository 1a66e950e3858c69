from dataclasses import replace
from uuid import UUID

import streamlit as st

from core.collection.browse import Entry, Order, Page, page_count
from core.collection.filters import Filter
from core.errors import LookalikeError
from core.search.query_parts import Part, write_parts
from core.signed_urls import link, thumbnail_path
from core.ui.app_status import engine
from core.ui.bulk_edit import Selection, delete_button, remove_button, rename_tag, restore_button, tagging
from core.ui.components.gallery import Card, gallery
from core.ui.filters import browsing_filters, clear_filters, described
from core.ui.formatting import counted, plain
from core.ui.panels import query_builder
from core.ui.panels.collection_transfer import show_transfer
from core.ui.picture_drawer import show_picture
from core.ui.undo import offer_undo

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
BIN_ORDERS: dict[Order, str] = {"removed": "Removed last, first", **ORDERS}

state = st.session_state
app = engine()


def search_alone(picture: UUID) -> None:
    """Leave the drawer first: a page that is left from within a fragment may come up empty."""
    state["search-alone"] = picture
    st.rerun()


def card(entry: Entry) -> Card:
    note = f"{entry.width:,} × {entry.height:,}"
    if entry.removed_at:
        local = entry.removed_at.astimezone()
        note = f"Removed {local.day} {local:%b, %H:%M}"
    return {
        "id": str(entry.id),
        "src": thumbnail_path(app.settings, entry.id),
        "url": link(app.settings, entry.url),
        "title": entry.title,
        "similarity": 1.0,
        "note": note,
    }


def choose_view() -> Filter:
    """What is looked at: the collection or the bin, and of it what a filter keeps."""
    view = st.segmented_control(
        "Show",
        [COLLECTION, BIN],
        default=COLLECTION,
        required=True,
        key="view",
        bind="query-params",
        label_visibility="collapsed",
    )
    with st.popover("Filter", icon=":material/filter_alt:", key="filter"):
        where = browsing_filters()
        st.button("Clear the filter", icon=":material/filter_alt_off:", on_click=clear_filters, key="clear-filter")
    return replace(where, removed=view == BIN)


def choose_order(where: Filter) -> tuple[Order, int]:
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
        format_func=lambda value: f"{value} a page",
        label_visibility="collapsed",
        width=140,
        key="per_page",
        bind="query-params",
    )
    return order, size


def choose_page(pages: int, asked: object) -> int:
    """The number of the page; another filter or order begins at the first."""
    if state.setdefault("browsed", asked) != asked:
        state["browsed"] = asked
        state["page"] = 1
    elif state.get("page", 1) > pages:
        state["page"] = pages
    return st.pagination(pages, key="page", bind="query-params")


def turn_page(key: str) -> None:
    state["page"] = state[key]


def read_page(where: Filter, order: Order, size: int, number: int) -> Page:
    page = state["at-hand"] = app.browser.page(where, order, size, number, state.get("at-hand"))
    return page


def selected_all(where: Filter) -> bool:
    """Whether all that the filter keeps are selected; another filter ends that."""
    if state.get("everything") not in (None, where):
        state["everything"] = None
    return state.get("everything") is not None


def select_all(where: Filter | None) -> None:
    state["everything"] = where
    state["round"] = state.get("round", 0) + 1  # a new gallery, without the ticks of the old


def show_actions(page: Page, picked: list[UUID]) -> None:
    """What can be done with the selection."""
    everything = selected_all(page.where)
    selection = Selection(page.where, page.total) if everything else Selection(picked, len(picked))
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="actions"):
        if selection.count:
            st.markdown(f"**{counted(selection.count, 'picture')} selected**", width="content")
            if page.where.removed:
                restore_button(selection, lambda: select_all(None))
                delete_button("Delete for good", selection)
            else:
                tagging(selection)
                remove_button(selection, lambda: select_all(None))
        if everything:
            st.button("Clear", icon=":material/deselect:", type="tertiary", on_click=select_all, args=(None,))
        elif page.count > 1:
            st.button(
                f"Select all {page.total:,}",
                icon=":material/select_all:",
                type="tertiary",
                key="select-everything",
                on_click=select_all,
                args=(page.where,),
                help="Those of all pages that the filter keeps.",
            )
        if not page.where.removed:
            rename_tag()


def show_pictures(page: Page) -> None:
    bar = st.container()
    everything = selected_all(page.where)
    last = page.first + len(page.entries) - 1
    shown = gallery(
        [card(entry) for entry in page.entries],
        threshold=0.0,
        total=page.total,
        key=f"browser-{state.get('round', 0)}",
        selectable=not everything,
        label="Pictures",
        browsing=f"{page.first:,} to {last:,} of {counted(page.total, 'picture')}",
        page=page.number,
        everything=everything,
    )
    with bar:
        show_actions(page, [UUID(id) for id in shown.selected])
    if page.count > 1:
        key = f"page-below-{page.number}"
        st.pagination(page.count, default=page.number, key=key, on_change=turn_page, args=(key,))
    if shown.opened:
        show_picture(UUID(shown.opened), search_alone)


def show_nothing(where: Filter) -> None:
    with st.container(border=True, horizontal_alignment="center"):
        if where not in (Filter(), Filter(removed=True)):
            st.markdown("#### No picture meets the filter", text_alignment="center")
            st.button("Clear the filter", icon=":material/filter_alt_off:", on_click=clear_filters)
        elif where.removed:
            st.markdown("#### The bin is empty", text_alignment="center")
            st.markdown("What you remove waits here until you restore it or empty the bin.", text_alignment="center")
        else:
            st.markdown("#### The collection is empty", text_alignment="center")
            st.markdown("First give Lookalike the addresses of some pictures.", text_alignment="center")
            st.page_link("pages/index.py", label="Index pictures", icon=":material/arrow_forward:")


def show_bin() -> None:
    """How full the bin is, and the way to empty it."""
    with st.container(horizontal=True, vertical_alignment="center", key="bin"):
        full = app.browser.count(Filter(removed=True))
        st.caption("Removed pictures are found by no search. They stay here until you delete them.", width="stretch")
        if full:
            delete_button("Empty the bin", Selection(Filter(removed=True), full))


if picture := state.pop("search-alone", None):
    st.switch_page("pages/search.py", query_params={query_builder.ADDRESS: write_parts([Part(picture=picture)])})
try:
    if app.database_state.state == "ready":
        offer_undo()
        with st.container(horizontal=True, vertical_alignment="center", gap="small", key="view-bar"):
            where = choose_view()
            order, size = choose_order(where)
            pages = page_count(app.browser.count(where), size)
            number = choose_page(pages, (where, order, size))
        if words := described(where):
            st.caption(f"Only pictures {plain(', '.join(words))}")
        if where.removed:
            show_bin()
        page = read_page(where, order, size, number)
        if page.entries:
            show_pictures(page)
        else:
            show_nothing(where)
        if not where.removed:
            show_transfer()
except LookalikeError as error:
    st.error(str(error), icon=":material/error:")
