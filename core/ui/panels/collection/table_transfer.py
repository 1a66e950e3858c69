"""The collection exported to a file, and imported from one."""

from __future__ import annotations

import streamlit as st
from streamlit.typing import UploadedFile

from core.collection.table_export import FORMATS
from core.collection.table_import import ImportedTable
from core.errors import LookalikeError
from core.signed_urls import collection_path
from core.ui.app_status import engine
from core.ui.formatting import counted, escaped

MAX_MEGABYTES = 500
"""The largest file that a page reads, because it is held in memory; larger ones go by the command line."""

NAMES = {"csv": "CSV", "parquet": "Parquet"}


def show_transfer() -> None:
    """An expander with both."""
    with st.expander("Export or import the collection", icon=":material/swap_vert:", key="transfer"):
        left, right = st.columns(2, gap="large")
        with left:
            _show_export()
        with right:
            _show_import()


def _show_export() -> None:
    st.markdown("**Export**")
    kind = st.segmented_control(
        "Format", FORMATS, default=FORMATS[0], required=True, format_func=NAMES.__getitem__, key="transfer-format"
    )
    thumbnails = st.checkbox("With thumbnails", key="transfer-thumbnails")
    embeddings = st.checkbox("With the embeddings of the current model", key="transfer-embeddings")
    st.caption(
        "With both, it can be imported without fetching or embedding anything again. Uploaded files are not included: "
        "a backup has them, see `python -m core backup FILE`."
    )
    path = collection_path(engine().settings, kind, thumbnails=thumbnails, embeddings=embeddings)
    st.link_button("Download", path, icon=":material/download:")


def _show_import() -> None:
    st.markdown("**Import**")
    file = st.file_uploader(
        "A .csv or .parquet file exported from Lookalike",
        type=["csv", "parquet"],
        max_upload_size=MAX_MEGABYTES,
        key=f"transfer-file-{st.session_state.get('transfer-round', 0)}",
    )
    st.caption(f"For a file of more than {MAX_MEGABYTES} MB use `python -m core import FILE`.")
    if file is not None and st.button("Import", icon=":material/play_arrow:", type="primary", key="transfer-import"):
        _import(file)
    result = st.session_state.get("transfer-result")
    if isinstance(result, str):
        st.error(result, icon=":material/error:")
    elif result is not None:
        _show_result(*result)


def _import(file: UploadedFile) -> None:
    """Import the file while the page shows the progress."""
    bar = st.progress(0.0, text="Reading…")
    try:
        table = engine().import_collection(
            file.name,
            file,
            lambda rows: bar.progress(min(1.0, file.tell() / max(1, file.size)), text=f"{counted(rows, 'row')} read"),
        )
        st.session_state["transfer-result"] = (file.name, table)
        st.session_state["transfer-round"] = st.session_state.get("transfer-round", 0) + 1
    except LookalikeError as error:
        st.session_state["transfer-result"] = str(error)
    st.rerun()


def _show_result(name: str, table: ImportedTable) -> None:
    st.success(f"**{escaped(name)}**: {table.summary}", icon=":material/check_circle:")
    if table.notes:
        with st.expander(f"{counted(table.note_count, 'problem')} in its lines"):
            st.dataframe(
                {
                    "Line": [number for number, _ in table.notes],
                    "What was left out, and why": [sentence for _, sentence in table.notes],
                },
                hide_index=True,
                column_config={"Line": st.column_config.NumberColumn(width=60)},
            )
