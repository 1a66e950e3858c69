"""Counts, shares, sizes, dates and durations as every page shows them."""

from __future__ import annotations

from datetime import date, datetime

from core.search.score import percent as percent


def counted(count: int, noun: str) -> str:
    """A count and its noun: "1 picture", "1,204 pictures"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def exact_percent(share: float) -> str:
    """A share (0 to 1) in percent, with the decimals that it has: "95 %", "81.2 %"."""
    return f"{share * 100:g}\u202f%"


def short_date(day: date) -> str:
    """A date: "31 Jan 2026". That of a moment with a time zone is the one on this server's clock."""
    local = day.astimezone() if isinstance(day, datetime) else day
    return f"{local.day} {local:%b %Y}"


def date_and_time(moment: datetime) -> str:
    """A moment on this server's clock: "31 Jan 2026, 14:05"."""
    return f"{short_date(moment)}, {moment.astimezone():%H:%M}"


def clock_time(moment: datetime) -> str:
    """The time of a moment on this server's clock, to the second: "14:05:09"."""
    return f"{moment.astimezone():%H:%M:%S}"


def duration(seconds: float) -> str:
    """A time in the largest unit that fits: "40 s", "3 min", "2.5 h"."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def pixels(width: int, height: int) -> str:
    """The size of a picture in pixels: "1,024 × 768"."""
    return f"{width:,} × {height:,}"


def file_size(count: int) -> str:
    """A number of bytes in the unit that fits: "640 bytes", "48 kB", "2.4 MB"."""
    if count < 1_000:
        return counted(count, "byte")
    return f"{count / 1e3:,.0f} kB" if count < 1_000_000 else f"{count / 1e6:,.1f} MB"


def megabytes(count: int) -> str:
    """A number of bytes in whole MB, for progress that should not jump between units."""
    return f"{count / 1e6:,.0f} MB"


FILE_TYPES = {"image/webp": "WebP"}


def file_type(mime: str) -> str:
    """The file type of a picture by its media type: "JPEG", "WebP"."""
    return FILE_TYPES.get(mime, mime.removeprefix("image/").upper())


def escaped(text: str) -> str:
    """Text that Markdown shows as it stands."""
    return "".join(f"\\{character}" if character in r"\`*_{}[]()<>#+-.!|~:$" else character for character in text)


def shortened(text: str, most: int = 90) -> str:
    """Text of at most `most` characters, its middle left out."""
    half = (most - 1) // 2
    return text if len(text) <= most else f"{text[:half]}…{text[-half:]}"
