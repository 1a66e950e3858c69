"""The collection to a file and back, as a page offers it."""

from __future__ import annotations

import streamlit as st
from streamlit.typing import UploadedFile

from core.collection.table_export import FORMATS
from core.collection.table_import import ImportedTable
from core.errors import LookalikeError
from core.signed_urls import collection_path
from core.ui.app_status import engine
from core.ui.formatting import counted, plain

MAX_MEGABYTES = 500
"""The largest file that is read on a page, for it is held in memory; larger ones go by the command line."""

NAMES = {"csv": "CSV", "parquet": "Parquet"}


def show_transfer() -> None:
    """An expander with both ways."""
    with st.expander("The collection as a file", icon=":material/swap_vert:", key="transfer"):
        out, back = st.columns(2, gap="large")
        with out:
            _export()
        with back:
            _import()


def _export() -> None:
    st.markdown("**Take it out**")
    kind = st.segmented_control(
        "Format", FORMATS, default=FORMATS[0], required=True, format_func=NAMES.__getitem__, key="transfer-format"
    )
    thumbnails = st.checkbox("With the thumbnails", key="transfer-thumbnails")
    embeddings = st.checkbox("With the embeddings of the model in use", key="transfer-embeddings")
    st.caption(
        "With both it can be read back without fetching or embedding anything again. The files of dropped pictures "
        "are only in a backup: `python -m core backup FILE`."
    )
    path = collection_path(engine().settings, kind, thumbnails=thumbnails, embeddings=embeddings)
    st.link_button("Download", path, icon=":material/download:")


def _import() -> None:
    st.markdown("**Bring one in**")
    file = st.file_uploader(
        "A .csv or .parquet file that was taken out here or elsewhere",
        type=["csv", "parquet"],
        max_upload_size=MAX_MEGABYTES,
        key=f"transfer-file-{st.session_state.get('transfer-round', 0)}",
    )
    st.caption(f"A file of more than {MAX_MEGABYTES} MB is read in by `python -m core import FILE`.")
    if file is not None and st.button("Read it in", icon=":material/play_arrow:", type="primary"):
        _take(file)
    taken = st.session_state.get("transfer-taken")
    if isinstance(taken, str):
        st.error(taken, icon=":material/error:")
    elif taken is not None:
        _show(*taken)


def _take(file: UploadedFile) -> None:
    """Read it while the page shows how far it is."""
    bar = st.progress(0.0, text="Reading…")
    try:
        taken = engine().import_collection(
            file.name,
            file,
            lambda rows: bar.progress(min(1.0, file.tell() / max(1, file.size)), text=f"{counted(rows, 'row')} read"),
        )
        st.session_state["transfer-taken"] = (file.name, taken)
        st.session_state["transfer-round"] = st.session_state.get("transfer-round", 0) + 1
    except LookalikeError as error:
        st.session_state["transfer-taken"] = str(error)
    st.rerun()


def _show(name: str, taken: ImportedTable) -> None:
    st.success(f"**{plain(name)}**: {taken.summary}", icon=":material/check_circle:")
    if taken.notes:
        with st.expander(f"{counted(taken.remarks, 'remark')} about its lines"):
            st.dataframe(
                {
                    "Line": [number for number, _ in taken.notes],
                    "What was not taken, and why": [sentence for _, sentence in taken.notes],
                },
                hide_index=True,
                column_config={"Line": st.column_config.NumberColumn(width=60)},
            )
