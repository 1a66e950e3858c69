"""The query as a person puts it together: what is asked for, and the chips that show, weigh, crop and remove it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from typing import Literal

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from core.errors import LookalikeError, QueryError, UrlError
from core.media.urls import clean
from core.search.query_parts import MAX_PARTS, Part, read_parts, write_parts
from core.search.query_vector import EncodedPart, Query, combined
from core.ui.app_status import engine
from core.ui.components.crop import crop
from core.ui.formatting import plain, shortened

ADDRESS = "q"
"""The query parameter that holds the parts."""

LESS = -0.5
"""Weight of a part that leads away: a whole one would often outweigh what is looked for."""

EASY_WEIGHT = 2.0
"""The slider's ends; a link may say more."""

LATE = 5.0
"""Seconds after which no event from before a change of the address is expected."""

CHIP_WIDTH = 72
NEW, ADD, AWAY = "New", "Add", "Less"

_numbers = count(1)


@dataclass
class Chip:
    """A part of the query on the page; `number` names its widgets."""

    number: int
    part: Part


@dataclass(frozen=True)
class _Asked:
    """Something that was dropped or typed and not looked at yet."""

    kind: Literal["picture", "text"]
    name: str
    data: bytes
    how: str


def chips() -> list[Chip]:
    """The parts of the query in this visit, as the address has them at first and after a step back."""
    state = st.session_state
    written = st.query_params.get(ADDRESS, "")
    if state.get("written-query") == written:
        pass
    elif _is_late(written):
        _address()
    else:
        state["written-query"] = written
        state["chips"] = []
        _forget_complaints()
        try:
            state["chips"] = _chips(read_parts(written) if written else ())
        except LookalikeError as error:
            _complain("This search cannot be restored", error)
    return list(state.setdefault("chips", []))


def ask(parts: Iterable[Part], how: str = ADD) -> None:
    """Put parts into the query, or begin a new one with them."""
    kept = [] if how == NEW else chips()
    known = {chip.part for chip in kept}
    fresh = [part for part in parts if part not in known]
    if len(kept) + len(fresh) > MAX_PARTS:
        full = QueryError(f"A query takes up to {MAX_PARTS} parts, and this would make {len(kept) + len(fresh)}.")
        _complain("The query is full", full)
        return
    _write([*kept, *_chips(fresh)])


def clear() -> None:
    """Forget the query."""
    _forget_complaints()
    _write([])


def inputs() -> None:
    """Where a picture is dropped, and words or an address are typed."""
    key = f"upload-{st.session_state.get('uploads', 0)}"
    st.file_uploader(
        "Drop a picture, or press Ctrl+V",
        type="image",
        accept_multiple_files=True,
        key=key,
        on_change=_hear_files,
        args=(key,),  # of this very uploader: a drop may reach it after the next one was made
    )
    words = _reads_words()
    st.text_input(
        "Its address, or words" if words else "Its address",
        key="box",
        placeholder="https://…  or  a red bicycle" if words else "https://…",
        on_change=_hear_text,
    )
    if not words:
        st.caption("Words cannot be searched for now: the model at work knows pictures only.")
    if chips():
        st.segmented_control(
            "What you drop or type next",
            [NEW, ADD, AWAY],
            default=NEW,
            required=True,
            key="how",
            help=f"**{NEW}** forgets the query so far. **{ADD}** looks for both. **{AWAY}** looks for less of it.",
        )


def take() -> None:
    """Look at what was dropped or typed since the last run, and say what cannot be searched for."""
    chips()
    with st.container():  # one place for all it says: were the uploader below to move, both would show for a moment
        _take()


def _take() -> None:
    waiting: list[_Asked] = st.session_state.get("asked", [])
    while waiting:
        asked = waiting[0]
        try:
            with st.spinner("Looking at it…"):
                part = _part(asked)
        except LookalikeError as error:
            _complain("This cannot be searched for", error)
        else:
            ask([part.model_copy(update={"weight": LESS}) if asked.how == AWAY else part], asked.how)
        waiting.pop(0)  # not before: the next click breaks this run off, and the next run goes on here
    for title, sentence in st.session_state.get("complaints", []):  # until something else is asked for
        st.error(plain(sentence), icon=":material/broken_image:", title=title)


def show_query() -> Query | None:
    """The chips, and the query that they make; None when there is none, or it cannot be had yet."""
    entries = chips()
    if not entries:
        return None
    if not engine().can_search:
        st.info("Your search starts as soon as the model is loaded.", icon=":material/hourglass_top:")
        return None
    serving = engine().serving()
    seen = list[EncodedPart]()
    with st.container(gap="small", key="chips"):
        for chip in entries:
            try:
                found = engine().query_encoder.encode_part(serving, chip.part)
            except LookalikeError as error:
                _show_broken(chip, error)
                continue
            seen.append(found)
            _show_chip(chip, found)
        if len(entries) > 1:
            st.button("Clear all", icon=":material/close:", on_click=clear, type="tertiary", key="clear-query")
    if not seen:
        return None
    try:
        return combined(serving.model, seen)
    except LookalikeError as error:
        st.error(str(error), icon=":material/balance:")
        return None


