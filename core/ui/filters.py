"""The filters of a search and of the collection page. The choices are kept in the page's URL."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.collection.filters import Filter
from core.ui.app_status import engine
from core.ui.formatting import escaped, short_date

ANY = "Any"
MEGAPIXEL = 1_000_000

NO_FILTERS: dict[str, Any] = {
    "tag": [],
    "untagged": False,
    **dict.fromkeys(("import", "domain", "field", "value"), ANY),
    **dict.fromkeys(("since", "until", "min_side", "max_side", "min_mp", "max_mp")),
}
"""What each choice holds while nothing is filtered."""


def filters() -> Filter:
    """Draw the filters of both pages, and return what was chosen. Raises DatabaseError."""
    facets = engine().nearest.facets()
    names = {str(entry.id): _import_label(entry.id, entry.name) for entry in facets.imports}
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
    since = left.date_input("Indexed from", value=None, key="since", bind="query-params")
    until = right.date_input("Indexed to", value=None, key="until", bind="query-params")
    min_side = _number(left, "Shorter side from", "min_side", 1)
    max_side = _number(right, "Shorter side to", "max_side", 1)
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


def import_parameter(id: int, name: str) -> dict[str, str]:
    """The query parameter of a link to the pictures of an import."""
    return {"import": _import_label(id, name)}


def _import_label(id: int, name: str) -> str:
    """What the menu shows, and the URL holds: with a count in it, a saved link would fail after the next picture."""
    return f"{id} · {name}"


def browsing_filters() -> Filter:
    """Draw the same filters, and one that helps to tidy the collection up. Raises DatabaseError."""
    untagged = st.checkbox("Only untagged pictures", key="untagged", bind="query-params")
    return replace(filters(), untagged=untagged)


def clear_filters() -> None:
    """Reset all filters."""
    st.session_state.update(NO_FILTERS)


def filter_summary(where: Filter) -> list[str]:
    """The conditions of a filter, in a few words each. Raises DatabaseError."""
    names = {entry.id: entry.name for entry in engine().nearest.facets().imports}
    return [
        *(f"tagged {tag}" for tag in where.tags),
        *(["untagged"] if where.untagged else []),
        *([f"from the import {names.get(where.import_id, where.import_id)}"] if where.import_id is not None else []),
        *([f"from {where.domain}"] if where.domain else []),
        *([f"indexed from {short_date(where.since)}"] if where.since else []),
        *([f"indexed to {short_date(where.until)}"] if where.until else []),
        *([f"shorter side from {where.min_side:,} pixels"] if where.min_side else []),
        *([f"shorter side to {where.max_side:,} pixels"] if where.max_side else []),
        *([f"at least {where.min_area / MEGAPIXEL:g} megapixels"] if where.min_area else []),
        *([f"at most {where.max_area / MEGAPIXEL:g} megapixels"] if where.max_area else []),
        *(f"{name}: {value}" for name, value in where.fields),
    ]


def _number(column: DeltaGenerator, label: str, key: str, step: float) -> Any:
    low = 0 if isinstance(step, int) else 0.0
    unit = "pixels" if isinstance(step, int) else ""
    return column.number_input(
        label, min_value=low, value=None, step=step, key=key, bind="query-params", placeholder=unit
    )


def _field(names: list[str], left: DeltaGenerator, right: DeltaGenerator) -> tuple[str, str] | None:
    """A field and its value, where the imported lists brought any."""
    if not names:
        return None
    name = left.selectbox("Field", [ANY, *names], key="field", bind="query-params")
    if name in (None, ANY):
        return None
    values = [entry.name for entry in engine().nearest.values(name)]
    value = right.selectbox(
        escaped(name),
        [ANY, *values],
        key="value",
        accept_new_options=True,
        bind="query-params",
    )
    return None if value in (None, ANY) else (name, value)
