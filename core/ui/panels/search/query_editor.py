"""One part of the query, large: its crop, and how it counts."""

from __future__ import annotations

import streamlit as st

from core.search.query_vector import EncodedPart
from core.signed_urls import original_path
from core.ui.app_status import engine
from core.ui.components.crop import crop
from core.ui.formatting import escaped
from core.ui.panels.search.query import Chip, chips, remove_part, replace_part
from core.ui.panels.search.query_tiles import ShownQuery

LEAST_WEIGHT, MAX_EASY_WEIGHT = 0.25, 2.0
"""The ends of the weight slider, and its step; a link may have others."""

LOOK_FOR, EXCLUDE = "Look for it", "Exclude it"


def edit_if_asked(shown: ShownQuery) -> None:
    """Open the part that was clicked on the strip, until its dialog is closed."""
    number = st.session_state.get("editing")
    chip = next((chip for chip in chips() if chip.number == number), None)
    if chip is None or chip.number not in shown.encoded:
        st.session_state.pop("editing", None)
        return
    _edit(chip, shown.encoded[chip.number])


def _close() -> None:
    st.session_state.pop("editing", None)


@st.dialog("Edit the query", width="large", on_dismiss=_close)
def _edit(chip: Chip, encoded: EncodedPart) -> None:
    part = chip.part
    picture, controls = st.columns([3.2, 1], gap="large") if encoded.thumbnail else (None, st.container())
    if encoded.thumbnail and picture:
        id = part.picture or part.upload
        with picture:
            box = crop(
                encoded.thumbnail,
                box=part.crop,
                key=f"crop-{chip.number}",
                alt=f"The picture {encoded.label}",
                original=original_path(engine().settings, id) if id else "",
            )
        if box != part.crop:
            replace_part(chip.number, part.model_copy(update={"crop": box}))
            st.rerun()
    with controls:
        st.markdown(f"**{escaped(encoded.label)}**")
        if encoded.member:
            st.caption("In the collection")
        side = st.segmented_control(
            "How it counts",
            [LOOK_FOR, EXCLUDE],
            default=LOOK_FOR if part.weight > 0 else EXCLUDE,
            required=True,
            key=f"side-{chip.number}",
            help=f"**{EXCLUDE}**: pictures like it rank lower.",
        )
        size = st.slider(
            "Weight",
            min(LEAST_WEIGHT, abs(part.weight)),
            max(MAX_EASY_WEIGHT, abs(part.weight)),
            value=abs(part.weight),
            step=LEAST_WEIGHT,
            key=f"weight-{chip.number}",
            help="How much it counts beside the other parts.",
        )
        weight = size if side == LOOK_FOR else -size
        if weight != part.weight:
            replace_part(chip.number, part.model_copy(update={"weight": weight}))
            st.rerun()
        if st.button("Done", type="primary", key="edited", width="stretch"):
            _close()
            st.rerun()
        if st.button("Remove from the query", icon=":material/close:", key="remove-part", width="stretch"):
            remove_part(chip.number)
            st.rerun()
