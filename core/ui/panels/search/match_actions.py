"""What can be done with matches: more like these, tags, removal, downloads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.collection.store import Match
from core.search.matches import Matches
from core.search.query_parts import Part
from core.search.result_export import Report, as_contact_sheet, as_csv, as_json, as_zip
from core.ui.app_status import engine
from core.ui.bulk_edit import Selection, remove_button, tagging
from core.ui.formatting import counted
from core.ui.panels.search.query import NEGATIVE, add_parts


def show_actions(
    matches: Matches, shown: Sequence[Match], selected: Sequence[UUID], threshold: float, aside: DeltaGenerator
) -> None:
    """Buttons for the selected matches, in a bar that stays on the screen; when none is selected, `aside` gets those
    for all shown."""
    chosen = [match for match in matches.found if match.id in set(selected)]
    if not chosen:
        with aside:
            if shown:
                _downloads(matches, shown, threshold)
        return
    ids = [match.id for match in chosen]
    selection = Selection(ids, len(ids))
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="selection-bar"):
        st.markdown(f"**{counted(len(chosen), 'picture')} selected**", width="content")
        _add_button("More like these", ":material/add_photo_alternate:", [Part(picture=id) for id in ids])
        _add_button("Exclude", ":material/block:", [Part(picture=id, weight=NEGATIVE) for id in ids])
        tagging(selection)
        remove_button(selection)
        _downloads(matches, chosen, threshold)


def _add_button(label: str, icon: str, parts: Sequence[Part]) -> None:
    st.button(label, icon=icon, type="tertiary", on_click=add_parts, args=(parts,))


def _downloads(matches: Matches, subject: Sequence[Match], threshold: float) -> None:
    with st.popover("Download", icon=":material/download:", type="tertiary", key="downloads", on_change="rerun") as box:
        if not box.open:
            return
        st.caption(f"{counted(len(subject), 'picture')}, with query, model, threshold and time.")
        report = Report(
            query=matches.query.label,
            model=matches.model,
            threshold=threshold,
            made_at=datetime.now().astimezone(),
            matches=subject,
        )
        thumbnails = engine().store.thumbnail
        formats: list[tuple[str, str, str, Callable[[], bytes]]] = [
            ("CSV", "matches.csv", "text/csv", lambda: as_csv(report)),
            ("JSON", "matches.json", "application/json", lambda: as_json(report)),
            ("ZIP of thumbnails", "matches.zip", "application/zip", lambda: as_zip(report, thumbnails)),
            ("Contact sheet to print", "matches.html", "text/html", lambda: as_contact_sheet(report, thumbnails)),
        ]
        for label, name, mime, data in formats:
            st.download_button(
                label, data=data, file_name=name, mime=mime, on_click="ignore", key=f"download-{name}", width="stretch"
            )
