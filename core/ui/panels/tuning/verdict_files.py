"""Verdicts exported as a table, and imported from one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import streamlit as st

from core.embedding.active_models import ActiveModel
from core.errors import LookalikeError
from core.tuning.verdict_csv import as_csv, import_summary, read_csv
from core.tuning.verdicts import StoredVerdict
from core.ui.app_status import engine
from core.ui.formatting import counted, escaped


def show_verdict_files(in_use: ActiveModel, verdicts: Sequence[StoredVerdict]) -> None:
    """An expander with both."""
    imported = st.session_state.pop("verdicts-imported", None)
    with st.expander("Export or import verdicts", icon=":material/table:", expanded=imported is not None):
        if imported is not None:
            succeeded, sentence = imported
            show, icon = (st.success, ":material/check:") if succeeded else (st.error, ":material/error:")
            show(escaped(sentence), icon=icon)
        if verdicts:
            st.download_button(
                f"Download {counted(len(verdicts), 'verdict')} as CSV",
                data=lambda: as_csv(verdicts, in_use.model),
                file_name=f"verdicts-{datetime.now():%Y-%m-%d}.csv",
                mime="text/csv",
                icon=":material/download:",
                on_click="ignore",
                key="download-verdicts",
            )
        key = f"verdict-file-{st.session_state.get('verdict-file-round', 0)}"
        label = "Import verdicts from a CSV file"
        st.file_uploader(label, type=["csv"], key=key, on_change=_import, args=(in_use, key))


def _import(in_use: ActiveModel, key: str) -> None:
    """Import the verdicts of a dropped file, and say what became of its rows."""
    file = st.session_state[key]
    if file is None:
        return
    try:
        table = read_csv(file.name, file.getvalue(), in_use.model)
        saved = engine().verdicts.add(in_use.model, table.verdicts, table.at)
    except LookalikeError as error:
        st.session_state["verdicts-imported"] = False, str(error)
    else:
        st.session_state["verdicts-imported"] = True, import_summary(saved, table.refused)
    st.session_state["verdict-file-round"] = st.session_state.get("verdict-file-round", 0) + 1
