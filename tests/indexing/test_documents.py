"""Web pages, Markdown, OpenDocument and IIIF collections; and what a curator chooses about a list."""

from __future__ import annotations

import html
import io
import json
import re
import time
import zipfile
from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import Workbook

from core.errors import UrlError
from core.indexing.readers.html import is_html, read_html, read_markdown
from core.indexing.readers.ods import MIME
from core.indexing.readers.text import count_urls, plain
from core.indexing.url_lists import (
    ListTable,
    read_pasted_document,
    read_table,
    tally,
    url_column,
    url_columns,
)

PAGE = """<!doctype html>
<html><head><title>Vases</title>
<base href="rooms/"><link rel="canonical" href="https://museum.example/en/vases">
<meta property="og:image" content="https://museum.example/share.jpg">
</head><body>
<figure><a href="full/1.jpg"><img src="s/1.jpg" srcset="m/1.jpg 480w, l/1.jpg 800w" alt="Vase"></a>
<figcaption>A <b>blue</b> vase</figcaption></figure>
<picture><source srcset="https://cdn.example/w_1,h_2/2.avif 1x, https://cdn.example/w_2,h_4/2.avif 2x">
<img src="data:image/gif;base64,R0lGOD" data-src="//cdn.example/2.jpg?x=1&amp;y=2" alt="Bowl"></picture>
<a href="/objects/3"><img src="my jug.jpg" alt="Jug"></a>
<div style="background-image: url('hall.png')" title="Hall"></div>
<p>Also https://museum.example/4.jpg?a=1&amp;b=2, and <a href="https://museum.example/5.png">a plate</a>.</p>
<img src="https://count.example/pixel.gif" width="1" height="1"><img src="data:image/png;base64,iVBORw0KGgo=">
<a href="https://museum.example/visit">Visit</a> <a href="https://wiki.example/File:Vase.jpg">Vase</a>
<script>var data = {"image": "https:\\/\\/museum.example\\/6.jpg"}</script>
</body></html>"""


def found(table: ListTable) -> list[str]:
    return [line.url or f"! {line.text}" for line in table.lines(url_columns(table))]


def test_a_page_gives_its_pictures_each_in_its_largest_size() -> None:
    table = read_table("saved.txt", PAGE.encode())
    assert [(row[0], row[1]) for row in table.rows if row[0]] == [
        ("https://museum.example/share.jpg", ""),
        ("https://museum.example/en/rooms/full/1.jpg", "A blue vase"),
        ("https://cdn.example/w_2,h_4/2.avif", "Bowl"),
        ("https://museum.example/en/rooms/my%20jug.jpg", "Jug"),
        ("https://museum.example/en/rooms/hall.png", "Hall"),
        ("https://museum.example/4.jpg?a=1&b=2", ""),
        ("https://museum.example/5.png", "a plate"),
    ]
    assert table.rows[2][3].split() == ["https://cdn.example/w_1,h_2/2.avif", "https://cdn.example/2.jpg?x=1&y=2"]
    assert table.rows[3][2] == "https://museum.example/objects/3"
    others = [row[4] for row in table.rows if row[4]]
    assert others[1:] == [
        "https://count.example/pixel.gif",
        "https://museum.example/visit",
        "https://wiki.example/File:Vase.jpg",
        "https://museum.example/6.jpg",
    ]
    assert table.notes == ["1 picture is within the page itself: save it as a file."]
    counted = tally(table.lines(url_column(table)), table.given())
    assert (counted.ready, counted.problems, counted.elsewhere) == (7, 0, 11)


def test_without_a_base_relative_urls_are_problems() -> None:
    table = read_table(
        "page.html", b'<html><img src="img.old/a.jpg"><img src="/b.jpg"><img src="//c.example/c.jpg"></html>'
    )
    assert found(table) == ["! ./img.old/a.jpg", "! /b.jpg", "https://c.example/c.jpg"]
    assert table.notes[0].startswith("2 URLs are relative, and the page does not say where it was saved from.")


@pytest.mark.parametrize(
    ("text", "is_page"),
    [
        ("<!-- saved --><!-- twice -->\n<HTML>", True),
        ('<?xml version="1.0"?><html xmlns="x">', True),
        ("<img src=a.jpg>", True),
        ("<https://museum.example/a.jpg>", False),
        ("https://museum.example/a.jpg", False),
        ("<imagine>", False),
        ("<!---->" * 700, False),
    ],
)
def test_pages_are_told_from_lists(text: str, is_page: bool) -> None:
    assert is_html(text) == is_page


