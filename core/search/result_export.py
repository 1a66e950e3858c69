"""A list of matches to hand out: as a table, as data, as files, as a page to print."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
import zipfile
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit
from uuid import UUID

from core.collection.spreadsheets import csv_cells
from core.collection.store import Match, picture_name
from core.errors import NotFoundError
from core.media.decode import MIMES
from core.search.score import per_mille

Thumbnails = Callable[[UUID], tuple[str, bytes]]
"""Gives a picture's thumbnail: its MIME type, one of core.media.decode.MIMES, and its bytes; raises NotFoundError."""

MAX_STEM = 120
"""Bytes of a picture's name in a file name: with rank, percentage and ending it stays below every system's 255."""


_ENDINGS = {mime: kind.lower() for kind, mime in MIMES.items()} | {"image/jpeg": "jpg"}
_PICTURE_ENDINGS = {*(f".{ending}" for ending in _ENDINGS.values()), ".jpeg", ".heic", ".tif"}
_UNSAFE = '<>:"/\\|?*'
_COLUMNS = ["rank", "similarity", "percent", "title", "url", "id", "width", "height"]
_QUERY_COLUMNS = ["query", "model", "threshold", "time (UTC)"]
_SHEET_STYLE = Path(__file__).with_name("contact_sheet.css").read_text("utf-8")


@dataclass(frozen=True)
class Report:
    """Matches, best first, and what they answer.

    `query` says in words what was looked for, `threshold` is the cosine that the matches reach, and `made_at` is an
    aware time.
    """

    query: str
    model: str
    threshold: float
    made_at: datetime
    matches: Sequence[Match]


def as_csv(report: Report) -> bytes:
    """A table in UTF-8 with a byte order mark, without which Excel takes it for its old alphabet.

    A row a match: its rank, its similarity as a cosine and in percent, and facts; query, model, threshold and time
    are repeated in each, so that rows of several tables can be put together and still tell.
    """
    return _table(report, [])


def as_json(report: Report) -> bytes:
    """An object with the query, model, threshold (a cosine), time (ISO 8601) and the matches, in UTF-8."""
    matches = [
        {
            "rank": rank,
            "id": str(match.id),
            "title": _name(match),
            "url": _address(match) or None,
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
    """A ZIP of the thumbnails, named by rank, percentage and title, and the table, which names them too.

    A match without a thumbnail is skipped and listed in `missing.txt`.
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
                missing.append(f"{rank}. {_name(match)} ({_address(match) or match.id})\r\n")
                continue
            files.append(f"{name}.{_ENDINGS[mime]}")
            put(files[-1], image, zipfile.ZIP_STORED)
        put("matches.csv", _table(report, files), zipfile.ZIP_DEFLATED)
        if missing:
            heading = "These pictures are not in the ZIP, for they have no thumbnail any more:\r\n"
            put("missing.txt", "".join(["\ufeff", heading, *missing]).encode(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def as_contact_sheet(report: Report, thumbnails: Thumbnails) -> bytes:
    """One HTML file with the thumbnails inside, to look at and to print on A4 or Letter; it runs no script."""
    count = len(report.matches)
    made = report.made_at
    facts = {
        "Matches": f"{count:,}",
        "Threshold": f"{per_mille(report.threshold) / 10:.1f}\u202f%",
        "Model": report.model,
        "Made": f"{made.day} {made:%B %Y, %H:%M %Z}",
    }
    heading = "".join(f"<div><dt>{name}</dt><dd>{escape(fact)}</dd></div>" for name, fact in facts.items())
    cards = "\n".join(_card(rank, match, thumbnails) for rank, match in enumerate(report.matches, 1))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="referrer" content="no-referrer">
<meta name="viewport" content="width=device-width">
<title>Matches for {escape(report.query)}</title>
<style>
{_SHEET_STYLE}</style>
</head>
<body>
<header>
<p>Matches for</p>
<h1 dir="auto">{escape(report.query)}</h1>
<dl>{heading}</dl>
</header>
{f"<ol>{cards}</ol>" if cards else "<p>No picture reaches the threshold.</p>"}
</body>
</html>
""".encode()


def _table(report: Report, files: Sequence[str]) -> bytes:
    """The matches as CSV, with the file of each where there are files."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([*_COLUMNS, *(["file"] if files else []), *_QUERY_COLUMNS])
    query, model = csv_cells([report.query, report.model])
    made = report.made_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    for place, match in enumerate(report.matches):
        title, url = csv_cells([_name(match), _address(match)])
        facts = [title, url, match.id, match.width, match.height, *csv_cells(files[place : place + 1])]
        score = [f"{match.similarity:.4f}", f"{_percent(match.similarity):.1f}"]
        writer.writerow([place + 1, *score, *facts, query, model, f"{report.threshold:.4f}", made])
    return out.getvalue().encode("utf-8-sig")


def _card(rank: int, match: Match, thumbnails: Thumbnails) -> str:
    name, url = escape(_name(match)), escape(_address(match))
    try:
        mime, image = thumbnails(match.id)
        shown = f'<img alt="" src="data:{escape(mime)};base64,{b64encode(image).decode()}">'
    except NotFoundError:
        shown = "<span>No thumbnail</span>"
    host = escape(urlsplit(_address(match)).netloc)
    source = f'<a href="{url}">{host}</a>' if url else ""
    return (
        f'<li><div>{shown}</div><p class="score"><b>{_percent(match.similarity):.1f}\u202f%</b><span>{rank}</span></p>'
        f'<p class="title" dir="auto">{name}</p><p class="source">{source}</p></li>'
    )


def _percent(similarity: float) -> float:
    return per_mille(similarity) / 10


def _address(match: Match) -> str:
    """Where a picture is in the web: "" for a dropped file, which only this server has."""
    return match.url if match.url.startswith(("http://", "https://")) else ""


def _name(match: Match) -> str:
    return picture_name(match.title, _address(match))


def _file_stem(name: str) -> str:
    """A name that every file system takes: no separators, wildcards, controls or turned writing direction."""
    path = PurePosixPath(name)
    if path.suffix.lower() in _PICTURE_ENDINGS:
        name = name.removesuffix(path.suffix)
    kept = "".join(
        " " if character in _UNSAFE or unicodedata.category(character) in ("Cc", "Cf", "Cs") else character
        for character in unicodedata.normalize("NFC", name)
    )
    short = " ".join(kept.split()).encode()[:MAX_STEM].decode(errors="ignore")
    return short.strip(" .") or "picture"
