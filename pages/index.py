from collections.abc import Callable
from typing import Literal

import streamlit as st
from streamlit.typing import UploadedFile

from core.collection.metadata import NO_METADATA, Metadata, title_column
from core.errors import LookalikeError
from core.indexing.imports import Import
from core.indexing.llamaindex import Offer, find_offers, take_table
from core.indexing.url_lists import ListedUrl, ListTable, count, read_lines, read_table, url_column
from core.media.uploads import MAX_ZIP_BYTES, Findings, FoundFile, Upload, find_pictures, read_files
from core.ui.app_status import engine, notices
from core.ui.auto_refresh import auto_refresh
from core.ui.formatting import counted, plain
from core.ui.panels.import_list import show_imports
from core.ui.panels.onboarding import offer_sample, show_tour

SHOWN_PROBLEMS = 1_000
OFFERS_SECONDS = 60
REPEATED: tuple[str, str, Literal["gray"]] = ("repeated", ":material/content_copy:", "gray")
ELSEWHERE: tuple[str, str, Literal["gray"]] = ("in other columns", ":material/view_column:", "gray")
REFUSED: tuple[str, Literal["red"]] = (":material/error:", "red")

state = st.session_state


@st.cache_data(max_entries=8, show_spinner="Reading the list…")
def pasted_lines(text: str) -> list[ListedUrl]:
    return read_lines(text)


@st.cache_data(max_entries=8, show_spinner="Reading the file…")
def uploaded_table(name: str, data: bytes) -> ListTable:
    return read_table(name, data)


@st.cache_data(max_entries=8, show_spinner="Reading the table…")
def table_lines(
    file_id: str, _table: ListTable, column: int, title: int | None, fields: tuple[int, ...]
) -> list[ListedUrl]:
    return _table.lines(column, fields, title)


@st.cache_data(max_entries=8, show_spinner="Looking through the files…")
def dropped_pictures(_files: list[UploadedFile], ids: list[str], max_bytes: int) -> Findings:
    return find_pictures(uploads(_files), max_bytes)


@st.cache_data(ttl=OFFERS_SECONDS, show_spinner=False)
def llamaindex_offers() -> list[Offer]:
    return find_offers(engine().database)


def uploads(files: list[UploadedFile]) -> list[Upload]:
    """What was dropped; the bytes are Streamlit's own, not copies."""
    return [Upload(file.name, file.getvalue()) for file in files]


def uploader_key(source: str) -> str:
    return f"{source}-{state.get(f'{source}-round', 0)}"


def empty_uploader(source: str) -> None:
    """A new key makes it a new widget."""
    state[f"{source}-round"] = state.get(f"{source}-round", 0) + 1


def ask_paste() -> None:
    text = st.text_area(
        "One address a line",
        placeholder="https://example.org/pictures/one.jpg\nhttps://example.org/pictures/two.jpg",
        height=190,
        key="pasted",
        persist_state="session",
    )
    preview_lines("paste", "Pasted list", pasted_lines(text))


def ask_list() -> None:
    file = st.file_uploader(
        "A .txt, .csv or .xlsx file with the addresses of pictures",
        type=["txt", "csv", "tsv", "xlsx", "json", "jsonl", "xml"],
        key=uploader_key("list"),
    )
    if file is None:
        return
    try:
        table = uploaded_table(file.name, file.getvalue())
    except LookalikeError as error:
        st.error(str(error), icon=":material/error:")
        return
    for note in table.notes:
        st.warning(plain(note), icon=":material/format_quote:")
    column, title, fields = choose_columns(table) if len(table.columns) > 1 else (url_column(table), None, ())
    lines = table_lines(file.file_id, table, column, title, tuple(fields))
    preview_lines("list", file.name, lines, table.given())


def choose_columns(table: ListTable) -> tuple[int, int | None, list[int]]:
    """The columns with the addresses, with the titles, and those that are kept as fields."""

    def name(column: int | None) -> str:
        return "None" if column is None else table.columns[column]

    column = st.selectbox(
        "Column with the addresses", range(len(table.columns)), index=url_column(table), format_func=name
    )
    others = [other for other in range(len(table.columns)) if other != column]
    titles = title_column(table.columns)
    left, right = st.columns([1, 2])
    title = left.selectbox(
        "Column with the titles",
        [None, *others],
        index=others.index(titles) + 1 if titles in others else 0,
        format_func=name,
        help="Fills the titles of pictures that have none.",
    )
    fields = right.multiselect(
        "Columns to keep beside the pictures",
        others,
        default=others,
        format_func=name,
        help="They are shown with each picture, and you can filter by them. Where an earlier list said something else, "
        "this one counts.",
    )
    return column, title, fields


def ask_files() -> None:
    settings = engine().settings
    files = st.file_uploader(
        f"Pictures of up to {settings.max_file_mb:g} MB, as many as you like, or a ZIP of them; the files are kept",
        accept_multiple_files=True,
        max_upload_size=MAX_ZIP_BYTES // 1_000_000,
        key=uploader_key("files"),
    )
    if not files:
        return
    found = dropped_pictures(files, [file.file_id for file in files], settings.max_file_bytes)
    preview_files(files, found)


