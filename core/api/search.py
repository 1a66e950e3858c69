"""The HTTP calls for searching: the guide's, and one for queries of several parts."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SkipValidation
from starlette.requests import Request

from core.api.access import CurrentEngine, guard
from core.api.bodies import Text, checked, described_body, is_form, is_text, number, read_form, read_json
from core.api.errors import ErrorsAsJson, errors
from core.collection.filters import Filter
from core.engine import Engine
from core.errors import QueryError
from core.search.matches import DEFAULT_TOP_K, MAX_TOP_K, Matches
from core.search.query_parts import MAX_PARTS, Part, checked_parts, read_parts
from core.signed_urls import link, thumbnail_path
from core.verification.proof import Proof
from core.verification.relation import relation

YES, NO = {"1", "true", "yes", "on"}, {"", "0", "false", "no", "off"}

CUTS = ("strict", "balanced", "wide", "thing", "kind", "unrelated")
"""The thresholds in a response's `cuts`, named as in `core.search.suggested_thresholds`."""

MAX_ID = 10**18
"""The highest id of an import that is accepted, which fits into Postgres's `bigint`."""

router = APIRouter(route_class=ErrorsAsJson, dependencies=[Depends(guard)], tags=["search"])


def _flag(name: str) -> BeforeValidator:
    def read(value: object) -> bool:
        text = str(value or "").lower()
        if text not in YES | NO:
            raise ValueError(f"'{name}' must be true or false.")
        return text in YES

    return BeforeValidator(read)


def _day(name: str) -> BeforeValidator:
    def read(value: object) -> date | None:
        try:
            return date.fromisoformat(str(value)) if value else None
        except ValueError:
            raise ValueError(f"'{name}' must be a date such as 2026-01-31.") from None

    return BeforeValidator(read)


def _tags(value: object) -> object:
    return value if isinstance(value, list) else [value] if value else []


class Limits(BaseModel):
    """How many matches are wanted, and how similar."""

    threshold: Annotated[float | None, number("threshold", -1, 1)] = Field(
        None, ge=-1, le=1, description="The minimum similarity (a cosine) of a match."
    )
    top_k: Annotated[int, number("top_k", 1, MAX_TOP_K, default=DEFAULT_TOP_K, whole=True)] = Field(
        DEFAULT_TOP_K, ge=1, le=MAX_TOP_K, description="The maximum number of matches."
    )


class QueryForm(Limits):
    """A picture to search with."""

    file: bytes = Field(description="The picture.")


class SearchFields(Limits):
    """A query and its filters. `parts` is the whole query; `url` or `text` alone is a query of one part."""

    # A misspelt field would silently change the search.
    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)

    url: Text | None = Field(None, description="The URL of a picture to search with.")
    text: Text | None = Field(None, description="What the pictures should show, in words.")
    tag: Annotated[list[Text], BeforeValidator(_tags)] = Field([], description="Tags that a match must all have.")
    import_id: Annotated[int | None, number("import", 1, MAX_ID, whole=True)] = Field(
        None, alias="import", ge=1, le=MAX_ID, description="The import that added a match."
    )
    domain: Text | None = Field(None, description="The domain a match is from, including its subdomains.")
    since: Annotated[date | None, _day("since")] = Field(None, description="The first day a match was indexed.")
    until: Annotated[date | None, _day("until")] = Field(None, description="The last day, inclusive.")
    exact: Annotated[bool, _flag("exact")] = Field(
        False, description="Force an exact search: compare with every picture."
    )
    leave_out: Annotated[bool, _flag("leave_out")] = Field(False, description="Omit the query's own pictures.")
    verify: Annotated[bool, _flag("verify")] = Field(
        True, description="Find out which matches are the same picture. It takes up to a second."
    )

    @property
    def filter(self) -> Filter:
        """The filter of the search."""
        return Filter(
            tags=tuple(self.tag),
            import_id=self.import_id,
            domain=(self.domain or "").strip().lower(),
            since=self.since,
            until=self.until,
        )


