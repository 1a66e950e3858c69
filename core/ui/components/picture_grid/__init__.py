"""Pictures in a plain grid: `picture_grid.html`, `.css` and `.js`, on the cards of `cards`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from core.ui.components.base import component
from core.ui.components.cards import Card
from core.ui.components.events import no_callback, revision_of, selected_ids

_component = component("picture_grid")


@dataclass(frozen=True)
class GridState:
    """What the grid reports: the ids of the selected pictures in their order, and the id of the picture opened by the
    event that caused this run, else None."""

    selected: tuple[str, ...]
    opened: str | None


def picture_grid(
    cards: Sequence[Card],
    *,
    heading: str,
    key: str,
    label: str,
    selectable: bool = False,
    page: int = 0,
    all_selected: bool = False,
) -> GridState:
    """Draw pictures in their order, below a heading such as "1 to 100 of 5,175 pictures".

    `key` names this grid in the page, `label` the list of pictures for screen readers. `selectable` puts a checkbox on
    each card. Another `page` scrolls back to the top, and `all_selected` shows all as selected, those of other pages
    too.
    """
    revision = revision_of(list(cards))
    result = _component(
        key=key,
        data={
            "cards": list(cards),
            "revision": revision,
            "selected": selected_ids(st.session_state.get(key), revision),
            "selectable": selectable,
            "heading": heading,
            "label": label,
            "page": page,
            "all_selected": all_selected,
        },
        on_selected_change=no_callback,
        on_open_change=no_callback,
    )
    return GridState(selected=tuple(selected_ids(result, revision)), opened=result.get("open"))
