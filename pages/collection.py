import streamlit as st

from core.errors import LookalikeError
from core.ui.app_status import engine
from core.ui.filters import filter_summary
from core.ui.formatting import escaped
from core.ui.panels.collection.picture_list import search_if_asked, show_bin, show_nothing, show_pictures
from core.ui.panels.collection.table_transfer import show_transfer
from core.ui.panels.collection.view_options import choose_view
from core.ui.undo import offer_undo

state = st.session_state
app = engine()

search_if_asked()
st.html('<h1 class="page-name">Collection</h1>')
try:
    if app.database_state.state == "ready":
        offer_undo()
        where, order, size, number = choose_view()
        if conditions := filter_summary(where):
            st.caption(f"Filtered: {escaped(', '.join(conditions))}")
        if where.removed:
            show_bin()
        page = state["last-page"] = app.browser.page(where, order, size, number, state.get("last-page"))
        if page.entries:
            show_pictures(page)
        else:
            show_nothing(where)
        if not where.removed:
            show_transfer()
except LookalikeError as error:
    st.error(str(error), icon=":material/error:")
