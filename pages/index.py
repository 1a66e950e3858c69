import streamlit as st

from core.ui.auto_refresh import auto_refresh
from core.ui.components.paste import read_lists_as_pasted
from core.ui.panels.indexing.import_forms import show_files_form, show_list_form, show_paste_form, show_problem
from core.ui.panels.indexing.import_list import show_imports
from core.ui.panels.indexing.llamaindex_offers import show_llamaindex_offers
from core.ui.panels.indexing.source_list import show_sources
from core.ui.panels.onboarding import offer_sample_if_empty, show_tour

st.title("Index pictures", anchor=False)
st.caption("Add pictures by URL or as files. Once they are indexed, searches find them.")
auto_refresh(show_tour)
paste, upload, drop = st.tabs(["Paste URLs", "Upload a list", "Upload pictures"])
read_lists_as_pasted()
with paste:
    show_paste_form()
with upload:
    show_list_form()
with drop:
    show_files_form()
show_problem()
show_llamaindex_offers()
st.header("Imports", anchor=False)
show_imports()
offer_sample_if_empty("sample-index")
show_sources()
