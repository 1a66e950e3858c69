import streamlit as st

from core.errors import LookalikeError
from core.ui.app_status import engine
from core.ui.auto_refresh import auto_refresh
from core.ui.components.paste import paste_anywhere
from core.ui.formatting import counted
from core.ui.panels.empty_state import empty_state, index_link
from core.ui.panels.onboarding import offer_sample, show_tour
from core.ui.panels.search.match_results import show_results
from core.ui.panels.search.query import chips
from core.ui.panels.search.query_chips import show_query
from core.ui.panels.search.query_inputs import show_inputs
from core.ui.panels.search.search_options import show_options


def first_steps() -> None:
    index_link()
    offer_sample("sample-search")


app = engine()
tour = st.container()
with st.container(key="search-page"):  # by which app.css knows it
    left, right = st.columns([1, 4.1], gap="medium")
try:
    ready = app.database_state.state == "ready"
    count = app.store.count() if ready else 0
    with left:
        show_inputs()
        query = show_query() if count else None
        where = show_options()
        aside = st.container()
        paste_anywhere()
    with right:
        if ready and not count:
            empty_state("There is nothing to search yet", "First index some pictures, or try a sample.", first_steps)
        elif query is not None:
            show_results(query, where, aside)
        elif ready and not chips():
            empty_state(
                "Which of your pictures look like it?",
                "Drop a picture anywhere on this page, paste one with Ctrl+V, or enter its URL. "
                f"It is compared with {counted(count, 'picture')}.",
            )
except LookalikeError as error:
    st.error(str(error), icon=":material/error:")
with tour:
    auto_refresh(show_tour)
