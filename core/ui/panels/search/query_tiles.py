"""The query that the page's parts make, and these parts as tiles."""

from __future__ import annotations

import io
from base64 import b64encode
from dataclasses import dataclass, field
from functools import lru_cache

import streamlit as st
from PIL import Image
from streamlit.delta_generator import DeltaGenerator

from core.errors import LookalikeError
from core.search.query_vector import EncodedPart, Query, combined
from core.signed_urls import thumbnail_path
from core.ui.app_status import engine
from core.ui.components.query_strip import QueryTile, TileEvent
from core.ui.formatting import escaped, shortened
from core.ui.panels.search.query import ADD, NEW, Chip, chips, remove_part

TILE_SIDE = 144
"""Pixels of a tile's picture: three for each of the 48 on screen."""


@dataclass(frozen=True)
class ShownQuery:
    """The parts of the query as tiles, each with what the model made of it, and the query; without one, `lacking` says
    why."""

    tiles: list[QueryTile] = field(default_factory=list)
    encoded: dict[int, EncodedPart] = field(default_factory=dict)
    query: Query | None = None
    lacking: str = ""


def read_query(above: DeltaGenerator) -> ShownQuery:
    """The query in the page's URL. What is wrong with a part is said `above`. Raises DatabaseError."""
    entries = chips()
    if not entries:
        return ShownQuery()
    if not engine().can_search:
        tiles = [_unread(chip, "the query") for chip in entries]
        return ShownQuery(tiles, lacking="The search starts once the model is loaded.")
    serving = engine().serving()
    shown = ShownQuery()
    for chip in entries:
        try:
            encoded = engine().query_encoder.encode_part(serving, chip.part)
        except LookalikeError as error:
            above.error(escaped(str(error)), icon=":material/broken_image:")
            shown.tiles.append({**_unread(chip, "this part"), "problem": str(error)})
            continue
        shown.encoded[chip.number] = encoded
        shown.tiles.append(_tile(chip, encoded))
    if not shown.encoded:
        return ShownQuery(shown.tiles, lacking="Remove what cannot be searched for, or add a picture.")
    try:
        query = combined(serving.model, list(shown.encoded.values()))
    except LookalikeError as error:
        return ShownQuery(shown.tiles, shown.encoded, lacking=str(error))
    return ShownQuery(shown.tiles, shown.encoded, query)


def act_on_tile(number: int, event: TileEvent) -> None:
    """Do what was asked for on the strip; what is given while the panel for more is open is added."""
    match event:
        case "edit":
            st.session_state["editing"] = number
        case "remove":
            remove_part(number)
        case "add" | "added":
            st.session_state["mode"] = ADD if event == "add" else NEW


def described(chip: Chip) -> list[str]:
    """What is special about a part, in a word each."""
    part = chip.part
    return [
        *(["excluded"] if part.weight < 0 else []),
        *([f"weight {abs(part.weight):g}"] if abs(part.weight) != 1 else []),
        *(["cropped"] if part.crop else []),
    ]


def _tile(chip: Chip, encoded: EncodedPart) -> QueryTile:
    part = chip.part
    src = ""
    if part.picture and not part.crop:
        src = thumbnail_path(engine().settings, part.picture)
    elif encoded.detail:
        src = f"data:image/jpeg;base64,{_reduced(encoded.detail)}"
    return {
        "number": chip.number,
        "label": shortened(encoded.label),
        "src": src,
        "note": ", ".join(described(chip)),
        "negative": part.weight < 0,
        "problem": "",
    }


def _unread(chip: Chip, label: str) -> QueryTile:
    return {
        "number": chip.number,
        "label": label,
        "src": "",
        "note": "",
        "negative": chip.part.weight < 0,
        "problem": "Not read yet",
    }


@lru_cache(maxsize=64)
def _reduced(detail: bytes) -> str:
    """A JPEG that fills a tile, in base64."""
    with Image.open(io.BytesIO(detail)) as image:
        image.thumbnail((TILE_SIDE * 2, TILE_SIDE * 2))
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=80)
    return b64encode(buffer.getvalue()).decode()
