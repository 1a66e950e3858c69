"""Offers to index the pictures of LlamaIndex tables in the database."""

from __future__ import annotations

import streamlit as st

from core.errors import LookalikeError
from core.indexing.llamaindex import Offer, find_offers, take_table
from core.ui.app_status import engine
from core.ui.formatting import counted, escaped
from core.ui.panels.indexing.import_forms import start_import

LOOK_SECONDS = 60
"""How long what was found stays known."""


def show_llamaindex_offers() -> None:
    """A card for each table with pictures that are not indexed; nothing when there are none."""
    if engine().database_state.state != "ready":
        return
    try:
        offers = _find_offers()
    except LookalikeError:  # the list of imports says what is wrong with the database
        return
    for offer in offers:
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            pictures = f"{'more than ' if offer.more else ''}{counted(offer.new, 'picture')}"
            st.markdown(
                f":material/database: The LlamaIndex table **{escaped(offer.name)}** in this database has "
                f"{pictures} that are not indexed yet."
            )
            st.button(
                "Index them",
                key=f"offer-{offer.schema}-{offer.table}",
                icon=":material/play_arrow:",
                on_click=_start,
                args=(offer,),
            )


@st.cache_data(ttl=LOOK_SECONDS, show_spinner=False)
def _find_offers() -> list[Offer]:
    return find_offers(engine().database)


def _start(offer: Offer) -> None:
    with st.spinner("Reading the table…"):
        start_import(lambda: engine().imports.submit(offer.name, take_table(engine().database, offer)))
    _find_offers.clear()
