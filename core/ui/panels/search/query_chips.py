"""The query as chips that show its parts, weigh, crop and remove them."""

from __future__ import annotations

import streamlit as st

from core.errors import LookalikeError
from core.search.query_vector import EncodedPart, Query, combined
from core.ui.app_status import engine
from core.ui.components.crop import crop
from core.ui.formatting import escaped, shortened
from core.ui.panels.search.query import Chip, chips, clear_query, remove_part, replace_part

MAX_EASY_WEIGHT = 2.0
"""The ends of the weight slider; a link may have more."""

CHIP_WIDTH = 72
"""Pixels of a chip's picture."""


def show_query() -> Query | None:
    """The chips, and the query that they make; None when there is none, or the model is not loaded yet."""
    entries = chips()
    if not entries:
        return None
    if not engine().can_search:
        st.info("The search starts once the model is loaded.", icon=":material/hourglass_top:")
        return None
    serving = engine().serving()
    encoded = list[EncodedPart]()
    with st.container(gap="small", key="chips"):
        for chip in entries:
            try:
                part = engine().query_encoder.encode_part(serving, chip.part)
            except LookalikeError as error:
                _show_broken(chip, error)
                continue
            encoded.append(part)
            _show_chip(chip, part, named=len(entries) > 1)
        if len(entries) > 1:
            st.button("Clear all", icon=":material/close:", on_click=clear_query, type="tertiary", key="clear-query")
    if not encoded:
        return None
    try:
        return combined(serving.model, encoded)
    except LookalikeError as error:
        st.error(str(error), icon=":material/balance:")
        return None


def _show_chip(chip: Chip, encoded: EncodedPart, *, named: bool) -> None:
    """The chip of one part; `named` says that there are others, so that its button says what it adjusts."""
    part = chip.part
    label = shortened(encoded.label)
    details = [
        "Negative" if part.weight < 0 else "",
        f"× {abs(part.weight):g}" if abs(part.weight) != 1 else "",
        "Cropped" if part.crop else "",
        "In the collection" if encoded.member else "",
    ]
    with st.container(border=True, gap="small", key=f"chip-{chip.number}"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            if encoded.thumbnail is not None:
                role = "Query picture" if part.weight > 0 else "Negative query picture"
                st.image(encoded.thumbnail, width=CHIP_WIDTH, alt=f"{role} {escaped(label)}")
            with st.container(gap=None, width="stretch"):
                icon = ":material/format_quote: " if part.kind == "words" else ""
                st.markdown(icon + escaped(label))
                if any(details):
                    st.caption(" · ".join(filter(None, details)))
        with st.container(horizontal=True, gap="small"):
            _adjust_button(chip, f"Adjust {escaped(shortened(label, 24))}" if named else "Adjust")
            _remove_button(chip, label)
        if _is_open(chip):
            _show_adjustments(chip, encoded)


def _adjust_button(chip: Chip, text: str) -> None:
    is_open = _is_open(chip)
    st.button(
        "Done" if is_open else text,
        icon=":material/check:" if is_open else ":material/tune:",
        key=f"adjust-{chip.number}",
        on_click=_open,
        args=(None if is_open else chip.number,),
        type="tertiary",
        help="Change the weight, or crop the picture.",
    )


def _remove_button(chip: Chip, label: str) -> None:
    st.button(
        "Remove",
        icon=":material/close:",
        key=f"drop-{chip.number}",
        on_click=remove_part,
        args=(chip.number,),
        type="tertiary",
        help=f"Remove {escaped(label)} from the query.",
    )


def _show_adjustments(chip: Chip, encoded: EncodedPart) -> None:
    weight = chip.part.weight
    st.slider(
        "Weight (below 0: negative)",
        min(-MAX_EASY_WEIGHT, weight),
        max(MAX_EASY_WEIGHT, weight),
        value=weight,
        step=0.25,
        key=f"weight-{chip.number}",
        on_change=_weigh,
        args=(chip.number,),
    )
    if encoded.thumbnail is not None:
        box = crop(encoded.thumbnail, box=chip.part.crop, key=f"crop-{chip.number}", alt=f"The picture {encoded.label}")
        if box != chip.part.crop:
            replace_part(chip.number, chip.part.model_copy(update={"crop": box}))
            st.rerun()


def _show_broken(chip: Chip, error: LookalikeError) -> None:
    with st.container(border=True, gap="small"):
        st.markdown(f":material/broken_image: {escaped(str(error))}")
        _remove_button(chip, "this part")


def _is_open(chip: Chip) -> bool:
    return bool(st.session_state.get("adjusting") == chip.number)


def _open(number: int | None) -> None:
    st.session_state["adjusting"] = number


def _weigh(number: int) -> None:
    weight = float(st.session_state[f"weight-{number}"])
    for chip in chips():
        if chip.number == number and weight:
            replace_part(number, chip.part.model_copy(update={"weight": weight}))
