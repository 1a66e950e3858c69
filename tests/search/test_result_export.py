"""Lists of matches to hand out, opened again as their receivers would."""

from __future__ import annotations

import base64
import csv
import io
import json
import zipfile
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from uuid import UUID

import pytest
from PIL import Image

from bench.support.data import some_photos
from core.collection.store import Match
from core.errors import NotFoundError
from core.search.result_export import Report, as_contact_sheet, as_csv, as_json, as_zip
from core.signed_urls import file_path

MADE = datetime(2026, 3, 1, 0, 30, 5, tzinfo=timezone(timedelta(hours=2), "EET"))
LOST = UUID(int=3)

HOSTILE = "<script>alert('x')</script> & \"quotes\""


def match(number: int, title: str = "", url: str | None = None, similarity: float = 0.9) -> Match:
    return Match(
        id=UUID(int=number),
        url=f"https://museum.example/a%20b/{number}.jpg" if url is None else url,
        title=title,
        width=640,
        height=480,
        similarity=similarity,
    )


def report(*matches: Match, query: str = "a red bicycle") -> Report:
    return Report(query, "ViT-B-32/laion2b_s34b_b79k", 0.81, MADE, matches)


@cache
def thumbnail(picture: UUID) -> tuple[str, bytes]:
    """A photo, another for each number; none for LOST."""
    if picture == LOST:
        raise NotFoundError("There is no picture with that id.")
    with Image.open(some_photos(60)[picture.int % 60]) as photo:
        photo.thumbnail((96, 96))
        buffer = io.BytesIO()
        photo.convert("RGB").save(buffer, "JPEG")
    return "image/jpeg", buffer.getvalue()


def rows(table: bytes) -> list[dict[str, str]]:
    assert table.startswith(b"\xef\xbb\xbf")
    return list(csv.DictReader(io.StringIO(table.decode("utf-8-sig"), newline="")))


def opened(archive: bytes) -> zipfile.ZipFile:
    file = zipfile.ZipFile(io.BytesIO(archive))
    assert file.testzip() is None
    return file


# The table


def test_a_row_says_everything_about_a_match() -> None:
    first, second = rows(as_csv(report(match(1, similarity=0.99996), match(2, "Cellarius, 1661", similarity=-0.25))))
    assert first == {
        "rank": "1",
        "similarity": "1.0000",
        "percent": "100.0",
        "title": "1.jpg",
        "url": "https://museum.example/a%20b/1.jpg",
        "id": "00000000-0000-0000-0000-000000000001",
        "width": "640",
        "height": "480",
        "query": "a red bicycle",
        "model": "ViT-B-32/laion2b_s34b_b79k",
        "threshold": "0.8100",
        "time (UTC)": "2026-02-28 22:30:05",
    }
    assert second["title"] == "Cellarius, 1661"
    assert (second["similarity"], second["percent"]) == ("-0.2500", "0.0"), "numbers stay numbers"


def test_a_dropped_file_has_its_name_and_no_dead_link() -> None:
    dropped = match(7, "scan 7.png", file_path(UUID(int=7)))
    [row] = rows(as_csv(report(dropped)))
    assert (row["title"], row["url"]) == ("scan 7.png", "")
    assert json.loads(as_json(report(dropped)))["matches"][0]["url"] is None
    sheet = as_contact_sheet(report(dropped), thumbnail).decode()
    assert "scan 7.png" in sheet
    assert "/api/file" not in sheet
    assert "<a " not in sheet


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝"])
def test_no_cell_is_a_formula(start: str) -> None:
    text = f"{start}HYPERLINK('https://evil.example')"
    [row] = rows(as_csv(report(match(1, text), query=text)))
    assert row["title"] == row["query"] == f"'{text}"


def test_any_script_and_every_separator_survives_the_table() -> None:
    title = 'Übung, „北京";\n"می‌خواهم" 🐈'
    [row] = rows(as_csv(report(match(1, title))))
    assert row["title"] == title


def test_an_empty_table_has_its_heading() -> None:
    assert as_csv(report()).decode("utf-8-sig").startswith("rank,similarity,percent,title,url,id,width,height,query")
    assert len(as_csv(report()).splitlines()) == 1


def test_the_time_is_converted_and_never_taken_for_local() -> None:
    [row] = rows(as_csv(Report("q", "m", 0.5, datetime(2026, 3, 1, 12, tzinfo=UTC), [match(1)])))
    assert row["time (UTC)"] == "2026-03-01 12:00:00"


# Data


