"""What a search or the collection page keeps to. The choices live in the address."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.collection.filters import Filter
from core.ui.app_status import engine
from core.ui.formatting import plain

ANY = "Any"
MEGAPIXEL = 1_000_000

NOTHING: dict[str, Any] = {
    "tag": [],
    "untagged": False,
    **dict.fromkeys(("import", "domain", "field", "value"), ANY),
    **dict.fromkeys(("since", "until", "min_side", "max_side", "min_mp", "max_mp")),
}
"""What each choice holds while it keeps to nothing."""


def filters() -> Filter:
    """Draw the choices of both pages, and return them. Raises DatabaseError."""
    facets = engine().nearest.facets()
    # The address holds what the menu shows: a count in it would end the link with the next picture.
    names = {str(entry.id): f"{entry.id} · {entry.name}" for entry in facets.imports}
    tags = st.multiselect(
        "Tags",
        [entry.name for entry in facets.tags],
        key="tag",
        placeholder="Any",
        accept_new_options=True,  # else a link could not name a tag that is rare
        bind="query-params",
    )
    left, right = st.columns(2)
    import_id = left.selectbox(
        "Import",
        [ANY, *names],
        key="import",
        format_func=lambda value: names.get(value, value),
        bind="query-params",
    )
    domain = right.selectbox(
        "Site",
        [ANY, *(entry.name for entry in facets.domains)],
        key="domain",
        accept_new_options=True,
        bind="query-params",
    )
    since = left.date_input("Indexed since", value=None, key="since", bind="query-params")
    until = right.date_input("Indexed until", value=None, key="until", bind="query-params")
    min_side = _number(left, "Short side from", "min_side", 1)
    max_side = _number(right, "Short side to", "max_side", 1)
    min_area = _number(left, "Megapixels from", "min_mp", 0.1)
    max_area = _number(right, "Megapixels to", "max_mp", 0.1)
    field = _field([entry.name for entry in facets.fields], left, right)
    return Filter(
        tags=tuple(tags),
        import_id=int(import_id) if import_id and import_id.isdecimal() else None,
        domain="" if domain in (None, ANY) else domain,
        since=since if isinstance(since, date) else None,
        until=until if isinstance(until, date) else None,
        min_side=min_side,
        max_side=max_side,
        min_area=None if min_area is None else round(min_area * MEGAPIXEL),
        max_area=None if max_area is None else round(max_area * MEGAPIXEL),
        fields=(field,) if field else (),
    )


def browsing_filters() -> Filter:
    """The same, and what only those ask who put the collection in order."""
    untagged = st.checkbox("Only pictures without a tag", key="untagged", bind="query-params")
    return replace(filters(), untagged=untagged)


def clear_filters() -> None:
    """Keep to nothing any more."""
    st.session_state.update(NOTHING)


def described(where: Filter) -> list[str]:
    """What a filter keeps to, in a few words each."""
    names = {entry.id: entry.name for entry in engine().nearest.facets().imports}
    return [
        *(f"tagged {tag}" for tag in where.tags),
        *(["without a tag"] if where.untagged else []),
        *([f"of the import {names.get(where.import_id, where.import_id)}"] if where.import_id is not None else []),
        *([f"on {where.domain}"] if where.domain else []),
        *([f"since {where.since:%d.%m.%Y}"] if where.since else []),
        *([f"until {where.until:%d.%m.%Y}"] if where.until else []),
        *([f"short side from {where.min_side:,}"] if where.min_side else []),
        *([f"short side to {where.max_side:,}"] if where.max_side else []),
        *([f"from {where.min_area / MEGAPIXEL:g} megapixels"] if where.min_area else []),
        *([f"to {where.max_area / MEGAPIXEL:g} megapixels"] if where.max_area else []),
        *(f"{name}: {value}" for name, value in where.fields),
    ]


def _number(column: DeltaGenerator, label: str, key: str, step: float) -> Any:
    low = 0 if isinstance(step, int) else 0.0
    unit = "pixels" if isinstance(step, int) else ""
    return column.number_input(
        label, min_value=low, value=None, step=step, key=key, bind="query-params", placeholder=unit
    )


def _field(names: list[str], left: DeltaGenerator, right: DeltaGenerator) -> tuple[str, str] | None:
    """A field and its value, where the lists of the collection brought any."""
    if not names:
        return None
    name = left.selectbox("Field", [ANY, *names], key="field", bind="query-params")
    if name in (None, ANY):
        return None
    values = [entry.name for entry in engine().nearest.values(name)]
    value = right.selectbox(
        plain(name),
        [ANY, *values],
        key="value",
        accept_new_options=True,
        bind="query-params",
    )
    return None if value in (None, ANY) else (name, value)
