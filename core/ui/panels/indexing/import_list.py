"""The list of imports: progress, failures, and what can be done about them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import streamlit as st

from core.collection.store import picture_name
from core.errors import LookalikeError
from core.indexing.failure_csv import as_csv
from core.indexing.imports import RATE_WINDOW, Import
from core.indexing.known_pictures import PLACEHOLDER, SamePicture
from core.ui.app_status import engine, notices
from core.ui.filters import import_parameter
from core.ui.formatting import clock_time, counted, date_and_time, duration, escaped, shortened

FIRST_IMPORTS = 5
MORE_IMPORTS = 20
SHOWN_REASONS = 30
SHOWN_WAITS = 3
SHOWN_REPEATS = 3


@st.fragment(run_every=1.0)
def show_imports() -> None:
    """The newest imports, refreshed every second."""
    if engine().database_state.state != "ready":
        return
    shown = st.session_state.setdefault("imports-shown", FIRST_IMPORTS)
    try:
        _offer_undo()
        entries = engine().imports.latest(shown + 1)
        if not entries:
            st.caption("Nothing has been indexed yet. Paste a few URLs above to start.")
        for entry in entries[:shown]:
            _show_import(entry)
        if len(entries) > shown:
            st.button("Show earlier imports", icon=":material/history:", on_click=_show_more, type="tertiary")
    except LookalikeError as error:
        st.error(str(error), icon=":material/database_off:")


def _show_more() -> None:
    st.session_state["imports-shown"] += MORE_IMPORTS


def _offer_undo() -> None:
    deleted = st.session_state.get("deleted-import")
    if deleted is None:
        return
    entry, removed = deleted
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.markdown(
            f":material/delete: **{escaped(entry.name)}** was deleted, and {counted(removed, 'picture')} with it."
        )
        st.button("Undo", icon=":material/undo:", on_click=_restore, args=(entry.id,))


def _show_import(entry: Import) -> None:
    repeated = _same_pictures(entry.id, entry.already_there) if entry.done and entry.already_there else []
    with st.container(border=True, key=f"import-{entry.id}"):
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            st.markdown(f"{_icon(entry, bool(repeated))} **{escaped(entry.name)}**", width="content")
            st.caption(date_and_time(entry.created_at), width="content")
        if entry.waiting:
            st.progress((entry.total - entry.waiting) / entry.total)
        st.caption(_progress(entry))
        _show_waits(entry)
        for same in repeated:
            _show_repeats(entry, same)
        if entry.in_bin:
            _show_in_bin(entry)
        if entry.failed:
            _show_failures(entry)
        _show_buttons(entry)


@st.cache_data(max_entries=50, ttl=60, show_spinner=False)
def _same_pictures(import_id: int, already_there: int) -> list[SamePicture]:
    return engine().known_pictures.same_pictures(import_id)[:SHOWN_REPEATS]


def _show_repeats(entry: Import, same: SamePicture) -> None:
    """That many URLs gave one picture, which may be a placeholder."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        name = escaped(picture_name("", same.example))
        st.caption(f":material/filter_none: {same.count:,} URLs gave the same picture, first {name}.", width="content")
        st.button(
            "It is a placeholder",
            key=f"placeholder-{entry.id}-{same.picture}",
            type="tertiary",
            help="These URLs then count as failed, and so does each later one that gives the very same file. "
            "You can undo this.",
            on_click=_mark_placeholder,
            args=(entry.id, same),
        )


