"""The parts of a query, as the page, links and the HTTP API write them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from core.errors import PictureError, QueryError
from core.media.crop import CropBox, checked_box

MAX_PARTS = 10
"""Parts of one query: in the mean of more, each counts for little."""

MAX_WORDS = 1000
"""Characters of one part's words; CLIP reads only the first 77 tokens, some 300 characters of English."""

MAX_WEIGHT = 5.0
"""Beside a part of this weight, one of weight 1 hardly counts."""

SOURCES = ("picture", "upload", "url", "words", "file")


def _box(value: CropBox) -> CropBox:
    try:
        return checked_box(value)
    except PictureError as error:
        raise ValueError(str(error)) from None


class Part(BaseModel):
    """One part of a query and its weight. Exactly one of the five sources is given.

    `picture` is the id of a picture of the collection, `upload` the id of a picture kept from an earlier search
    (`core.search.query_images`), `url` a picture's URL, `words` what pictures should show, and `file` the index
    (from 0) of a file in the same HTTP call. A part with a `weight` below 0 is negative: matches are unlike it.
    `crop` is the part of the picture to search with, as fractions (left, top, right, bottom) of its upright sides.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    picture: UUID | None = None
    upload: UUID | None = None
    url: str | None = None
    words: str | None = None
    file: int | None = Field(default=None, ge=0, lt=MAX_PARTS)
    weight: float = Field(default=1.0, ge=-MAX_WEIGHT, le=MAX_WEIGHT, allow_inf_nan=False)
    crop: Annotated[CropBox, AfterValidator(_box)] | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Part:
        given = [name for name in SOURCES if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"each part needs exactly one of {', '.join(SOURCES)}")
        if self.weight == 0:
            raise ValueError("a part with weight 0 has no effect: leave it out")
        if self.words is not None:
            if not self.words.strip():
                raise ValueError("there are no words to search for: type some")
            if len(self.words) > MAX_WORDS:
                raise ValueError(f"words may have {MAX_WORDS:,} characters, and these have {len(self.words):,}")
            if self.crop:
                raise ValueError("words cannot be cropped")
        return self

    @property
    def kind(self) -> Literal["picture", "words"]:
        """What the part is to the model."""
        return "picture" if self.words is None else "words"


def checked_parts(parts: Iterable[Part]) -> tuple[Part, ...]:
    """The parts, if they form a query. Raises QueryError."""
    parts = tuple(parts)
    _check_count(len(parts))
    if not any(part.weight > 0 for part in parts):
        raise QueryError("All parts of this query are negative. Add a picture or words to look for.")
    return parts


def _check_count(count: int) -> None:
    if count > MAX_PARTS:
        raise QueryError(f"A query can have up to {MAX_PARTS} parts, and this one has {count}. Remove some.")


def read_parts(value: Any) -> tuple[Part, ...]:
    """The parts in a list of JSON objects, or in the JSON text of one. Raises QueryError."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise QueryError(
                "The query in this URL cannot be read: it is not valid JSON. Start a new search."
            ) from None
    if not isinstance(value, list):
        raise QueryError('A query is a list of parts, such as [{"words": "a red bicycle"}].')
    parts = list[Part]()
    for number, entry in enumerate(value[: MAX_PARTS + 1], 1):
        try:
            parts.append(Part.model_validate(entry))
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(str(step) for step in first["loc"])
            reason = first["msg"].removeprefix("Value error, ").rstrip(".")
            raise QueryError(f"Part {number} of the query: {where + ': ' if where else ''}{reason}.") from None
    _check_count(len(value))
    return tuple(parts)


def write_parts(parts: Iterable[Part]) -> str:
    """The parts as compact JSON, for `read_parts`."""
    values = [part.model_dump(mode="json", exclude_none=True, exclude_defaults=True) for part in parts]
    return json.dumps(values, separators=(",", ":"), ensure_ascii=False)


Kind = Literal["picture", "words"]


def kind_of(parts: Iterable[Part]) -> Kind:
    """ "words" when no picture is looked for, as in `core.search.query_vector.Query`."""
    return "words" if {part.kind for part in parts if part.weight > 0} == {"words"} else "picture"
