"""What the comparing table shows beside a match, what it tells of it, and what it does to it."""

from __future__ import annotations

from base64 import b64encode
from uuid import UUID

import streamlit as st

from core.collection.picture_details import read_details
from core.embedding.heat_map import HeatMap
from core.errors import LookalikeError, NotFoundError
from core.search.matches import Matches
from core.search.query_vector import EncodedPart, Query
from core.signed_urls import link, original_path, thumbnail_path
from core.ui.app_status import engine
from core.ui.bulk_edit import Selection, add_tag, remove_pictures, remove_tag, restore_pictures
from core.ui.components.comparing_table import Edit, Facts, Heat, Outlines, QuerySide, Warmth
from core.ui.formatting import date_and_time, file_size, file_type, pixels, short_date
from core.verification.proof import Proof


def query_sides(query: Query) -> list[QuerySide]:
    """The parts that are searched for, not those that are excluded."""
    return [_side(encoded) for encoded in query.encoded_parts if encoded.part.weight > 0]


def outlines(proof: Proof | None) -> Outlines | None:
    """How a query, which comes first in the proof, and a match lie in each other."""
    if proof is None:
        return None
    return {"match_in_query": proof.second_in_first, "query_in_match": proof.first_in_second}


def read_facts(id: str) -> Facts | None:
    """What is known of a picture; None when it has been deleted. Raises DatabaseError."""
    app = engine()
    try:
        details = read_details(app.database, UUID(id))
    except NotFoundError:
        return None
    imports = ", ".join(f"{origin.name} ({short_date(origin.created_at)})" for origin in details.origins)
    return {
        "id": id,
        "rows": [
            ("Size", f"{pixels(details.width, details.height)} pixels"),
            ("File", f"{file_size(details.bytes)}, {file_type(details.mime)}"),
            ("Indexed", date_and_time(details.indexed_at)),
            ("Imports", imports or "Deleted"),
            *details.fields.items(),
        ],
        "links": [(url if url.startswith("http") else "Stored file", link(app.settings, url)) for url in details.urls],
        "tags": details.tags,
        "known_tags": [name for name, _ in app.curation.tags()],
    }


def read_warmth(matches: Matches, id: str) -> Warmth:
    """Where the model sees what makes a match like the query; it is kept while that match is looked at."""
    state = st.session_state
    known: Warmth | None
    asked, known = state.get("warmth", (None, None))
    if known is None or asked != (matches.query.parts, id):
        known = _warmth(matches.query, id)
        state["warmth"] = (matches.query.parts, id), known
    return known


def _warmth(query: Query, id: str) -> Warmth:
    try:
        found = engine().likeness(query, UUID(id))
    except LookalikeError as error:
        return {"id": id, "query": None, "match": None, "problem": str(error)}
    return {"id": id, "query": _heat(found.query) if found.query else None, "match": _heat(found.match), "problem": ""}


def _heat(found: HeatMap) -> Heat:
    """A heat map between nothing and its warmest patch."""
    most = max(float(found.shares.max()), 1e-9)
    return {"rows": (found.shares / most).clip(0, 1).round(3).tolist(), "box": found.box}


def edit_match(id: str, edit: Edit, tag: str) -> None:
    """Do to a picture what was asked for on the table, with an undo on the page."""
    selection = Selection([UUID(id)], 1)
    match edit:
        case "remove":
            remove_pictures(selection)
        case "restore":
            restore_pictures(selection)
        case "tag":
            add_tag(selection, tag)
        case "untag":
            remove_tag(selection, tag)


def _side(encoded: EncodedPart) -> QuerySide:
    part, settings = encoded.part, engine().settings
    id = part.picture or part.upload
    src = f"data:image/jpeg;base64,{b64encode(encoded.detail).decode()}" if encoded.detail else ""
    if part.picture and not part.crop:
        src = thumbnail_path(settings, part.picture)
    original = original_path(settings, id) if id else ""
    return {"label": encoded.label, "src": src, "original": original, "crop": part.crop}
