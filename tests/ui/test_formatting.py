"""How numbers, dates and names are written on the pages."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from core.ui import formatting


def test_dates_are_written_alike_with_and_without_a_time() -> None:
    assert formatting.short_date(date(2026, 1, 31)) == "31 Jan 2026"
    noon = datetime(2026, 1, 3, 12, 5, 9).astimezone(UTC)
    assert formatting.short_date(noon) == "3 Jan 2026"
    assert formatting.date_and_time(noon) == "3 Jan 2026, 12:05"
    assert formatting.clock_time(noon) == "12:05:09"


@pytest.mark.parametrize(
    ("share", "whole", "exact"),
    [(0.5, "50\u202f%", "50\u202f%"), (0.812, "81\u202f%", "81.2\u202f%"), (1.0, "100\u202f%", "100\u202f%")],
)
def test_shares_are_percents(share: float, whole: str, exact: str) -> None:
    assert formatting.percent(share) == whole
    assert formatting.exact_percent(share) == exact


def test_a_similarity_below_zero_is_shown_as_zero() -> None:
    assert formatting.percent(-0.2) == "0\u202f%"


@pytest.mark.parametrize(
    ("count", "text"), [(1, "1 byte"), (999, "999 bytes"), (48_000, "48 kB"), (2_400_000, "2.4 MB")]
)
def test_file_sizes_take_the_unit_that_fits(count: int, text: str) -> None:
    assert formatting.file_size(count) == text


@pytest.mark.parametrize(("mime", "name"), [("image/jpeg", "JPEG"), ("image/webp", "WebP"), ("image/avif", "AVIF")])
def test_file_types_have_their_usual_spelling(mime: str, name: str) -> None:
    assert formatting.file_type(mime) == name


def test_markdown_in_a_name_is_shown_and_not_drawn() -> None:
    assert formatting.escaped("![x](http://a.example/i.png)") == r"\!\[x\]\(http\:\/\/a\.example\/i\.png\)".replace(
        r"\/", "/"
    )
