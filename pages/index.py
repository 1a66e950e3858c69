import streamlit as st

from core.errors import LookalikeError
from core.ui.house import engine
from core.ui.imports import show_imports
from core.ui.words import counted
from core.urls import Line, Table, read_lines, read_table, url_column

SHOWN_PROBLEMS = 1_000


@st.cache_data(max_entries=8, show_spinner="Reading the list…")
def pasted_lines(text: str) -> list[Line]:
    return read_lines(text)


@st.cache_data(max_entries=8, show_spinner="Reading the file…")
def uploaded_table(name: str, data: bytes) -> Table:
    return read_table(name, data)


def ask() -> tuple[str, list[Line]]:
    """The input widgets; the import's name and the lines that they hold now."""
    paste, upload = st.tabs(["Paste addresses", "Upload a list"])
    with upload:
        file = st.file_uploader(
            "A .txt, .csv or .xlsx file with the addresses of pictures",
            type=["txt", "csv", "tsv", "xlsx"],
            key=f"list-{st.session_state.get('round', 0)}",
        )
        if file is not None:
            try:
                table = uploaded_table(file.name, file.getvalue())
            except LookalikeError as error:
                st.error(str(error), icon=":material/error:")
                return file.name, []
            column = url_column(table)
            if len(table.columns) > 1:
                column = st.selectbox(
                    "Column with the addresses",
                    range(len(table.columns)),
                    index=column,
                    format_func=lambda i: table.columns[i],
                )
            return file.name, table.lines(column)
    with paste:
        text = st.text_area(
            "One address a line",
            placeholder="https://example.org/pictures/one.jpg\nhttps://example.org/pictures/two.jpg",
            height=190,
            key="pasted",
            persist_state="session",
        )
    return "Pasted list", pasted_lines(text)


def preview(lines: list[Line]) -> list[tuple[bytes, str]]:
    """Show what would happen to each line; return what can be indexed."""
    good = [(line.key, line.url) for line in lines if line.key and line.url and not line.repeat_of]
    bad = [line for line in lines if line.problem]
    repeats = [line for line in lines if line.repeat_of]
    with st.container(horizontal=True, gap="small"):
        st.badge(f"{len(good):,} ready", icon=":material/check:", color="green")
        if repeats:
            st.badge(f"{len(repeats):,} repeated", icon=":material/content_copy:", color="gray")
        if bad:
            st.badge(f"{len(bad):,} cannot be read", icon=":material/error:", color="red")
    if bad or repeats:
        odd = sorted([*bad, *repeats], key=lambda line: line.number)[:SHOWN_PROBLEMS]
        with st.expander("Lines that are left out, and why", expanded=bool(bad)):
            st.dataframe(
                (
                    {
                        "Line": [line.number for line in odd],
                        "Text": [line.text[:300] for line in odd],
                        "Why": [line.problem or f"Repeats line {line.repeat_of}." for line in odd],
                    }
                ),
                hide_index=True,
                column_config={"Line": st.column_config.NumberColumn(width=60)},
            )
    return good


def start(name: str, urls: list[tuple[bytes, str]]) -> None:
    try:
        engine().submit(name, urls)
    except LookalikeError as error:
        st.session_state["index-problem"] = str(error)
        return
    st.session_state["pasted"] = ""
    st.session_state["round"] = st.session_state.get("round", 0) + 1
    st.toast(f"Indexing {counted(len(urls), 'picture')}. You can leave this page.", icon=":material/rocket_launch:")


st.title("Index pictures", anchor=False)
st.caption("Give Lookalike the web addresses of your pictures. It fetches each one, and from then on finds it.")
name, lines = ask()
if problem := st.session_state.pop("index-problem", None):
    st.error(problem, icon=":material/error:")
if lines:
    urls = preview(lines)
    st.button(
        f"Index {counted(len(urls), 'picture')}",
        type="primary",
        icon=":material/play_arrow:",
        disabled=not urls,
        on_click=start,
        args=(name, urls),
    )
st.subheader("Imports", anchor=False)
show_imports()
