"""A page of the collection or of the bin: its pictures, and what can be done with the selected ones."""

from __future__ import annotations

from uuid import UUID

import streamlit as st

from core.collection.browse import Entry, Page
from core.collection.filters import Filter
from core.search.query_parts import Part, write_parts
from core.ui.app_status import engine
from core.ui.bulk_edit import Selection, delete_button, remove_button, rename_tag, restore_button, tagging
from core.ui.components.cards import Card, picture_card
from core.ui.components.picture_grid import picture_grid
from core.ui.formatting import counted, date_and_time, pixels
from core.ui.panels.collection.view_options import clear_filters_button
from core.ui.panels.empty_state import empty_state, index_link
from core.ui.panels.search.query import PARAMETER
from core.ui.picture_drawer import show_picture


def search_if_asked() -> None:
    """Go to the search that the drawer asked for, now that it is closed: see `_search_with`."""
    if picture := st.session_state.pop("search-with", None):
        st.switch_page("pages/search.py", query_params={PARAMETER: write_parts([Part(picture=picture)])})


def show_pictures(page: Page) -> None:
    """The pictures of a page below the buttons for the selection, and the way to other pages. Raises DatabaseError."""
    bar = st.container()
    all_selected = _all_selected(page.where)
    last = page.first + len(page.entries) - 1
    shown = picture_grid(
        [_card(entry) for entry in page.entries],
        heading=f"{page.first:,} to {last:,} of {counted(page.total, 'picture')}",
        key=f"browser-{st.session_state.get('round', 0)}",
        label="Pictures",
        selectable=not all_selected,
        page=page.number,
        all_selected=all_selected,
    )
    with bar:
        _show_actions(page, [UUID(id) for id in shown.selected])
    if page.count > 1:
        key = f"page-below-{page.number}"
        st.pagination(page.count, default=page.number, key=key, on_change=_turn_page, args=(key,))
    if shown.opened:
        show_picture(UUID(shown.opened), _search_with)


def show_nothing(where: Filter) -> None:
    """Why there are no pictures, and what to do."""
    if where not in (Filter(), Filter(removed=True)):
        empty_state(
            "No pictures match the filters", "Change or clear them to see more.", lambda: clear_filters_button("clear")
        )
    elif where.removed:
        empty_state("The bin is empty", "Removed pictures stay here until you restore them or empty the bin.")
    else:
        empty_state("The collection is empty", "First index some pictures.", index_link)


def show_bin() -> None:
    """What the bin is for, and a button that empties it. Raises DatabaseError."""
    with st.container(horizontal=True, vertical_alignment="center", key="bin"):
        count = engine().browser.count(Filter(removed=True))
        st.caption("Searches do not find removed pictures. They stay here until you delete them.", width="stretch")
        if count:
            delete_button("Empty the bin", Selection(Filter(removed=True), count))


def _card(entry: Entry) -> Card:
    removed = f"Removed {date_and_time(entry.removed_at)}" if entry.removed_at else ""
    return picture_card(engine().settings, entry, removed or pixels(entry.width, entry.height))


def _search_with(picture: UUID) -> None:
    """Leave the drawer first: a page that is left from within a fragment may come up empty."""
    st.session_state["search-with"] = picture
    st.rerun()


def _turn_page(key: str) -> None:
    st.session_state["page"] = st.session_state[key]


def _all_selected(where: Filter) -> bool:
    """Whether all that match the filter are selected; another filter ends that."""
    state = st.session_state
    if state.get("everything") not in (None, where):
        state["everything"] = None
    return state.get("everything") is not None


def _select_all(where: Filter | None) -> None:
    state = st.session_state
    state["everything"] = where
    state["round"] = state.get("round", 0) + 1  # a new grid, without the ticks of the old


def _show_actions(page: Page, picked: list[UUID]) -> None:
    all_selected = _all_selected(page.where)
    selection = Selection(page.where, page.total) if all_selected else Selection(picked, len(picked))
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="actions"):
        if selection.count:
            st.markdown(f"**{counted(selection.count, 'picture')} selected**", width="content")
            if page.where.removed:
                restore_button(selection, lambda: _select_all(None))
                delete_button("Delete permanently", selection)
            else:
                tagging(selection)
                remove_button(selection, lambda: _select_all(None))
        if all_selected:
            st.button("Clear", icon=":material/deselect:", type="tertiary", on_click=_select_all, args=(None,))
        elif page.count > 1:
            st.button(
                f"Select all {page.total:,}",
                icon=":material/select_all:",
                type="tertiary",
                key="select-everything",
                on_click=_select_all,
                args=(page.where,),
                help="The pictures of all pages that match the filters.",
            )
        if not page.where.removed:
            rename_tag()