def test_a_page_in_the_code_page_that_it_declares() -> None:
    page = '<html><meta charset="windows-1251"><img src="https://a.example/1.jpg" alt="Ваза"></html>'
    assert read_table("page.html", page.encode("cp1251")).rows[0][1] == "Ваза"


def test_markdown_is_read_as_the_page_that_it_makes() -> None:
    text = """# Vases

![A vase](https://a.example/v%20ü.jpg "old") and [a bowl](https://a.example/b.png), [visit](https://a.example/visit)

![jug][1] https://a.example/plain.jpg

| a | b |
|---|---|
| ![c](https://a.example/c.jpg) | ![d](d.jpg) |

[1]: https://a.example/1.jpg
"""
    table = read_table("vases.md", text.encode())
    assert [(row[0], row[1]) for row in table.rows] == [
        ("https://a.example/v%20ü.jpg", "A vase"),
        ("https://a.example/b.png", "a bowl"),
        ("https://a.example/1.jpg", "jug"),
        ("https://a.example/plain.jpg", ""),
        ("https://a.example/c.jpg", "c"),
        ("./d.jpg", "d"),
        ("", ""),
    ]
    assert table.rows[-1][4] == "https://a.example/visit"
    assert read_table("vases.txt", text.encode()).rows == table.rows, "known by its content, too"


@pytest.mark.parametrize(
    "text",
    [
        *("<div>" * 60_000, "<a href=x>" * 30_000, "<a " * 100_000, "<!--" * 75_000, "<figure>" * 40_000),
        *('<img srcset="' + "a, " * 100_000, '<img srcset="' + "a," * 150_000 + '">', "<picture>" * 33_000),
        *("<i style='url(" * 20_000, "<figure><figcaption>" * 15_000 + "<img src=a>", "<base href=" * 27_000),
        "<a href=a.jpg><img src=b.jpg>" * 10_000,
    ],
    ids=lambda text: text[:16],
)
def test_hostile_pages_take_time_by_their_length(text: str) -> None:
    begun = time.process_time()
    read_html(text)
    assert time.process_time() - begun < 15


@pytest.mark.parametrize(
    "text",
    ["![" * 50_000, "[a](" * 30_000, "> " * 50_000, "* " * 50_000, "`" * 50_001, "**a" * 30_000, "|a\n|-\n" * 10_000],
    ids=lambda text: text[:6],
)
def test_hostile_markdown_takes_time_by_its_length(text: str) -> None:
    begun = time.process_time()
    read_markdown(text)
    assert time.process_time() - begun < 15


PIECES = st.sampled_from(
    [
        *(
            '<img src="{}">',
            "<img srcset='{0} 1x, {0}?2 2x'>",
            '<a href="{}">',
            "</a>",
            "{}",
            " ",
            "<p>",
            "<!--",
            "-->",
        ),
        *(
            '<script>"{}"</script>',
            "<img data-src={} src=data:,>",
            "<base href={}>",
            "<picture>",
            "</picture>",
            ">",
            '"',
        ),
        *("![x]({})", "[x]: {}", "<{}>", "\n\n", "`", "|", "# ", "(", "&amp;", "<figure>", "<figcaption>", "</figure>"),
        *("-->", ">"),
    ]
)
ADDRESSES = st.sampled_from(
    [f"https://a.example/{name}" for name in ("1.jpg", "2.jpg", "page", "3.jpg?x=1&amp;y=2", "")]
)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(PIECES, ADDRESSES), max_size=10), st.sampled_from(["a.html", "a.md"]))
def test_each_url_of_a_page_is_in_some_column(pieces: list[tuple[str, str]], name: str) -> None:
    text = "<html>" * name.endswith("html") + "".join(
        piece.replace("{0}", "{}").replace("{}", url) for piece, url in pieces
    )
    if "://" not in text:
        return
    table = read_table(name, text.encode())
    lines = [line for column in range(len(table.columns)) for line in table.lines(column)]
    assert sum(count_urls(line.text) for line in lines) == table.given()
    cells = {url for row in table.rows for cell in row for url in cell.split("\n")}
    for start in re.finditer("https://a.example/[a-z0-9.]*", plain(text)):
        assert any(start[0] in cell for cell in cells)


LEAVES = st.sampled_from(["", "Vase", 7, None, True]) | ADDRESSES
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc"), inner, max_size=4)
)