def preview_lines(source: str, name: str, lines: list[ListedUrl], given: int | None = None) -> None:
    """Show what would happen to each line, and the button that makes it happen.

    `given` counts the URLs in all columns.
    """
    if not lines:
        return
    kept = [line for line in lines if line.key and line.url and not line.repeat_of]
    good = [(line.key, line.url) for line in kept]
    said = {line.key: line.said for line in kept if line.said != NO_METADATA}
    bad = sum(line.problem is not None for line in lines)
    odd = [line for line in lines if line.problem or line.repeat_of]
    found = count(lines, given)
    others: list[tuple[int, str, str, Literal["gray", "red"]]]
    others = [(found.repeated, *REPEATED), (found.problems, "cannot be read", *REFUSED), (found.elsewhere, *ELSEWHERE)]
    show_counts(found.ready, others, counted(found.total, "URL"))
    if odd:
        with st.expander("Lines that are left out, and why", expanded=bool(bad)):
            st.dataframe(
                {
                    "Line": [line.number for line in odd[:SHOWN_PROBLEMS]],
                    "Text": [line.text[:300] for line in odd[:SHOWN_PROBLEMS]],
                    "Why": [line.problem or f"Repeats line {line.repeat_of}." for line in odd[:SHOWN_PROBLEMS]],
                },
                hide_index=True,
                column_config={"Line": st.column_config.NumberColumn(width=60)},
            )
    index_button(source, len(good), start_urls, source, name, good, said)


def preview_files(files: list[UploadedFile], found: Findings) -> None:
    """Show what would happen to each file, and the button that makes it happen."""
    show_counts(
        len(found.pictures),
        [
            (len(found.repeats), *REPEATED),
            (found.hidden, "hidden", ":material/visibility_off:", "gray"),
            (len(found.refused), "cannot be used", *REFUSED),
        ],
    )
    odd = [*found.refused, *found.repeats][:SHOWN_PROBLEMS]
    if odd:
        with st.expander("Files that are left out, and why", expanded=bool(found.refused)):
            st.dataframe(
                {"File": [file.name for file in odd], "Why": [file.reason for file in odd]},
                hide_index=True,
            )
    name = files[0].name if len(files) == 1 else "Dropped pictures"
    index_button("files", len(found.pictures), start_files, name, files, found.pictures)


def show_counts(ready: int, others: list[tuple[int, str, str, Literal["gray", "red"]]], found: str = "") -> None:
    """What was `found`, and what becomes of it."""
    with st.container(horizontal=True, gap="small"):
        if found:
            st.badge(f"{found} found", icon=":material/link:", color="blue")
        st.badge(f"{ready:,} ready", icon=":material/check:", color="green")
        for count, what, icon, color in others:
            if count:
                st.badge(f"{count:,} {what}", icon=icon, color=color)


def index_button(source: str, count: int, action: Callable[..., None], *args: object) -> None:
    st.button(
        f"Index {counted(count, 'picture')}",
        key=f"index-{source}",
        type="primary",
        icon=":material/play_arrow:",
        disabled=not count,
        on_click=action,
        args=args,
    )


def start(submit: Callable[[], Import]) -> bool:
    """Begin an import and say so, or say why not."""
    try:
        begun = submit()
    except LookalikeError as error:
        state["index-problem"] = str(error)
        return False
    st.toast(f"Indexing {counted(begun.total, 'picture')}. You can leave this page.", icon=":material/rocket_launch:")
    return True


def start_urls(source: str, name: str, urls: list[tuple[bytes, str]], said: dict[bytes, Metadata]) -> None:
    if start(lambda: engine().submit(name, urls, said)):
        if source == "paste":
            state["pasted"] = ""
        else:
            empty_uploader(source)


def start_files(name: str, files: list[UploadedFile], pictures: list[FoundFile]) -> None:
    with st.spinner("Keeping the files…"):
        if start(lambda: engine().submit_files(name, read_files(uploads(files), pictures))):
            empty_uploader("files")


def start_offer(offer: Offer) -> None:
    with st.spinner("Reading the table…"):
        start(lambda: engine().submit(offer.name, take_table(engine().database, offer)))
    llamaindex_offers.clear()


def show_offers() -> None:
    """Quietly offer what LlamaIndex left in the database."""
    if engine().database_state.state != "ready":
        return
    try:
        offers = llamaindex_offers()
    except LookalikeError:  # the list of imports below says what is wrong with the database
        return
    for offer in offers:
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            many = f"{'more than ' if offer.more else ''}{counted(offer.new, 'picture')}"
            st.markdown(
                f":material/database: The database holds a LlamaIndex table, **{plain(offer.name)}**, "
                f"that knows {many} not indexed here yet."
            )
            st.button(
                "Index them",
                key=f"offer-{offer.schema}-{offer.table}",
                icon=":material/play_arrow:",
                on_click=start_offer,
                args=(offer,),
            )


def show_first_steps() -> None:
    """While the collection is empty, something to try."""
    if engine().database_state.state == "ready":
        with notices():
            if not engine().store.count():
                offer_sample("sample-index")


st.title("Index pictures", anchor=False)
st.caption("Give Lookalike your pictures, by their web addresses or as files. From then on, it finds them.")
auto_refresh(show_tour)
paste, upload, drop = st.tabs(["Paste addresses", "Upload a list", "Drop pictures"])
with paste:
    ask_paste()
with upload:
    ask_list()
with drop:
    ask_files()
if problem := state.pop("index-problem", None):
    st.error(problem, icon=":material/error:")
show_offers()
st.subheader("Imports", anchor=False)
show_imports()
show_first_steps()
