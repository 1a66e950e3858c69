"""The HTTP calls that search: the guide's, and the one that takes a composed query."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from core.api.parsing import error_answer, is_form, read_file, read_form, read_json, read_number
from core.collection.filters import Filter
from core.engine import Engine
from core.search.matches import DEFAULT_TOP_K, MAX_TOP_K, Matches
from core.search.query_parts import MAX_PARTS, Part, checked_parts, read_parts
from core.signed_urls import link, thumbnail_path

FIELDS = {
    *("file", "url", "text", "parts", "threshold", "top_k"),
    *("tag", "import", "domain", "since", "until", "exact", "leave_out"),
}
"""What POST /api/search reads; a misspelt field would silently find something else."""

CUTS = ("strict", "balanced", "wide", "thing", "kind", "unrelated")
"""The thresholds of an answer's `cuts`, as `core.search.suggested_thresholds` has them."""

YES, NO = {"1", "true", "yes", "on"}, {"", "0", "false", "no", "off"}


async def query(engine: Engine, request: Request) -> Response:
    """POST /api/query with a multipart `file`: the URLs of the look-alikes as a JSON array, best first.

    A picture that was dropped as a file has the path of GET /api/file/{id} for its URL, here and in /api/search.
    """
    async with read_form(request, max_files=1) as form:
        threshold, top_k = _limits(form)
        data = await read_file(form.get("file"))
        if data is None:
            return error_answer(400, "Send a picture as the multipart field 'file'.")
    matches = await run_in_threadpool(lambda: engine.search(engine.picture_query(data), top_k))
    reached = matches.reaching(matches.default if threshold is None else threshold)
    return JSONResponse([link(engine.settings, match.url) for match in reached if match.url])


async def search(engine: Engine, request: Request) -> Response:
    """POST /api/search: the matches of a query with their similarities, best first.

    The query is `file`s, a `url`, a `text`, or `parts` (see `core.search.query_parts`) as JSON; a part names a file by
    its place.
    As JSON instead of a form it takes the same fields but `file`.
    """
    files = list[bytes]()
    if is_form(request):
        async with read_form(request, max_files=MAX_PARTS) as form:
            fields = _fields(form)
            files = [data for value in form.getlist("file") if (data := await read_file(value)) is not None]
    else:
        body = await read_json(request)
        if not isinstance(body, dict):
            raise HTTPException(400, 'Send a JSON object such as {"text": "a red bicycle"}.')
        fields = body
    if unknown := sorted(set(fields) - FIELDS):
        raise HTTPException(400, f"There is no field '{unknown[0][:40]}': the fields are {', '.join(sorted(FIELDS))}.")
    parts = _parts(fields, len(files))
    threshold, top_k = _limits(fields)
    where, exact, leave_out = _filter(fields), _flag(fields, "exact"), _flag(fields, "leave_out")

    def find() -> Matches:
        found = engine.compose(parts, files)
        left_out = found.members if leave_out else []
        return engine.search(found, top_k, where=where, exact=exact, leave_out=left_out)

    matches = await run_in_threadpool(find)
    return JSONResponse(_answer(engine, matches, -1.0 if threshold is None else threshold))


def _limits(fields: Mapping[str, Any]) -> tuple[float | None, int]:
    """The threshold, if there is one, and top-k."""
    threshold = read_number(fields.get("threshold"), "threshold", math.inf, -1.0, 1.0)
    return (
        None if threshold == math.inf else threshold,
        int(read_number(fields.get("top_k"), "top_k", DEFAULT_TOP_K, 1, MAX_TOP_K)),
    )


def _fields(form: FormData) -> dict[str, Any]:
    """The fields of a form but its files; of tags there may be several."""
    fields: dict[str, Any] = {name: value for name, value in form.items() if isinstance(value, str)}
    if "tag" in fields:
        fields["tag"] = form.getlist("tag")
    return fields


def _parts(fields: Mapping[str, Any], files: int) -> tuple[Part, ...]:
    url, text = (str(fields.get(name) or "").strip() for name in ("url", "text"))
    given = fields.get("parts")
    if sum([bool(files) and not given, bool(url), bool(text), bool(given)]) != 1:
        raise HTTPException(400, "Send one of 'file' (a picture, or several), 'url', 'text' or 'parts'.")
    if given:
        return checked_parts(read_parts(given))
    if url or text:
        return read_parts([{"url": url} if url else {"words": text}])
    return checked_parts(Part(file=place) for place in range(files))


def _filter(fields: Mapping[str, Any]) -> Filter:
    tags = fields.get("tag") or []
    return Filter(
        tags=tuple(str(tag) for tag in (tags if isinstance(tags, list) else [tags])),
        import_id=int(read_number(fields.get("import"), "import", 0, 1, 10**18)) or None,
        domain=str(fields.get("domain") or "").strip().lower(),
        since=_date(fields, "since"),
        until=_date(fields, "until"),
    )


def _date(fields: Mapping[str, Any], name: str) -> date | None:
    value = fields.get(name)
    if not value:
        return None
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        raise HTTPException(400, f"'{name}' must be a date such as 2026-01-31.") from None


def _flag(fields: Mapping[str, Any], name: str) -> bool:
    value = str(fields.get(name) or "").lower()
    if value not in YES | NO:
        raise HTTPException(400, f"'{name}' must be true or false.")
    return value in YES


def _answer(engine: Engine, matches: Matches, threshold: float) -> dict[str, Any]:
    cuts = matches.cuts
    return {
        "model": matches.model,
        "query": matches.query.label,
        "kind": matches.query.kind,
        "total": matches.total,
        "approximate": matches.approximate,
        "cuts": cuts
        and {
            **{name: round(getattr(cuts, name), 4) for name in CUTS},
            "nothing": cuts.nothing,
            "reason": cuts.reason,
            "question": cuts.question,
            "verdict": cuts.verdict,
            "chance": None if cuts.share is None else round(cuts.share, 4),
        },
        "yours": matches.yours and matches.yours.threshold,
        "matches": [
            {
                "id": str(match.id),
                "url": link(engine.settings, match.url),
                "title": match.title,
                "similarity": round(match.similarity, 6),
                "thumbnail": thumbnail_path(engine.settings, match.id),
                **({"copy_of": str(leader)} if (leader := matches.copies.get(match.id)) else {}),
            }
            for match in matches.reaching(threshold)
        ],
    }