def leaves(tree: Any) -> list[Any]:
    if isinstance(tree, dict | list):
        return [leaf for each in (tree.values() if isinstance(tree, dict) else tree) for leaf in leaves(each)]
    return [tree]


@settings(deadline=None, max_examples=200)
@given(st.lists(TREES, min_size=1, max_size=4), st.sampled_from(["document", "lines"]))
def test_each_url_of_json_is_in_some_column(trees: list[Any], form: str) -> None:
    given_urls = [plain(leaf) for tree in trees for leaf in leaves(tree) if isinstance(leaf, str) and "://" in leaf]
    if not given_urls:
        return
    text = json.dumps(trees) if form == "document" else "\n".join(json.dumps([tree]) for tree in trees)
    table = read_table("a.json", text.encode())
    lines = [line for column in range(len(table.columns)) for line in table.lines(column)]
    assert sum(count_urls(line.text) for line in lines) == len(given_urls)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(ADDRESSES, st.lists(ADDRESSES, max_size=3)), min_size=1, max_size=4))
def test_each_url_of_a_sitemap_is_in_some_column(entries: list[tuple[str, list[str]]]) -> None:
    items = [
        f"<url><loc>{page}</loc>"
        + "".join(f"<image:image><image:loc>{url}</image:loc></image:image>" for url in images)
        + "</url>"
        for page, images in entries
    ]
    table = read_table("a.xml", f"<urlset>{''.join(items)}</urlset>".encode())
    cells = {url for row in table.rows for cell in row for url in cell.split("\n")}
    assert {html.unescape(url) for page, images in entries for url in (page, *images)} <= cells


# OpenDocument


def ods(*sheets: tuple[str, str]) -> bytes:
    """A spreadsheet of these sheets, each a name and its rows as XML."""
    tables = "".join(f"<table:table table:name={quoteattr(name)}>{rows}</table:table>" for name, rows in sheets)
    spaces = " ".join(
        f'xmlns:{prefix}="urn:oasis:names:tc:opendocument:xmlns:{prefix}:1.0"'
        for prefix in ("office", "table", "text", "drawing")
    )
    content = (
        f'<?xml version="1.0"?><office:document-content {spaces} xmlns:draw="urn:d" xmlns:xlink="urn:x"><office:body>'
        f"<office:spreadsheet>{tables}</office:spreadsheet></office:body></office:document-content>"
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", MIME)
        archive.writestr("content.xml", content)
    return buffer.getvalue()


def row(*cells: str) -> str:
    return f"<table:table-row>{''.join(cells)}</table:table-row>"


def cell(text: str, attributes: str = "") -> str:
    return f"<table:table-cell {attributes}><text:p>{escape(text)}</text:p></table:table-cell>"


def test_an_open_document_sheet_with_links_formulas_notes_and_repeats() -> None:
    note = "<office:annotation><text:p>https://a.example/note</text:p></office:annotation>"
    link = "<text:p>See <text:a xlink:href='https://a.example/1.jpg'>this</text:a></text:p>"
    formula = "of:=HYPERLINK(&quot;https://a.example/&quot; &amp; [.C4];&quot;open&quot;)"
    rows = [
        "<table:table-row table:number-rows-repeated='2'><table:table-cell table:number-columns-repeated='9'/>"
        "</table:table-row>",
        row(cell("Title"), cell("Picture"), cell("No")),
        row(cell("Vase"), cell("open", f"table:formula='{formula}'"), cell("4.jpg")),
        row(cell("A<b"), f"<table:table-cell>{note}{link}</table:table-cell>"),
        row(cell("Bowl", "table:number-columns-repeated='2'"), cell("https://a.example/2.jpg")),
        "<table:table-row table:number-rows-repeated='1000000'><table:table-cell/></table:table-row>",
        row("<table:table-cell><text:p>one<text:s text:c='3'/>two</text:p><text:p>three</text:p></table:table-cell>"),
    ]
    table = read_table("list.csv", ods(("Vases", "".join(rows))))
    assert table.columns == ["Title", "Picture", "No"]
    assert table.rows == [
        ["Vase", "open", "4.jpg"],
        ["A<b", "See this", ""],
        ["Bowl", "Bowl", "https://a.example/2.jpg"],
        ["one   two\nthree", "", ""],
    ]
    assert [line.url for line in table.lines(1)][:2] == ["https://a.example/4.jpg", "https://a.example/1.jpg"]
    assert [line.number for line in table.lines(0)] == [4, 5, 6, 1_000_007]


def test_repeated_cells_of_an_open_document_take_no_memory() -> None:
    wide = row(cell("https://a.example/1.jpg", "table:number-columns-repeated='16384'"))
    deep = f"<table:table-row table:number-rows-repeated='1048576'>{cell('x')}</table:table-row>"
    table = read_table("list.ods", ods(("A", wide + deep)))
    assert len(table.columns) == 100
    assert len(table.rows) <= 1_001


@pytest.mark.parametrize(
    "data",
    [
        ods(("A", "<table:table-row>")),
        ods(("A", row(cell("https://a.example/1.jpg"))))[:-30],
        ods(("A", "")).replace(b"content.xml", b"conten2.xml"),
    ],
)
def test_broken_open_documents(data: bytes) -> None:
    with pytest.raises(UrlError):
        read_table("list.ods", data)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(st.tuples(ADDRESSES, ADDRESSES), min_size=1, max_size=3), min_size=1, max_size=5))
