"""The inputs of the Search page: pictures that are dropped or pasted, and a URL or text that is typed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.errors import LookalikeError, UrlError
from core.media.urls import clean
from core.search.query_parts import Part, read_parts
from core.ui.app_status import engine
from core.ui.formatting import escaped
from core.ui.panels.search.query import (
    ADD,
    EXCLUDE,
    NEGATIVE,
    NEW,
    add_parts,
    chips,
    clear_problems,
    problems,
    report_problem,
)


@dataclass(frozen=True)
class _Input:
    """Something that was dropped or typed and not processed yet."""

    kind: Literal["picture", "text"]
    name: str
    data: bytes
    mode: str


def take_inputs(above: DeltaGenerator) -> None:
    """Process what was dropped or typed since the last run; problems are said `above`. Call it before whatever depends
    on the query."""
    if engine().database_state.state == "ready":
        chips()
        with above.container():  # of one place: were the uploader to move, both would show for a moment
            _process()


def show_inputs() -> None:
    """Draw the inputs."""
    with st.container(key="inputs" if chips() else "first-inputs"):
        _draw()


def on_phone() -> bool:
    """Whether the browser says that it is a phone's: there the uploader offers the camera, and nothing is dropped."""
    return "Mobi" in (st.context.headers.get("User-Agent") or "")


def take_url(url: str) -> None:
    """Search with a URL that was pasted or dropped on the page; call it in a callback."""
    _keep([_Input("text", url, b"", _mode())])


def _draw() -> None:
    """The inputs: in the middle of the page while nothing is searched for, else a panel that the strip opens."""
    key = f"upload-{st.session_state.get('uploads', 0)}"
    st.file_uploader(
        "Take or choose a photo" if on_phone() else "Drop a picture, or press Ctrl+V",
        type="image",
        accept_multiple_files=True,
        key=key,
        on_change=_keep_files,
        args=(key,),  # of this very uploader: a drop may reach it after the next one was made
    )
    text = _supports_text()
    st.text_input(
        "Image URL or text" if text else "Image URL",
        key="box",
        placeholder="https://…  or  a red bicycle" if text else "https://…",
        on_change=_keep_text,
    )
    if not text:
        st.caption("This model does not support text searches.")
    if chips():
        st.segmented_control(
            "What you drop or type next",
            [NEW, ADD, EXCLUDE],
            default=NEW,
            required=True,
            key="mode",
            help=f"**{NEW}** replaces the query. **{ADD}** searches for both. **{EXCLUDE}** adds a negative: "
            "pictures like it rank lower.",
        )


def _process() -> None:
    waiting: list[_Input] = st.session_state.get("inputs", [])
    while waiting:
        given = waiting[0]
        try:
            with st.spinner("Reading…"):
                part = _part(given)
        except LookalikeError as error:
            report_problem("This cannot be searched for", error)
        else:
            if given.kind == "text" and given.name == st.session_state.get("box", "").strip():
                st.session_state["box"] = ""  # one that failed stays, to be mended
            if given.mode == EXCLUDE:
                part = part.model_copy(update={"weight": NEGATIVE})
            add_parts([part], given.mode)
        waiting.pop(0)  # not before: the next click breaks this run off, and the next run goes on here
    for title, sentence in problems():
        st.error(escaped(sentence), icon=":material/broken_image:", title=title)


def _part(given: _Input) -> Part:
    """The part that a dropped picture, a URL or a text makes."""
    encoder = engine().query_encoder
    if given.kind == "picture":
        return encoder.keep(given.name, given.data)
    try:
        url = clean(given.name)
    except UrlError:
        if "://" in given.name:
            raise
        return read_parts([{"words": given.name}])[0]
    return encoder.keep_url(url)


def _keep_files(uploader: str) -> None:
    # Until the browser knows that the uploader is gone, each of its events brings the same files again.
    kept: set[str] = st.session_state.setdefault("kept-files", set())
    fresh = [file for file in st.session_state[uploader] if file.file_id not in kept]
    kept.update(file.file_id for file in fresh)
    mode = _mode()
    if fresh:
        _keep(
            _Input("picture", file.name, file.getvalue(), ADD if place and mode == NEW else mode)
            for place, file in enumerate(fresh)
        )


def _keep_text() -> None:
    text = st.session_state["box"].strip()
    if text:
        _keep([_Input("text", text, b"", _mode())])


def _keep(given: Iterable[_Input]) -> None:
    """Remember what was given, and empty the uploader: what it held is a tile soon."""
    clear_problems()
    state = st.session_state
    state.setdefault("inputs", []).extend(given)
    state["uploads"] = state.get("uploads", 0) + 1


def _mode() -> str:
    return str(st.session_state.get("mode") or NEW)


def _supports_text() -> bool:
    """Whether texts can be searched for, as far as is known."""
    return not engine().can_search or engine().serving().encoder.reads_words
