"""The comparing table: a query beside a match, full screen, opened in the browser: `comparing_table.html`, `.css` and
`.js`. It is a part of the galleries' components and none of its own."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from core.verification.proof import Outline


class QuerySide(TypedDict):
    """What matches are compared with: a picture, or words."""

    label: str
    src: str  # URL of the thumbnail, or a data: URL of the part searched with; "" for words
    original: str  # URL of the picture in full, or ""
    crop: tuple[float, float, float, float] | None  # the part searched with: left, top, right and bottom, 0 to 1


class Outlines(TypedDict):
    """How two pictures that are the same one lie in each other."""

    match_in_query: Outline
    query_in_match: Outline


class Facts(TypedDict):
    """What is known of a picture, as the panel shows it."""

    id: str
    rows: list[tuple[str, str]]  # names and values
    links: list[tuple[str, str]]  # texts and http or https URLs, or paths on this server
    tags: list[str]
    known_tags: list[str]  # those of the collection, to choose from


class Heat(TypedDict):
    """Where a model sees a likeness in a picture."""

    rows: list[list[float]]  # of each patch, 0 to 1: 1 is the patch that adds most
    box: tuple[float, float, float, float]  # what the patches cover: left, top, right and bottom, 0 to 1 or beyond


class Warmth(TypedDict):
    """Why a match is like the query: `query` is None if that has no picture. Or the sentence that says why not."""

    id: str
    query: Heat | None
    match: Heat | None
    problem: str


Edit = Literal["remove", "restore", "tag", "untag"]
"""What the table does to a picture; for the last two an event has the tag behind a colon."""


class TableData(TypedDict):
    """What a gallery hands to its table."""

    queries: list[QuerySide]
    facts: NotRequired[Facts | None]
    warmth: NotRequired[Warmth | None]