def test_each_url_of_an_open_document_is_in_some_column(rows: list[list[tuple[str, str]]]) -> None:
    given_rows = "".join(
        row(*(f"<table:table-cell><text:p>{text} <text:a xlink:href='{link}'>x</text:a></text:p></table:table-cell>"
              for text, link in cells))
        for cells in rows
    )  # fmt: skip
    table = read_table("list.ods", ods(("A", given_rows)))
    lines = [line for column in range(len(table.columns)) for line in table.lines(column)]
    assert sum(count_urls(line.text) for line in lines) == table.given()
    for text, link in (pair for cells in rows for pair in cells):
        assert any(plain(text) in line.text for line in lines)
        assert any(plain(link) in line.text for line in lines)


# IIIF collections


def test_a_collection_gives_what_it_names_itself() -> None:
    service = [{"id": "https://iiif.example/a", "type": "ImageService3", "profile": "level1"}]
    document = {
        "@context": "http://iiif.io/api/presentation/3/context.json",
        "type": "Collection",
        "label": {"en": ["All"]},
        "items": [
            {
                "type": "Manifest",
                "id": "https://a.example/1/manifest",
                "label": {"en": ["Vase"]},
                "thumbnail": [{"id": "https://iiif.example/a/full/90,/0/default.jpg", "service": service}],
            },
            {
                "type": "Collection",
                "label": {"en": ["Bowls"]},
                "items": [
                    {"type": "Manifest", "id": "https://a.example/2/manifest", "label": {"en": ["Bowl"]}},
                    {
                        "type": "Manifest",
                        "id": "https://a.example/3/manifest",
                        "label": {"en": ["Dish"]},
                        "thumbnail": [{"id": "https://a.example/3.jpg", "type": "Image"}],
                    },
                ],
            },
        ],
    }
    table = read_table("collection.json", json.dumps(document).encode())
    assert table.columns == ["Image", "Title", "Collection", "Manifest URL"]
    assert table.rows == [
        ["https://iiif.example/a/full/!1024,1024/0/default.jpg", "Vase", "All", "https://a.example/1/manifest"],
        ["", "Bowl", "All / Bowls", "https://a.example/2/manifest"],
        ["https://a.example/3.jpg", "Dish", "All / Bowls", "https://a.example/3/manifest"],
    ]
    assert url_column(table) == 0
    assert table.notes == [
        "Of 2 objects in this IIIF collection, one image each is named here. "
        "For all images of an object, give its own manifest.",
        "1 object without an image here. For those, give their own manifests.",
    ]


def test_a_collection_without_images_says_what_to_give() -> None:
    document = {
        "@context": "http://iiif.io/api/presentation/2/context.json",
        "@type": "sc:Collection",
        "manifests": [{"@id": f"https://a.example/{number}", "@type": "sc:Manifest"} for number in range(3)],
    }
    for read in (lambda text: read_table("c.json", text.encode()), read_pasted_document):
        with pytest.raises(UrlError, match=r"^This IIIF collection names 3 objects, but no images"):
            read(json.dumps(document))


# What is chosen


def test_a_pasted_page_is_a_table_and_other_text_is_none() -> None:
    table = read_pasted_document(PAGE)
    assert table is not None and table.rows == read_table("page.html", PAGE.encode()).rows
    for text in ("https://a.example/1.jpg", '<img src="https://a.example/1.jpg">', '["https://a.example/1.jpg"]', ""):
        assert read_pasted_document(text) is None


