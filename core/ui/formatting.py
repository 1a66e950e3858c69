"""Numbers and times as people say them."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """A count and its noun: "1 picture", "1,204 pictures"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """A time in the largest unit that fits: "40 s", "3 min", "2.5 h"."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def megabytes(count: int) -> str:
    """A number of bytes in MB."""
    return f"{count / 1e6:,.0f} MB"


def size(count: int) -> str:
    """A number of bytes in the unit that fits: "640 bytes", "48 kB", "2.4 MB"."""
    if count < 1_000:
        return counted(count, "byte")
    return f"{count / 1e3:,.0f} kB" if count < 1_000_000 else f"{count / 1e6:,.1f} MB"


def plain(text: str) -> str:
    """Text that Markdown shows as it stands."""
    return "".join(f"\\{character}" if character in r"\`*_{}[]()<>#+-.!|~:$" else character for character in text)


def shortened(text: str, most: int = 90) -> str:
    """Text of at most `most` characters, its middle left out."""
    half = (most - 1) // 2
    return text if len(text) <= most else f"{text[:half]}…{text[-half:]}"