def _show_in_bin(entry: Import) -> None:
    """How many pictures were left in the bin, and the way to restore them."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        verb = "is" if entry.in_bin == 1 else "are"
        st.caption(
            f":material/delete: {counted(entry.in_bin, 'picture')} {verb} in your bin and stayed there.",
            width="content",
        )
        _button(entry, "Restore them", ":material/restore_from_trash:", engine().known_pictures.restore_from_bin)


def _show_waits(entry: Import) -> None:
    """Why URLs wait, and until when."""
    if entry.paused_at:
        return
    for wait in entry.waits[:SHOWN_WAITS]:
        until = clock_time(wait.until + timedelta(seconds=1))
        st.caption(f":material/schedule: {counted(wait.count, 'URL')} until {until}: {escaped(wait.reason)}")
    if more := sum(wait.count for wait in entry.waits[SHOWN_WAITS:]):
        st.caption(f":material/schedule: {more:,} more for other reasons.")


def _icon(entry: Import, repeated: bool) -> str:
    if entry.waiting:
        return ":material/pause_circle:" if entry.paused_at else ":material/progress_activity:"
    return ":material/rule:" if entry.failed or repeated else ":material/check_circle:"


def _progress(entry: Import) -> str:
    parts = [f"{entry.indexed:,} indexed"]
    if entry.already_there > entry.in_bin:
        parts.append(f"{entry.already_there - entry.in_bin:,} already in the collection")
    if entry.failed:
        parts.append(f"{entry.failed:,} failed")
    if entry.waiting:
        parts.append(f"{entry.waiting:,} waiting")
    if entry.waiting and entry.paused_at:
        parts.append("paused")
    elif entry.waiting and entry.rate:
        parts.append(f"{entry.rate:.1f} per second")
        if entry.seconds_left and entry.retrying < entry.waiting:
            parts.append(f"about {duration(entry.seconds_left)} left")
    elif entry.waiting > entry.retrying:
        seconds = RATE_WINDOW.seconds
        parts.append("not begun yet" if entry.waiting == entry.total else f"none in the last {seconds} seconds")
    return " · ".join(parts)


def _show_buttons(entry: Import) -> None:
    imports = engine().imports
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if not entry.waiting and entry.indexed + entry.already_there:
            _show_links(entry)
        if entry.waiting:
            if entry.paused_at:
                _button(entry, "Resume", ":material/play_arrow:", imports.resume)
            else:
                _button(entry, "Pause", ":material/pause:", imports.pause)
            _button(entry, "Cancel", ":material/stop:", imports.cancel)
        if entry.failed:
            _button(entry, "Retry failed", ":material/refresh:", imports.retry_failed)
            st.download_button(
                "Failures as CSV",
                data=lambda: as_csv(imports.failures(entry.id)),
                file_name=f"failures-{entry.id}.csv",
                mime="text/csv",
                key=f"csv-{entry.id}",
                icon=":material/download:",
                type="tertiary",
                on_click="ignore",
            )
        if not entry.waiting and entry.indexed + entry.already_there:
            st.button(
                "Fetch again",
                key=f"again-{entry.id}",
                icon=":material/sync:",
                type="tertiary",
                help="Asks for every URL once more. A picture that has changed replaces the old one, which goes to the "
                "bin; title, tags and fields stay.",
                on_click=_attempt,
                args=(imports.fetch_again, entry.id),
            )
        if not entry.waiting:
            _show_deletion(entry)


def _show_deletion(entry: Import) -> None:
    """A button that says how many pictures go with the import, and asks once."""
    with st.popover(
        "Delete", icon=":material/delete:", type="tertiary", key=f"ask-delete-{entry.id}", on_change="rerun"
    ) as box:
        if not box.open:
            return
        count = engine().imports.deletable(entry.id)
        st.markdown(
            f"**{counted(count, 'picture')}** {'goes' if count == 1 else 'go'} to the bin: what no other import has. "
            "You can undo this."
        )
        st.button("Delete the import", key=f"delete-{entry.id}", type="primary", on_click=_delete, args=(entry,))


def _show_links(entry: Import) -> None:
    """The pictures of a finished import, in the collection and as what a search is restricted to."""
    parameter = import_parameter(entry.id, entry.name)
    st.page_link("pages/collection.py", label="See them", icon=":material/photo_library:", query_params=parameter)
    st.page_link("pages/search.py", label="Search them", icon=":material/search:", query_params=parameter)


def _button(entry: Import, label: str, icon: str, action: Callable[[int], object]) -> None:
    st.button(label, key=f"{label}-{entry.id}", icon=icon, type="tertiary", on_click=_attempt, args=(action, entry.id))


def _attempt(action: Callable[[int], object], import_id: int) -> None:
    """Do what a button asks for; a failure is a notice."""
    with notices():
        action(import_id)


def _mark_placeholder(import_id: int, same: SamePicture) -> None:
    _attempt(lambda _: engine().known_pictures.mark_placeholder(same.picture), import_id)
    _same_pictures.clear()


def _unmark_placeholders(import_id: int) -> None:
    engine().known_pictures.unmark_placeholders(import_id)
    _same_pictures.clear()


def _delete(entry: Import) -> None:
    def delete(import_id: int) -> None:
        st.session_state["deleted-import"] = (entry, engine().imports.delete(import_id))

    _attempt(delete, entry.id)


def _restore(import_id: int) -> None:
    _attempt(engine().imports.restore, import_id)
    st.session_state.pop("deleted-import", None)  # a second click may come before the first is answered


def _show_failures(entry: Import) -> None:
    with st.expander(f"{entry.failed:,} could not be indexed", icon=":material/error:"):
        groups = engine().imports.failure_groups(entry.id)
        st.table(
            [
                {
                    "Count": f"{group.count:,}",
                    "Reason": escaped(group.reason),
                    "Example": escaped(shortened(group.example)),
                }
                for group in groups[:SHOWN_REASONS]
            ]
        )
        if any(group.reason == PLACEHOLDER for group in groups):
            _button(entry, "No placeholder", ":material/undo:", _unmark_placeholders)
        if len(groups) > SHOWN_REASONS:
            st.caption(f"… and {len(groups) - SHOWN_REASONS:,} more reasons. The CSV lists them all.")
