"""The three ways to add pictures on the Index page: paste URLs, upload a list, upload files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import streamlit as st
from streamlit.typing import UploadedFile

from core.collection.metadata import NO_METADATA, Metadata, title_column
from core.errors import LookalikeError
from core.indexing.imports import Import
from core.indexing.isolated_lists import pasted_document, pasted_lines, uploaded_table
from core.indexing.url_lists import (
    ListedUrl,
    ListTable,
    tally,
    url_columns,
)
from core.media.isolation.dropped import find_pictures, read_files
from core.media.uploads import MAX_ZIP_BYTES, Findings, FoundFile
from core.ui.app_status import engine
from core.ui.formatting import counted, escaped, shortened

MAX_PROBLEMS = 1_000
"""Lines or files left out that are listed."""

LEAVE = "Leave them there"
"""What is done with URLs of pictures that are in the bin, unless a curator wants them restored."""

Color = Literal["green", "gray", "red"]
Badge = tuple[int, str, str, Color]
"""A count, what is counted, an icon and a colour."""


def show_paste_form() -> None:
    """A text area for URLs."""
    text = st.text_area(
        "One URL per line",
        placeholder="https://example.org/pictures/one.jpg\nhttps://example.org/pictures/two.jpg",
        height=190,
        key="pasted",
        persist_state="session",
    )
    if not text.strip():
        st.button("Index", key="index-nothing", type="primary", icon=":material/library_add:", disabled=True)
        return
    try:
        document = _pasted_document(text)
    except LookalikeError as error:
        st.error(str(error), icon=":material/error:")
        return
    if document is None:
        _preview_lines("paste", "Pasted list", _pasted_lines(text))
    else:
        _preview_table("paste", "Pasted list", document, text)


def show_list_form() -> None:
    """An uploader for a file that lists URLs."""
    file = st.file_uploader(
        "A list of picture URLs: text, CSV, a spreadsheet, JSON, a web page, a sitemap, a feed or a IIIF manifest",
        type=["txt", "csv", "tsv", "xlsx", "ods", "json", "jsonl", "xml", "rss", "atom", "html", "htm", "md"],
        key=_uploader_key("list"),
    )
    if file is None:
        return
    try:
        table = _uploaded_table(file.name, file.getvalue())
        encoding, sheets = _choose_reading(table, file.file_id)
        if encoding or sheets:
            table = _uploaded_table(file.name, file.getvalue(), encoding, sheets)
    except LookalikeError as error:
        st.error(str(error), icon=":material/error:")
        return
    _preview_table("list", file.name, table, f"{file.file_id} {encoding} {sheets}")


def show_files_form() -> None:
    """An uploader for pictures and ZIPs of pictures."""
    settings = engine().settings
    files = st.file_uploader(
        f"Pictures of up to {settings.max_file_mb:g} MB each, or a ZIP of them. Lookalike stores the files.",
        accept_multiple_files=True,
        max_upload_size=MAX_ZIP_BYTES // 1_000_000,
        key=_uploader_key("files"),
    )
    if files:
        found = _found_pictures(files, [file.file_id for file in files])
        _preview_files(files, found)


def show_problem() -> None:
    """Why the import that was just asked for did not start, if so."""
    if problem := st.session_state.pop("index-problem", None):
        st.error(problem, icon=":material/error:")


def start_import(submit: Callable[[], Import]) -> bool:
    """Start an import and say so, or remember why not for `show_problem`."""
    try:
        started = submit()
    except LookalikeError as error:
        st.session_state["index-problem"] = str(error)
        return False
    st.toast(f"Indexing {counted(started.total, 'picture')}. You can leave this page.", icon=":material/rocket_launch:")
    return True


@st.cache_data(max_entries=8, show_spinner="Reading the list…")
def _pasted_lines(text: str) -> list[ListedUrl]:
    return pasted_lines(engine().settings, text)


@st.cache_data(max_entries=8, show_spinner="Reading the list…")
def _pasted_document(text: str) -> ListTable | None:
    return pasted_document(engine().settings, text)


@st.cache_data(max_entries=8, show_spinner="Reading the file…")
def _uploaded_table(
    name: str, data: bytes, encoding: str | None = None, sheets: tuple[str, ...] | None = None
) -> ListTable:
    return uploaded_table(engine().settings, name, data, encoding, sheets)


@st.cache_data(max_entries=8, show_spinner="Reading the table…")
def _table_lines(
    table_key: str, _table: ListTable, columns: tuple[int, ...], title: int | None, fields: tuple[int, ...]
) -> list[ListedUrl]:
    return _table.lines(columns, fields, title)


@st.cache_data(max_entries=8, ttl=2, show_spinner=False)
def _in_bin(keys: tuple[bytes, ...]) -> set[bytes]:
    return engine().known_pictures.in_bin(keys)


def _ask_about_bin(source: str, noun: str, question: str, keys: list[bytes]) -> tuple[set[bytes], bool]:
    """The keys of those that stay in the bin, and whether those that are there are restored instead."""
    in_bin = _in_bin(tuple(keys)) if keys else set[bytes]()
    if not in_bin:
        return set(), False
    label = f"{counted(len(in_bin), noun)} of these {question}"
    choice = st.radio(label, [LEAVE, "Restore them"], horizontal=True, key=f"bin-{source}")
    return (in_bin, False) if choice == LEAVE else (set(), True)


@st.cache_data(max_entries=8, show_spinner="Reading the files…")
def _found_pictures(_files: list[UploadedFile], ids: list[str]) -> Findings:
    return find_pictures([file.name for file in _files], _files, engine().settings)


def _uploader_key(source: str) -> str:
    return f"{source}-{st.session_state.get(f'{source}-round', 0)}"


def _empty_uploader(source: str) -> None:
    """A new key makes it a new widget."""
    st.session_state[f"{source}-round"] = st.session_state.get(f"{source}-round", 0) + 1


def _preview_table(source: str, name: str, table: ListTable, table_key: str) -> None:
    """What there is to choose about a table, and what an import would do with it; `table_key` is another for another
    table."""
    for note in table.notes:
        st.warning(escaped(note), icon=":material/format_quote:")
    columns, title, fields = url_columns(table), None, list[int]()
    if len(table.columns) > 1:
        columns, title, fields = _choose_columns(table)
    if not columns:
        return
    lines = _table_lines(table_key, table, tuple(columns), title, tuple(fields))
    _preview_lines(source, name, lines, table.given())


def _choose_reading(table: ListTable, file_id: str) -> tuple[str | None, tuple[str, ...] | None]:
    """The code page and the sheets that were chosen where there is a choice; None for what was left as it is."""
    encoding = sheets = None
    if len(table.readings) > 1:
        labels = {reading.encoding: f"{shortened(reading.sample)} ({reading.language})" for reading in table.readings}
        chosen = st.selectbox(
            "Letters with accents, or of other scripts, read as",
            list(labels),
            format_func=labels.__getitem__,
            key=f"encoding-{file_id}",
            help="The file does not say how its letters are stored. Choose the line that reads right.",
        )
        encoding = chosen if chosen != table.readings[0].encoding else None
    if len(table.sheets) > 1:
        picked = st.multiselect("Sheets", table.sheets, default=table.sheets, key=f"sheets-{file_id}")
        sheets = tuple(picked) if picked and len(picked) < len(table.sheets) else None
    return encoding, sheets


def _choose_columns(table: ListTable) -> tuple[list[int], int | None, list[int]]:
    """The columns with the URLs and with the titles, and those that are stored as fields."""

    def name(column: int | None) -> str:
        return "None" if column is None else table.columns[column]

    columns = st.multiselect("URL columns", range(len(table.columns)), default=url_columns(table), format_func=name)
    others = [other for other in range(len(table.columns)) if other not in columns]
    titles = title_column(table.columns)
    left, right = st.columns([1, 2])
    title = left.selectbox(
        "Title column",
        [None, *others],
        index=others.index(titles) + 1 if titles in others else 0,
        format_func=name,
        help="Fills in the titles of pictures that have none.",
    )
    fields = right.multiselect(
        "Other columns to store with the pictures",
        others,
        default=others,
        format_func=name,
        help="They are shown with each picture, and you can filter by them. Values from an earlier list are replaced.",
    )
    return columns, title, fields


def _preview_lines(source: str, name: str, lines: list[ListedUrl], given: int | None = None) -> None:
    """What an import would do with each line, and the button that starts it; `given` counts the URLs in all columns."""
    if not lines:
        return
    kept = [line for line in lines if line.key and line.url and not line.repeat_of]
    urls = [(line.key, line.url) for line in kept if line.key and line.url]
    left, restores = _ask_about_bin(source, "URL", "lead to pictures in your bin", [key for key, _ in urls])
    urls = [(key, url) for key, url in urls if key not in left]
    metadata = {line.key: line.metadata for line in kept if line.key and line.metadata != NO_METADATA}
    found = tally(lines, given)
    left_out = [line for line in lines if line.problem or line.repeat_of]
    _show_badges(
        (found.ready, "ready", ":material/check:", "green"),
        (found.repeated, "repeated", ":material/content_copy:", "gray"),
        (found.problems, "invalid", ":material/error:", "red"),
        (found.elsewhere, "in other columns", ":material/view_column:", "gray"),
        total=counted(found.total, "URL"),
    )
    _show_left_out(
        "lines",
        {
            "Line": [line.number for line in left_out[:MAX_PROBLEMS]],
            "Text": [line.text[:300] for line in left_out[:MAX_PROBLEMS]],
            "Reason": [line.problem or f"Repeats line {line.repeat_of}." for line in left_out[:MAX_PROBLEMS]],
        },
        expanded=bool(found.problems),
    )
    _index_button(source, len(urls), _start_urls, source, name, urls, metadata, restores)


def _preview_files(files: list[UploadedFile], found: Findings) -> None:
    """What an import would do with each file, and the button that starts it."""
    _show_badges(
        (len(found.pictures), "ready", ":material/check:", "green"),
        (len(found.repeats), "repeated", ":material/content_copy:", "gray"),
        (found.hidden, "hidden", ":material/visibility_off:", "gray"),
        (len(found.refused), "cannot be used", ":material/error:", "red"),
    )
    left_out = [*found.refused, *found.repeats][:MAX_PROBLEMS]
    _show_left_out(
        "files",
        {"File": [file.name for file in left_out], "Reason": [file.reason for file in left_out]},
        expanded=bool(found.refused),
    )
    name = files[0].name if len(files) == 1 else "Uploaded pictures"
    left, restores = _ask_about_bin("files", "file", "are in your bin", [file.key for file in found.pictures])
    pictures = [file for file in found.pictures if file.key not in left]
    _index_button("files", len(pictures), _start_files, name, files, pictures, restores)


def _show_badges(ready: Badge, *others: Badge, total: str = "") -> None:
    """How many there are in all, and a badge for each count; those of nothing are left out, but for the first."""
    with st.container(horizontal=True, gap="small"):
        if total:
            st.badge(f"{total} found", icon=":material/link:", color="blue")
        for count, what, icon, color in (ready, *(other for other in others if other[0])):
            st.badge(f"{count:,} {what}", icon=icon, color=color)


def _show_left_out(what: str, columns: dict[str, list[int] | list[str]], *, expanded: bool) -> None:
    """The lines or files that are left out, where there are any."""
    if columns["Reason"]:
        with st.expander(f"Skipped {what}, and why", expanded=expanded):
            st.dataframe(columns, hide_index=True, column_config={"Line": st.column_config.NumberColumn(width=60)})


def _index_button(source: str, count: int, action: Callable[..., bool], *args: object) -> None:
    turn = st.session_state.setdefault("index-turn", 0)
    st.button(
        f"Index {counted(count, 'picture')}",
        key=f"index-{source}",
        type="primary",
        icon=":material/play_arrow:",
        disabled=not count,
        on_click=_start_once,
        args=(turn, action, *args),
    )


def _start_once(turn: int, action: Callable[..., bool], *args: object) -> None:
    """Start an import, once a click: when another event breaks its run off, Streamlit calls a callback again."""
    if st.session_state["index-turn"] == turn and action(*args):
        st.session_state["index-turn"] = turn + 1


def _start_urls(
    source: str, name: str, urls: list[tuple[bytes, str]], metadata: dict[bytes, Metadata], restores: bool
) -> bool:
    started = start_import(lambda: engine().imports.submit(name, urls, metadata, restores=restores))
    if started and source == "paste":
        st.session_state["pasted"] = ""
    elif started:
        _empty_uploader(source)
    return started


def _start_files(name: str, files: list[UploadedFile], pictures: list[FoundFile], restores: bool) -> bool:
    with st.spinner("Storing the files…"):
        dropped = read_files([file.name for file in files], files, pictures, engine().settings)
        started = start_import(lambda: engine().imports.submit_files(name, dropped, restores=restores))
    if started:
        _empty_uploader("files")
    return started
