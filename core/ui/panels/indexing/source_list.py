"""The sources: places that are read again and again, what changed at each reading, and what can be done about them."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from core.errors import LookalikeError
from core.indexing.sources.registry import Every, Reading, Source
from core.ui.app_status import engine, notices
from core.ui.auto_refresh import auto_refresh
from core.ui.filters import import_parameter
from core.ui.formatting import counted, date_and_time, escaped, shortened

LABELS: dict[Every, str] = {"never": "Only now", "hour": "Every hour", "day": "Every day", "week": "Every week"}

SHOWN_READINGS = 20


def show_sources() -> None:
    """The form that adds a source, and the sources, refreshed every second."""
    st.header("Sources", anchor=False)
    st.caption(
        "Enter the URL of a list, a feed, a sitemap or a IIIF collection, and choose when to read it again: "
        "new pictures come in, changed ones are fetched again, and those that vanish are kept."
    )
    _show_form()
    auto_refresh(_show_list)


def _show_form() -> None:
    folders = engine().sources.library_dirs
    with st.form("source-form", clear_on_submit=False), st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input(
            "URL or folder" if folders else "URL",
            key="source-location",
            placeholder="https://example.org/collection/manifest.json",
            help="A list, a feed, an image sitemap or a IIIF manifest or collection on the web"
            + (f"; or a folder below {escaped(' or '.join(map(str, folders)))}." if folders else "."),
        )
        st.selectbox("Read", list(LABELS), index=2, format_func=LABELS.__getitem__, key="source-every", width=160)
        st.form_submit_button("Add source", icon=":material/add:", on_click=_add)
    if problem := st.session_state.pop("source-problem", None):
        st.error(escaped(problem), icon=":material/error:")
    if not folders:
        st.caption(
            ":material/folder: To read folders of this server, too, set LIBRARY_DIRS to the folders that may be read, "
            "and start Lookalike again."
        )


def _add() -> None:
    state = st.session_state
    try:
        engine().sources.add(state["source-location"], state["source-every"])
    except LookalikeError as error:
        state["source-problem"] = str(error)
    else:
        state["source-location"] = ""


def _show_list() -> None:
    if engine().database_state.state != "ready":
        return
    try:
        for source in engine().sources.all():
            _show_source(source)
    except LookalikeError as error:
        st.error(escaped(str(error)), icon=":material/database_off:")


def _show_source(source: Source) -> None:
    with st.container(border=True, key=f"source-{source.id}"):
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            st.markdown(f"{_icon(source)} **{escaped(source.name)}**", width="content")
            st.caption(_when(source), width="content")
        st.caption(escaped(shortened(source.location)))
        st.caption(_progress(source))
        if source.last and source.last.problem:
            st.warning(escaped(source.last.problem).replace("\n", "  \n"), icon=":material/error:")
        _show_buttons(source)
        if source.last and source.last.ended_at:
            _show_history(source)
        if source.vanished + source.skipped:
            _show_left_out(source)


def _icon(source: Source) -> str:
    if source.reading:
        return ":material/progress_activity:"
    if source.paused_at:
        return ":material/pause_circle:"
    folder = ":material/folder:" if source.is_folder else ":material/public:"
    return ":material/rule:" if source.last and source.last.problem else folder


def _when(source: Source) -> str:
    if source.reading:
        return "Reading…"
    if source.paused_at:
        return "Paused"
    if source.next_reading_at is None:
        return "Not read again by itself"
    return f"{LABELS[source.every]}, next {date_and_time(source.next_reading_at)}"


def _progress(source: Source) -> str:
    parts = [counted(source.held, "picture")]
    if source.vanished:
        parts.append(f"{source.vanished:,} vanished")
    if source.skipped:
        parts.append(f"{source.skipped:,} skipped")
    if last := source.last:
        parts.append(f"{last.found:,} found so far" if last.ended_at is None else f"last reading: {_changes(last)}")
    return " · ".join(parts)


def _changes(reading: Reading) -> str:
    counts = {"new": reading.added, "changed": reading.changed, "vanished": reading.vanished}
    return ", ".join(f"{count:,} {what}" for what, count in counts.items() if count) or "nothing changed"


def _show_buttons(source: Source) -> None:
    sources = engine().sources
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if source.last and source.last.import_id is not None:
            parameter = import_parameter(source.last.import_id, source.name)
            st.page_link("pages/collection.py", label="See the new ones", query_params=parameter)
        if not source.reading:
            _button(source, "Read now", ":material/refresh:", sources.read_now)
        if source.paused_at:
            _button(source, "Resume", ":material/play_arrow:", sources.resume)
        elif source.every != "never":
            _button(source, "Pause", ":material/pause:", sources.pause)
        _button(source, "Remove source", ":material/delete:", sources.remove, "Its pictures stay in the collection.")


def _button(source: Source, label: str, icon: str, action: Callable[[int], object], help: str | None = None) -> None:
    key = f"source-{label}-{source.id}"
    st.button(label, key=key, icon=icon, type="tertiary", help=help, on_click=_attempt, args=(action, source.id))


def _attempt(action: Callable[[int], object], source_id: int) -> None:
    with notices():
        action(source_id)


def _show_history(source: Source) -> None:
    with st.expander("History", icon=":material/history:"):
        st.table(
            [
                {
                    "Read": date_and_time(reading.begun_at),
                    "Found": f"{reading.found:,}",
                    "What changed": _changes(reading) if reading.ended_at else "being read",
                    "Problem": escaped(reading.problem or ""),
                }
                for reading in engine().sources.history(source.id, SHOWN_READINGS)
            ]
        )


def _show_left_out(source: Source) -> None:
    vanished = f"{source.vanished:,} vanished from the source, kept here" if source.vanished else ""
    skipped = f"{counted(source.skipped, 'file')} skipped" if source.skipped else ""
    label = "; ".join(filter(None, [vanished, skipped]))
    with st.expander(label, icon=":material/error:" if source.skipped else ":material/visibility_off:"):
        entries = engine().sources.left_out(source.id)
        st.dataframe(
            {
                "File" if source.is_folder else "URL": [entry.location for entry in entries],
                "What happened": [
                    entry.problem or (f"Vanished, {date_and_time(entry.vanished_at)}" if entry.vanished_at else "")
                    for entry in entries
                ],
            },
            hide_index=True,
        )
