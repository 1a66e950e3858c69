"""JSON and JSON Lines: a list of objects is a table, and any other document is searched for one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from core.indexing.readers.table import MAX_COLUMNS, Sheet

MAX_VALUES = 5_000_000
"""Brackets and commas in JSON that is read: each value takes some 60 to 100 bytes of memory."""

MAX_DEPTH = 100
"""Objects within objects that are looked into."""

_VALUES = re.compile(r"[\[{,]")


def is_json(text: str) -> bool:
    """Whether a text begins like JSON that can hold several values."""
    return text.lstrip("\ufeff \t\r\n")[:1] in ("{", "[")


def parse(text: str) -> Any:
    """The value of a JSON text, or a list of those of its lines; None for what is neither, or holds too much."""
    if sum(1 for _ in _VALUES.finditer(text)) > MAX_VALUES:
        return None
    text = text.lstrip("\ufeff")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    values = list[Any]()
    for line in text.split("\n"):
        if line.strip():
            try:
                values.append(json.loads(line))
            except (ValueError, RecursionError):
                return None
    return values or None


def read_json(document: Any) -> Sheet:
    """One row per item of the list that a parsed document is, or of the longest list of objects in it.

    The columns are the keys, joined by dots for nested objects; lists of text are one item per line. Anything outside
    that list becomes a row of its own, so that none of its URLs is lost.
    """
    items = document if isinstance(document, list) else _longest(document) or [document]
    rows = [dict(_cells(item, "")) for item in items]
    if isinstance(document, dict) and items != [document]:
        rest = dict(_cells(document, "", besides=items))
        rows += [rest] if any("://" in value for value in rest.values()) else []
    columns = list(dict.fromkeys(key for row in rows for key in row))
    kept, extra = columns[: MAX_COLUMNS - 1], columns[MAX_COLUMNS - 1 :]
    names, cells = [*kept, *extra[:1]], [[row.get(key, "") for key in kept] for row in rows]
    if extra:
        for row, texts in zip(rows, cells, strict=True):
            texts.append("\n".join(row[key] for key in extra if key in row))
    return Sheet(range(1, len(cells) + 1), cells, header=[name or "Value" for name in names])


def _longest(document: Any, depth: int = 0) -> list[Any]:
    """The longest list of objects, or else of text, in a document."""
    best = list[Any]()
    values = document.values() if isinstance(document, dict) else document if isinstance(document, list) else ()
    if depth < MAX_DEPTH:
        for value in values:
            found = _longest(value, depth + 1)
            best = max(best, found, key=len)
    if isinstance(document, list) and document and all(isinstance(item, dict) for item in document):
        best = document if len(document) >= len(best) else best
    return best


def _cells(value: Any, name: str, besides: Any = None, depth: int = 0) -> Iterator[tuple[str, str]]:
    if value is besides and besides is not None:
        return
    if isinstance(value, dict) and depth < MAX_DEPTH:
        found = dict[str, str]()
        for key, inner in value.items():
            for path, text in _cells(inner, f"{name}.{key}" if name else str(key), besides, depth + 1):
                found[path] = f"{found[path]}\n{text}" if path in found else text
        yield from found.items()
    elif isinstance(value, list) and depth < MAX_DEPTH:
        texts = dict[str, list[str]]()
        for inner in value:
            for path, text in _cells(inner, name, besides, depth + 1):
                texts.setdefault(path, []).append(text)
        yield from ((path, "\n".join(many)) for path, many in texts.items())
    elif value is not None and value != "":
        yield name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
