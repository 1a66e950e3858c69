"""A query as it is written down: its parts, for the page, for a link and for the HTTP API alike."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from core.errors import PictureError, QueryError
from core.media.crop import CropBox, checked_box

MAX_PARTS = 10
"""Parts of one query; the mean of more says little about any."""

MAX_WORDS = 1000
"""Characters of one part's words; CLIP reads about the first 77 tokens, some 300 characters of English."""

MAX_WEIGHT = 5.0

SOURCES = ("picture", "upload", "url", "words", "file")


def _box(value: CropBox) -> CropBox:
    try:
        return checked_box(value)
    except PictureError as error:
        raise ValueError(str(error)) from None


class Part(BaseModel):
    """One thing that a query is made of, and how much it counts: exactly one of its five sources is given.

    `picture` is the id of a picture of the collection, `upload` that of a picture which was searched with and is kept
    for a while (`core.search.query_images`), `url` a picture's URL, `words` what it should show, and `file` the place
    (from 0) of a file that comes with the same HTTP call. `weight` is its share in the sum; below zero it leads away.
    `crop` is the part of the picture that counts, as fractions (left, top, right, bottom) of its upright sides.
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
            raise ValueError("a part with weight 0 counts for nothing: leave it out")
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
        """What the part shows the model."""
        return "picture" if self.words is None else "words"


def checked_parts(parts: Iterable[Part]) -> tuple[Part, ...]:
    """The parts, when they make a query. Raises QueryError."""
    parts = tuple(parts)
    _check_count(len(parts))
    if not any(part.weight > 0 for part in parts):
        raise QueryError("The query says only what to lead away from. Add a picture or words to look for.")
    return parts


def _check_count(count: int) -> None:
    if count > MAX_PARTS:
        raise QueryError(f"A query takes up to {MAX_PARTS} parts, and this one has {count}. Keep those that say most.")


def read_parts(value: Any) -> tuple[Part, ...]:
    """The parts in a list of JSON objects, or in the JSON text of one. Raises QueryError."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise QueryError("The query in this address cannot be read: it is no JSON. Begin a new search.") from None
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
    """The parts as compact JSON, which `read_parts` reads."""
    values = [part.model_dump(mode="json", exclude_none=True, exclude_defaults=True) for part in parts]
    return json.dumps(values, separators=(",", ":"), ensure_ascii=False)


Kind = Literal["picture", "words"]


def kind_of(parts: Iterable[Part]) -> Kind:
    """Words when nothing else is looked for, as `core.search.query_vector.Query` has it."""
    return "words" if {part.kind for part in parts if part.weight > 0} == {"words"} else "picture"
