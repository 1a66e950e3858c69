"""Tables as spreadsheets open them: CSV in which no cell is taken for a formula."""

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
    """A cell that no spreadsheet takes for a formula (OWASP, "CSV Injection"); `without_apostrophe` takes it back."""
    return f"'{text}" if _FORMULA_LIKE.match(text) else text


def without_apostrophe(cell: str) -> str:
    """What `formula_safe` made a cell of."""
    return cell[1:] if _MADE_SAFE.match(cell) else cell


def to_csv(table: pd.DataFrame, decimals: Mapping[str, int] | None = None, *, begins: bool = True) -> bytes:
    """A table as every CSV of ours is written: what a spreadsheet opens as it is, and takes no text in for a formula.

    Columns of numbers stay numbers, those in `decimals` with so many places; of all others each cell is a text. It
    is in UTF-8 and `begins` with the names of the columns after a byte order mark, without which Excel takes it for
    a legacy code page.
    """
    cells = {column: _cells(values, (decimals or {}).get(str(column))) for column, values in table.items()}
    text = pd.DataFrame(cells, dtype=object).to_csv(index=False, header=begins, lineterminator="\r\n")
    return (("\ufeff" if begins else "") + text).encode(errors="replace")


def _cells(values: pd.Series[Any], decimals: int | None) -> list[object]:
    if decimals is not None:
        return [f"{value:.{decimals}f}" for value in values]
    return list(values) if is_numeric_dtype(values) else [formula_safe(str(value)) for value in values]