class SearchBody(SearchFields):
    """A query as JSON: one of `url`, `text` and `parts`."""

    parts: SkipValidation[list[Part] | None] = Field(
        None, max_length=MAX_PARTS, description="The parts of the query: pictures and words."
    )


class SearchForm(SearchFields):
    """A query as a form: one of `file` (one or several), `url`, `text` and `parts`."""

    file: list[bytes] = Field([], max_length=MAX_PARTS, description="The pictures, in order.")
    parts: Any = Field(
        None,
        description="A JSON list of parts, as in the JSON body; a part's `file` is the index of a file, from 0.",
        json_schema_extra={"type": "string", "contentMediaType": "application/json"},
    )


class Cuts(BaseModel):
    """Thresholds suggested for the query, as cosines, and why."""

    strict: float
    balanced: float
    wide: float
    thing: float = Field(description="The cut for the same thing: few pictures, far above the rest.")
    kind: float = Field(description="The cut for the same kind of thing: many pictures, on a long slope.")
    unrelated: float = Field(description="On average one unrelated picture scores above it.")
    nothing: bool = Field(description="Whether there is probably nothing like the query.")
    reason: str
    question: Literal["thing", "kind"] = Field(description="Which of the two the scores look like.")
    verdict: Literal["match", "perhaps", "nothing"]
    chance: float | None = Field(
        description="The share of the collection's pictures that, without their own group, find something as close."
    )


class Verified(BaseModel):
    """The proof that a match is the same picture as the query, by their local features.

    The shares are parts of the area, 0 to 1. The outlines are corners, from the top left clockwise, as parts of the
    width and height that they lie in. The query is the match `turned` clockwise by so many degrees, after it was
    `mirrored`, left and right.
    """

    words: str = Field(description="Such as: Mirrored, a part: 42 % of it.")
    share: float = Field(description="How much of the match is in the query.")
    query_share: float = Field(description="How much of the query is in the match.")
    outline: list[tuple[float, float]] = Field(description="The query within the match.")
    query_outline: list[tuple[float, float]] = Field(description="The match within the query.")
    mirrored: bool
    turned: float
    points: int = Field(description="How many local features agree.")


class FoundPicture(BaseModel):
    """A picture and its similarity (a cosine) to the query. `copy_of` is the better match of which it is a copy.

    `relation` says whether it is the same picture, which `verified` proves, or only looks alike.
    """

    id: UUID
    url: str
    title: str
    similarity: float
    thumbnail: str
    copy_of: UUID | None = None
    relation: Literal["same", "alike"]
    verified: Verified | None = None


class SearchAnswer(BaseModel):
    """The matches of a query: first those that are the same picture, then look-alikes, each best first."""

    model: str = Field(description="The model whose embeddings were compared.")
    query: str = Field(description="The query in a line.")
    kind: str = Field(description="`words` when no picture is looked for, else `picture`.")
    total: int = Field(description="The number of pictures compared.")
    approximate: bool = Field(description="Whether an index was searched rather than every picture.")
    cuts: Cuts | None
    yours: float | None = Field(description="The saved threshold for such queries.")
    matches: list[FoundPicture]


async def _query_form(request: Request) -> QueryForm:
    texts, files = await read_form(request, max_files=1)
    fields: dict[str, Any] = {name: values[-1] for name, values in texts.items() if name != "file"}
    return checked(
        QueryForm,
        {**fields, **({"file": files[0]} if files else {})},
        "Send a picture as the multipart field 'file'.",
    )


@router.post(
    "/query",
    summary="The URLs of look-alikes",
    openapi_extra=described_body(form=QueryForm),
    responses=errors(400, 401, 403, 413, 415, 503),
)
def query(engine: CurrentEngine, form: Annotated[QueryForm, Depends(_query_form)]) -> list[str]:
    """The URLs of the pictures that look like a given one, best first.

    For a picture that was dropped as a file, it is the path of its file on this server. The default threshold is 0.9
    with CLIP; with the built-in encoder or a model in a folder, it is where unrelated pictures of the collection end.
    """
    query = engine.query_encoder.compose(engine.serving(), [Part(file=0)], [form.file])
    matches = engine.search(query, form.top_k)
    reached = matches.reaching(matches.default if form.threshold is None else form.threshold)
    return [link(engine.settings, match.url) for match in reached if match.url]


