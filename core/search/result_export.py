"""Export of matches: as CSV, as JSON, as a ZIP of thumbnails, as a contact sheet to print."""

from __future__ import annotations

import io
import json
import unicodedata
import zipfile
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit
from uuid import UUID

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from core.collection.spreadsheets import to_csv
from core.collection.store import Match, picture_name
from core.errors import NotFoundError
from core.media.decode import MIMES
from core.search.score import per_mille

Thumbnails = Callable[[UUID], tuple[str, bytes]]
"""Returns a picture's thumbnail as its MIME type (one of core.media.decode.MIMES) and its bytes. Raises NotFoundError
or DatabaseError."""

MAX_STEM = 120
"""Bytes of a picture's name in a file name: with rank, percentage and extension it stays below the usual limit of
255."""


_ENDINGS = {mime: kind.lower() for kind, mime in MIMES.items()} | {"image/jpeg": "jpg"}
_PICTURE_ENDINGS = {*(f".{ending}" for ending in _ENDINGS.values()), ".jpeg", ".heic", ".tif"}
_UNSAFE = '<>:"/\\|?*'
_SHEETS = Environment(
    loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)


@dataclass(frozen=True)
class Report:
    """Matches, best first, and what they are matches for.

    `query` describes the query in a line, `threshold` is the cosine that all matches reach, and `made_at` is a
    time-zone-aware time.
    """

    query: str
    model: str
    threshold: float
    made_at: datetime
    matches: Sequence[Match]


def as_csv(report: Report) -> bytes:
    """CSV, see `core.collection.spreadsheets.to_csv`.

    One row per match: its rank, its similarity as a cosine and in percent, and its details. Query, model, threshold
    and time are repeated in each row, so that tables can be combined.
    """
    return _table(report, [])


def as_json(report: Report) -> bytes:
    """An object with the query, model, threshold (a cosine), time (ISO 8601) and the matches, in UTF-8."""
    matches = [
        {
            "rank": rank,
            "id": str(match.id),
            "title": _name(match),
            "url": _url(match) or None,
            "similarity": match.similarity,
            "percent": _percent(match.similarity),
            "width": match.width,
            "height": match.height,
        }
        for rank, match in enumerate(report.matches, 1)
    ]
    facts = {
        "query": report.query,
        "model": report.model,
        "threshold": report.threshold,
        "made_at": report.made_at.isoformat(timespec="seconds"),
        "matches": matches,
    }
    return json.dumps(facts, ensure_ascii=False, indent=2).encode()


def as_zip(report: Report, thumbnails: Thumbnails) -> bytes:
    """A ZIP of the thumbnails, named by rank, percentage and title, with the CSV, which lists their names.

    A match without a thumbnail is skipped and listed in `missing.txt`. Raises DatabaseError.
    """
    files, missing = list[str](), list[str]()
    digits = len(str(len(report.matches)))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:

        def put(name: str, data: bytes, method: int) -> None:
            entry = zipfile.ZipInfo(name, report.made_at.timetuple()[:6])
            archive.writestr(entry, data, method)

        for rank, match in enumerate(report.matches, 1):
            name = f"{rank:0{digits}}-{_percent(match.similarity):.1f}-{_file_stem(_name(match))}"
            try:
                mime, image = thumbnails(match.id)
            except NotFoundError:
                files.append("")
                missing.append(f"{rank}. {_name(match)} ({_url(match) or match.id})\r\n")
                continue
            files.append(f"{name}.{_ENDINGS[mime]}")
            put(files[-1], image, zipfile.ZIP_STORED)
        put("matches.csv", _table(report, files), zipfile.ZIP_DEFLATED)
        if missing:
            heading = "These pictures are not in the ZIP, because they no longer have a thumbnail:\r\n"
            put("missing.txt", "".join(["\ufeff", heading, *missing]).encode(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def as_contact_sheet(report: Report, thumbnails: Thumbnails) -> bytes:
    """One HTML file with embedded thumbnails, to view and to print on A4 or Letter; without scripts. Raises
    DatabaseError."""
    made = report.made_at
    facts = {
        "Matches": f"{len(report.matches):,}",
        "Threshold": f"{per_mille(report.threshold) / 10:.1f}\u202f%",
        "Model": report.model,
        "Made": f"{made.day} {made:%B %Y, %H:%M %Z}",
    }
    cards = (_card(match, thumbnails) for match in report.matches)
    return _SHEETS.get_template("contact_sheet.html").render(query=report.query, facts=facts, cards=cards).encode()


def _table(report: Report, files: Sequence[str]) -> bytes:
    """The matches as CSV, with the file name of each if there are files."""
    matches = report.matches
    columns = {
        "rank": range(1, len(matches) + 1),
        "similarity": [match.similarity for match in matches],
        "percent": [_percent(match.similarity) for match in matches],
        "title": [_name(match) for match in matches],
        "url": [_url(match) for match in matches],
        "id": [match.id for match in matches],
        "width": [match.width for match in matches],
        "height": [match.height for match in matches],
        **({"file": files} if files else {}),
    }
    table = pd.DataFrame(columns).assign(
        query=report.query,
        model=report.model,
        threshold=report.threshold,
        **{"time (UTC)": report.made_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")},
    )
    return to_csv(table, {"similarity": 4, "percent": 1, "threshold": 4})


def _card(match: Match, thumbnails: Thumbnails) -> dict[str, object]:
    """What the contact sheet shows for a match."""
    url = _url(match)
    try:
        mime, image = thumbnails(match.id)
        thumbnail = f"data:{mime};base64,{b64encode(image).decode()}"
    except NotFoundError:
        thumbnail = ""
    facts = {"percent": _percent(match.similarity), "name": _name(match), "url": url, "host": urlsplit(url).netloc}
    return {"thumbnail": thumbnail, **facts}


def _percent(similarity: float) -> float:
    return per_mille(similarity) / 10


def _url(match: Match) -> str:
    """A picture's URL on the web; "" for a dropped file, which only this server has."""
    return match.url if match.url.startswith(("http://", "https://")) else ""


def _name(match: Match) -> str:
    return picture_name(match.title, _url(match))


def _file_stem(name: str) -> str:
    """A name that every file system accepts: no separators, wildcards, control or bidirectional characters."""
    path = PurePosixPath(name)
    if path.suffix.lower() in _PICTURE_ENDINGS:
        name = name.removesuffix(path.suffix)
    kept = "".join(
        " " if character in _UNSAFE or unicodedata.category(character) in ("Cc", "Cf", "Cs") else character
        for character in unicodedata.normalize("NFC", name)
    )
    short = " ".join(kept.split()).encode()[:MAX_STEM].decode(errors="ignore")
    return short.strip(" .") or "picture"
