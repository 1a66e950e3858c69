import streamlit as st

from core.errors import LookalikeError
from core.ui.app_status import engine
from core.ui.panels.duplicates.group_list import choose_rule, show_copies, show_lookalikes
from core.ui.panels.duplicates.removal import show_settled_pairs
from core.ui.panels.empty_state import empty_state, index_link
from core.ui.undo import offer_undo

app = engine()

st.title("Duplicates", anchor=False)
st.caption(
    "Pictures that are in the collection more than once. One picture of each group stays. "
    "You review each removal, and can undo it."
)
try:
    if app.database_state.state == "ready":
        count = app.store.count()
        offer_undo()
        if count:
            rule = choose_rule()
            copies, lookalikes = st.tabs(["Copies", "Look-alikes"], key="tab", on_change="rerun", bind="query-params")
            with copies:
                if copies.open:
                    show_copies(rule)
            with lookalikes:
                if lookalikes.open:
                    show_lookalikes(rule, count)
            show_settled_pairs()
        else:
            empty_state("There is nothing to compare yet", "First index some pictures.", index_link)
except LookalikeError as error:
    st.error(str(error), icon=":material/error:")