async def _search_fields(request: Request) -> SearchBody | SearchForm:
    if not is_form(request):
        wanted = 'Send a JSON object such as {"text": "a red bicycle"}.'
        return checked(SearchBody, await read_json(request), wanted)
    texts, files = await read_form(request, max_files=MAX_PARTS)
    fields: dict[str, Any] = {name: values if name == "tag" else values[-1] for name, values in texts.items()}
    return checked(SearchForm, {**fields, "file": files}, "Send the fields as the API's description has them.")


@router.post(
    "/search",
    summary="Matches with their similarities",
    response_model_exclude_unset=True,
    openapi_extra=described_body(json=SearchBody, form=SearchForm),
    responses=errors(400, 401, 403, 404, 413, 415, 502, 503),
)
def search(engine: CurrentEngine, fields: Annotated[SearchBody | SearchForm, Depends(_search_fields)]) -> SearchAnswer:
    """The pictures that are the same as the query's, then those most similar to it, with their similarities.

    The same pictures are given whatever the threshold.
    """
    files = fields.file if isinstance(fields, SearchForm) else []
    found = engine.query_encoder.compose(engine.serving(), _parts(fields, len(files)), files)
    left_out = found.members if fields.leave_out else []
    matches = engine.search(found, fields.top_k, where=fields.filter, exact=fields.exact, leave_out=left_out)
    if fields.verify:
        matches = engine.mark_same(matches)
    return _answer(engine, matches, -1.0 if fields.threshold is None else fields.threshold)


def _parts(fields: SearchBody | SearchForm, files: int) -> tuple[Part, ...]:
    """The parts of the query. Raises QueryError."""
    url, text, given = (fields.url or "").strip(), (fields.text or "").strip(), fields.parts
    if sum([bool(files) and not given, bool(url), bool(text), bool(given)]) != 1:
        raise QueryError("Send one of 'file' (a picture, or several), 'url', 'text' or 'parts'.")
    if given:
        parts = checked_parts(read_parts(given))
        if not all(is_text(part.url or part.words or "") for part in parts):
            raise QueryError("The parts have a character that is no text: NUL, or half of a surrogate pair.")
        return parts
    if url or text:
        return read_parts([{"url": url} if url else {"words": text}])
    return checked_parts(Part(file=place) for place in range(files))


def _answer(engine: Engine, matches: Matches, threshold: float) -> SearchAnswer:
    cuts = matches.cuts
    return SearchAnswer(
        model=matches.model,
        query=matches.query.label,
        kind=matches.query.kind,
        total=matches.total,
        approximate=matches.approximate,
        cuts=cuts
        and Cuts(
            **{name: round(getattr(cuts, name), 4) for name in CUTS},
            nothing=cuts.nothing,
            reason=cuts.reason,
            question=cuts.question,
            verdict=cuts.verdict,
            chance=None if cuts.share is None else round(cuts.share, 4),
        ),
        yours=matches.saved_threshold and matches.saved_threshold.threshold,
        matches=[
            FoundPicture(
                id=match.id,
                url=link(engine.settings, match.url),
                title=match.title,
                similarity=round(match.similarity, 6),
                thumbnail=thumbnail_path(engine.settings, match.id),
                relation="same" if match.id in matches.same else "alike",
                **({"copy_of": leader} if (leader := matches.copies.get(match.id)) else {}),
                **({"verified": _verified(proof)} if (proof := matches.same.get(match.id)) else {}),
            )
            for match in matches.reaching(threshold)
        ],
    )


def _verified(proof: Proof) -> Verified:
    return Verified(
        words=relation(proof),
        share=round(proof.second_share, 4),
        query_share=round(proof.first_share, 4),
        outline=list(proof.first_in_second),
        query_outline=list(proof.second_in_first),
        mirrored=proof.mirrored,
        turned=round(proof.turned, 1),
        points=proof.points,
    )