def _show_chip(chip: Chip, seen: EncodedPart) -> None:
    part = chip.part
    facts = [
        "Leads away" if part.weight < 0 else "",
        f"× {abs(part.weight):g}" if abs(part.weight) != 1 else "",
        "Part of it" if part.crop else "",
        "In the collection" if seen.member else "",
    ]
    with st.container(border=True, gap="small", key=f"chip-{chip.number}"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            if seen.thumbnail is not None:
                role = "that is searched for" if part.weight > 0 else "that the search leads away from"
                st.image(seen.thumbnail, width=CHIP_WIDTH, alt=f"The picture {role}")
            with st.container(gap=None, width="stretch"):
                icon = ":material/format_quote: " if part.kind == "words" else ""
                st.markdown(icon + plain(shortened(seen.label)))
                if any(facts):
                    st.caption(" · ".join(filter(None, facts)))
        with st.container(horizontal=True, gap="small"):
            st.button(
                "Done" if _is_open(chip) else "Adjust",
                icon=":material/check:" if _is_open(chip) else ":material/tune:",
                key=f"adjust-{chip.number}",
                on_click=_open,
                args=(None if _is_open(chip) else chip.number,),
                type="tertiary",
                help="How much this part counts, and which part of a picture.",
            )
            _remove_button(chip)
        if _is_open(chip):
            _adjust(chip, seen)


def _remove_button(chip: Chip) -> None:
    st.button(
        "Remove",
        icon=":material/close:",
        key=f"drop-{chip.number}",
        on_click=_drop,
        args=(chip.number,),
        type="tertiary",
        help="Removes this part from the query.",
    )


def _adjust(chip: Chip, seen: EncodedPart) -> None:
    weight = chip.part.weight
    st.slider(
        "Weight: how much it counts; below 0 it leads away",
        min(-EASY_WEIGHT, weight),
        max(EASY_WEIGHT, weight),
        value=weight,
        step=0.25,
        key=f"weight-{chip.number}",
        on_change=_weigh,
        args=(chip.number,),
    )
    if seen.thumbnail is not None:
        drawn = crop(seen.thumbnail, box=chip.part.crop, key=f"crop-{chip.number}", alt=f"The picture {seen.label}")
        if drawn != chip.part.crop:
            _replace(chip.number, chip.part.model_copy(update={"crop": drawn}))
            st.rerun()


def _is_open(chip: Chip) -> bool:
    return bool(st.session_state.get("adjusting") == chip.number)


def _open(number: int | None) -> None:
    st.session_state["adjusting"] = number


def _show_broken(chip: Chip, error: LookalikeError) -> None:
    with st.container(border=True, gap="small"):
        st.markdown(f":material/broken_image: {plain(str(error))}")
        _remove_button(chip)


def _chips(parts: Iterable[Part]) -> list[Chip]:
    return [Chip(next(_numbers), part) for part in parts]


def _write(entries: list[Chip]) -> None:
    state = st.session_state
    state["chips"] = entries
    now = time.monotonic()
    recent = {query: at for query, at in state.get("replaced-queries", {}).items() if now < at + LATE}
    state["replaced-queries"] = {**recent, state.get("written-query", ""): now}
    state["written-query"] = write_parts(chip.part for chip in entries) if entries else ""
    _address()


def _address() -> None:
    """Make the address hold the query."""
    if written := st.session_state["written-query"]:
        st.query_params[ADDRESS] = written
    else:
        st.query_params.pop(ADDRESS, None)


def _is_late(written: str) -> bool:
    """Whether the address is one that was replaced a moment ago: an event that the browser sent before it knew."""
    replaced = st.session_state.get("replaced-queries", {}).get(written)
    context = get_script_run_ctx()
    back = context is not None and context.is_history_navigation
    return replaced is not None and not back and time.monotonic() < replaced + LATE


def _drop(number: int) -> None:
    _forget_complaints()
    _write([chip for chip in chips() if chip.number != number])


def _replace(number: int, part: Part) -> None:
    _write([Chip(number, part) if chip.number == number else chip for chip in chips()])


def _weigh(number: int) -> None:
    weight = float(st.session_state[f"weight-{number}"])
    for chip in chips():
        if chip.number == number and weight:
            _replace(number, chip.part.model_copy(update={"weight": weight}))


def _part(asked: _Asked) -> Part:
    """The part that a dropped picture, an address or words make."""
    composer = engine().query_encoder
    if asked.kind == "picture":
        return composer.keep(asked.name, asked.data)
    try:
        url = clean(asked.name)
    except UrlError:
        if "://" in asked.name:
            raise
        return read_parts([{"words": asked.name}])[0]
    return composer.keep_url(url)


def _hear_files(uploader: str) -> None:
    files = st.session_state[uploader]
    _hear(
        _Asked("picture", file.name, file.getvalue(), ADD if place and _how() == NEW else _how())
        for place, file in enumerate(files)
    )


def _hear_text() -> None:
    text = st.session_state["box"].strip()
    if text:
        _hear([_Asked("text", text, b"", _how())])


def _hear(asked: Iterable[_Asked]) -> None:
    """Remember what was asked, and empty the inputs: what they held is a chip soon."""
    _forget_complaints()
    state = st.session_state
    state.setdefault("asked", []).extend(asked)
    state["uploads"] = state.get("uploads", 0) + 1
    state["box"] = ""


def _how() -> str:
    return str(st.session_state.get("how") or NEW)


def _complain(title: str, error: LookalikeError) -> None:
    complaints = st.session_state.setdefault("complaints", [])
    if (title, str(error)) not in complaints:
        complaints.append((title, str(error)))


def _forget_complaints() -> None:
    st.session_state.pop("complaints", None)


def _reads_words() -> bool:
    """Whether words can be searched for, as far as is known."""
    return not engine().can_search or engine().serving().encoder.reads_words
