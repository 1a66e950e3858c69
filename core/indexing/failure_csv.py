"""The failed items of an import as CSV."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from core.collection.spreadsheets import to_csv
from core.indexing.imports import Failure


def as_csv(failures: Iterable[Failure]) -> bytes:
    """One row per failed item: its URL and what happened, see `core.collection.spreadsheets.to_csv`."""
    rows = [(failure.url, failure.reason) for failure in failures]
    return to_csv(pd.DataFrame(rows, columns=["URL", "what happened"]))