def test_json_says_the_same_with_the_similarity_unrounded() -> None:
    told = json.loads(as_json(report(match(1, "北京", similarity=0.87654321), query="猫")))
    assert told == {
        "query": "猫",
        "model": "ViT-B-32/laion2b_s34b_b79k",
        "threshold": 0.81,
        "made_at": "2026-03-01T00:30:05+02:00",
        "matches": [
            {
                "rank": 1,
                "id": "00000000-0000-0000-0000-000000000001",
                "title": "北京",
                "url": "https://museum.example/a%20b/1.jpg",
                "similarity": 0.87654321,
                "percent": 87.6,
                "width": 640,
                "height": 480,
            }
        ],
    }


# Files


def test_the_zip_holds_each_thumbnail_by_rank_and_the_table() -> None:
    matches = [match(number, f"Vase {number}.JPG", similarity=0.98) for number in (1, 2, *range(4, 14))]
    archive = opened(as_zip(report(*matches), thumbnail))
    names = archive.namelist()
    assert names[0] == "01-98.0-Vase 1.jpg"
    assert names[11:] == ["12-98.0-Vase 13.jpg", "matches.csv"]
    assert archive.read(names[2]) == thumbnail(UUID(int=4))[1]
    assert [row["file"] for row in rows(archive.read("matches.csv"))] == names[:-1]
    assert archive.getinfo(names[0]).date_time[:5] == (2026, 3, 1, 0, 30)


def test_a_missing_thumbnail_is_skipped_and_listed() -> None:
    archive = opened(as_zip(report(match(1), match(LOST.int, "Lost vase"), match(4)), thumbnail))
    assert archive.namelist() == ["1-90.0-1.jpg", "3-90.0-4.jpg", "matches.csv", "missing.txt"]
    assert "2. Lost vase (https://museum.example/a%20b/3.jpg)" in archive.read("missing.txt").decode("utf-8-sig")
    assert [row["file"] for row in rows(archive.read("matches.csv"))] == ["1-90.0-1.jpg", "", "3-90.0-4.jpg"]


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("../../etc/passwd", "etc passwd"),
        ("C:\\con|?*<>", "C con"),
        ("St. Petersburg", "St. Petersburg"),
        ("photo.tar.jpeg", "photo.tar"),
        ("a\u202egpj.exe\x00\n", "a gpj.exe"),
        ("e\u0301te\u0301", "été"),
        ("...", "picture"),
        ("北京 🐈", "北京 🐈"),
        ("京" * 200, "京" * 40),
        ("a" * 119 + "é", "a" * 119),
    ],
)
def test_file_names_are_safe_in_any_script(title: str, name: str) -> None:
    archive = opened(as_zip(report(match(1, title)), thumbnail))
    assert archive.namelist()[0] == f"1-90.0-{name}.jpg"


def test_files_of_one_title_stay_apart(tmp_path: Path) -> None:
    matches = [match(number, title) for number, title in ((1, "Vase"), (2, "vase"), (4, "Vase"), (4, "Vase"))]
    archive = opened(as_zip(report(*matches), thumbnail))
    archive.extractall(tmp_path)
    assert len({path.name.lower() for path in tmp_path.iterdir()}) == 5


def test_an_empty_zip_has_the_table() -> None:
    assert opened(as_zip(report(), thumbnail)).namelist() == ["matches.csv"]


# The contact sheet


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags = list[tuple[str, dict[str, str | None]]]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_sheet_is_one_file_without_script_and_all_text_is_escaped() -> None:
    hostile = match(1, HOSTILE, 'https://a.example/"onload="x')
    sheet = as_contact_sheet(report(hostile, match(2, url="javascript:alert(1)"), query=HOSTILE), thumbnail).decode()
    parser = _Tags()
    parser.feed(sheet)
    names = {tag for tag, _ in parser.tags}
    assert not names & {"script", "link", "iframe", "object", "base"}
    assert not [name for _, attributes in parser.tags for name in attributes if name.startswith("on")]
    sources = [attributes["src"] or "" for tag, attributes in parser.tags if tag == "img"]
    assert [source.partition(",")[0] for source in sources] == ["data:image/jpeg;base64"] * 2
    assert base64.b64decode(sources[0].partition(",")[2]) == thumbnail(UUID(int=1))[1]
    assert [attributes["href"] for tag, attributes in parser.tags if tag == "a"] == [hostile.url]
    assert "<script" not in sheet
    assert "@import" not in sheet
    assert "url(" not in sheet


def test_an_empty_sheet_says_so() -> None:
    assert "No picture reaches the threshold." in as_contact_sheet(report(), thumbnail).decode()
