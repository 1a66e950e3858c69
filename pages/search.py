import streamlit as st

from core.errors import LookalikeError
from core.ui.app_status import engine
from core.ui.auto_refresh import auto_refresh
from core.ui.components.paste import paste_anywhere
from core.ui.formatting import counted
from core.ui.panels.empty_state import empty_state, index_link
from core.ui.panels.onboarding import offer_sample, show_tour
from core.ui.panels.search.match_results import show_results
from core.ui.panels.search.query import chips, come_back
from core.ui.panels.search.query_editor import edit_if_asked
from core.ui.panels.search.query_inputs import on_phone, show_inputs, take_inputs, take_url
from core.ui.panels.search.query_tiles import read_query
from core.ui.panels.search.search_options import show_options

WAYS = "Drop a picture anywhere on this page, paste one with Ctrl+V, or enter its URL."
WAYS_ON_A_PHONE = "Take a photo, choose one, or enter its URL."


def first_steps() -> None:
    index_link()
    offer_sample("sample-search")


app = engine()
come_back(st.session_state["arrived"])
tour = st.container()
try:
    ready = app.database_state.state == "ready"
    count = app.store.count() if ready else 0
    with st.container(key="search-page"):  # by which app.css knows it
        heading, above = st.container(), st.container()
        take_inputs(above)
        if chips():
            heading.html('<h1 class="page-name">Search</h1>')
        where, aside = show_options()
        if ready and not count:
            empty_state("There is nothing to search yet", "First index some pictures, or try a sample.", first_steps)
        elif ready and not chips():
            st.title("Which of your pictures look like it?", anchor=False, text_alignment="center")
            st.markdown(
                f"{WAYS_ON_A_PHONE if on_phone() else WAYS} It is compared with {counted(count, 'picture')}.",
                text_alignment="center",
            )
        show_inputs()
        if paste_anywhere("Drop it anywhere to search for it", take_url):
            st.rerun()
        if count and chips():
            asked = read_query(above)
            show_results(asked, where, aside, above)
            edit_if_asked(asked)
except LookalikeError as error:
    st.error(str(error), icon=":material/error:")
with tour:
    auto_refresh(show_tour)
