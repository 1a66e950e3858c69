"""What a search keeps to: tags, an import, a domain, dates. The choices live in the address."""

from __future__ import annotations

from datetime import date

import streamlit as st

from core.facets import Filter
from core.ui.house import engine

ANY = "Any"


def filters() -> Filter:
    """Draw the choices, and return them. Raises DatabaseError."""
    facets = engine().nearest.facets()
    names = {str(entry.id): f"{entry.name} · {entry.count:,}" for entry in facets.imports}
    tags = st.multiselect(
        "Tags",
        [entry.name for entry in facets.tags],
        key="tag",
        placeholder="Any",
        accept_new_options=True,  # else a link could not name a tag that is rare
        bind="query-params",
    )
    import_id = st.selectbox(
        "Import",
        [ANY, *names],
        key="import",
        format_func=lambda value: names.get(value, value),
        bind="query-params",
    )
    domain = st.selectbox(
        "Site",
        [ANY, *(entry.name for entry in facets.domains)],
        key="domain",
        accept_new_options=True,
        bind="query-params",
    )
    since = st.date_input("Indexed since", value=None, key="since", bind="query-params")
    until = st.date_input("Indexed until", value=None, key="until", bind="query-params")
    return Filter(
        tags=tuple(tags),
        import_id=int(import_id) if import_id and import_id.isdecimal() else None,
        domain="" if domain in (None, ANY) else domain,
        since=since if isinstance(since, date) else None,
        until=until if isinstance(until, date) else None,
    )