def test_several_columns_are_read_row_by_row() -> None:
    rows = ["Object,Image 1,Image 2,Image 3,Thumbnail 1"]
    rows += [f"{n},https://a.example/{n}a.jpg,https://a.example/{n}b.jpg,,https://a.example/t{n}.jpg" for n in range(4)]
    table = read_table("list.csv", "\n".join(rows).encode())
    assert [table.columns[column] for column in url_columns(table)] == ["Image 1", "Image 2"]
    lines = table.lines(url_columns(table), title=0)
    assert [line.url for line in lines[:3]] == [f"https://a.example/{name}.jpg" for name in ("0a", "0b", "1a")]
    assert [line.metadata.title for line in lines[:3]] == ["0", "0", "1"]
    assert tally(lines, table.given()).sentence == "12 URLs found: 8 ready, 4 in other columns."


@pytest.mark.parametrize("names", [["Image", "Image URL"], ["page", "image"], ["", ""]])
def test_columns_of_other_names_are_left_to_the_curator(names: Sequence[str]) -> None:
    data = ",".join(names) + "\n" + "\n".join(f"https://a.example/{n},https://a.example/{n}.jpg" for n in range(3))
    assert len(url_columns(read_table("list.csv", data.encode()))) == 1


def test_the_code_page_can_be_chosen_and_each_shows_how_it_reads() -> None:
    data = "Title;Image\nDzbanek z Łodzi, błękitny;https://a.example/1.jpg\n".encode("cp1250")
    table = read_table("list.csv", data)
    by_name = {reading.encoding: reading for reading in table.readings}
    assert table.readings[0].encoding == "cp1250"
    assert by_name["cp1250"].sample.startswith("Dzbanek z Łodzi")
    assert by_name["cp1250"].language == "Central European"
    assert len({reading.sample for reading in table.readings}) == len(table.readings) > 1
    for reading in table.readings:
        chosen = read_table("list.csv", data, reading.encoding)
        assert chosen.frame["Title"][2] == reading.sample.split(";")[0]


@pytest.mark.parametrize(
    "data",
    ["Größe".encode(), "Größe".encode("utf-16"), b"https://a.example", '<?xml encoding="cp1252"?>ü'.encode("cp1252")],
)
def test_there_is_no_choice_where_the_encoding_is_certain(data: bytes) -> None:
    assert read_table("list.csv", data).readings == []


def test_sheets_can_be_chosen() -> None:
    book = Workbook()
    del book["Sheet"]
    for title, urls in (("About", []), ("Old", ["https://a.example/1.jpg"]), ("New", ["https://a.example/2.jpg"])):
        sheet = book.create_sheet(title)
        for text in ("Picture", *urls):
            sheet.append([text])
    buffer = io.BytesIO()
    book.save(buffer)
    table = read_table("list.xlsx", buffer.getvalue())
    assert (table.sheets, len(found(table))) == (["Old", "New"], 2)
    chosen = read_table("list.xlsx", buffer.getvalue(), sheets=["New"])
    assert (chosen.sheets, found(chosen)) == (["Old", "New"], ["https://a.example/2.jpg"])


# Exports of web databases


def test_attachments_as_airtable_writes_them() -> None:
    one = "vase (1).jpg (https://v5.airtableusercontent.example/v3/u/1/a/vase%20(1).jpg)"
    two = "bowl, old.jpg (https://v5.airtableusercontent.example/v3/u/2/b/bowl.jpg?x=1)"
    table = read_table("Grid view.csv", f'\ufeffName,Photos,Notes\nVase,"{one},{two}",x\nJug,,y\n'.encode())
    assert found(table) == [
        "https://v5.airtableusercontent.example/v3/u/1/a/vase%20(1).jpg",
        "https://v5.airtableusercontent.example/v3/u/2/b/bowl.jpg?x=1",
    ]


def test_a_sheet_that_google_published_as_a_page() -> None:
    body = "".join(
        f"<tr><th>{n}</th><td>Vase {n}</td><td><div><img src='https://lh7.example/{n}=w100-h100'/></div></td></tr>"
        for n in range(3)
    )
    table = read_table("Sheet1.html", f"<html><body><table class='waffle'>{body}</table></body></html>".encode())
    assert found(table) == [f"https://lh7.example/{n}=w100-h100" for n in range(3)]
