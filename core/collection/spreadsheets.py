"""CSV that spreadsheets open correctly, with no cell read as a formula."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd
from pandas.api.types import is_numeric_dtype

_FORMULA = "[=+@\\t\\r\\n＝＋－＠-]"
_FORMULA_LIKE = re.compile(f"'*{_FORMULA}")
_MADE_SAFE = re.compile(f"''*{_FORMULA}")


def formula_safe(text: str) -> str:
    """A cell that no spreadsheet reads as a formula (OWASP, "CSV Injection"); `without_apostrophe` reverses it."""
    return f"'{text}" if _FORMULA_LIKE.match(text) else text


def without_apostrophe(cell: str) -> str:
    """The text that `formula_safe` was given."""
    return cell[1:] if _MADE_SAFE.match(cell) else cell


def to_csv(table: pd.DataFrame, decimals: Mapping[str, int] | None = None, *, begins: bool = True) -> bytes:
    """A table in the CSV format of all our downloads, safe to open in a spreadsheet.

    Numeric columns stay numbers, those in `decimals` with that many places; the cells of all others are text. The
    encoding is UTF-8. With `begins`, the header comes first, after a byte order mark, without which Excel assumes a
    legacy code page.
    """
    cells = {column: _cells(values, (decimals or {}).get(str(column))) for column, values in table.items()}
    text = pd.DataFrame(cells, dtype=object).to_csv(index=False, header=begins, lineterminator="\r\n")
    return (("\ufeff" if begins else "") + text).encode(errors="replace")


def _cells(values: pd.Series[Any], decimals: int | None) -> list[object]:
    if decimals is not None:
        return [f"{value:.{decimals}f}" for value in values]
    return list(values) if is_numeric_dtype(values) else [formula_safe(str(value)) for value in values]
