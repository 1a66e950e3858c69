"""Verdicts out as a table, and in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import streamlit as st

from core.embedding.active_models import ActiveModel
from core.errors import LookalikeError
from core.tuning.verdict_csv import as_csv, import_summary, read_csv
from core.tuning.verdicts import StoredVerdict
from core.ui.app_status import engine
from core.ui.formatting import counted, plain


def show_verdict_files(in_use: ActiveModel, verdicts: Sequence[StoredVerdict]) -> None:
    """A button for each way."""
    with st.expander("Verdicts as a table", icon=":material/table:", expanded="table-told" in st.session_state):
        if "table-told" in st.session_state:
            good, sentence = st.session_state.pop("table-told")
            (st.success if good else st.error)(plain(sentence), icon=":material/check:" if good else ":material/error:")
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
        key = f"table-{st.session_state.get('table-round', 0)}"
        st.file_uploader("Take verdicts from such a table", type=["csv"], key=key, on_change=_take, args=(in_use, key))


def _take(in_use: ActiveModel, key: str) -> None:
    """Take the verdicts of a table that was dropped, and say what became of its rows."""
    file = st.session_state[key]
    if file is None:
        return
    try:
        table = read_csv(file.name, file.getvalue(), in_use.model)
        kept = engine().verdicts.take(in_use.model, table.verdicts, table.at)
    except LookalikeError as error:
        st.session_state["table-told"] = False, str(error)
    else:
        st.session_state["table-told"] = True, import_summary(kept, table.refused)
    st.session_state["table-round"] = st.session_state.get("table-round", 0) + 1
