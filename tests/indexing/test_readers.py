"""Lists in every format: what a curator gave is ready, repeated or told, whatever it was written in."""

from __future__ import annotations

import io
import json
import random
import time
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import Workbook

from core.indexing.readers.encoding import decoded
from core.indexing.readers.json import parse
from core.indexing.readers.text import count_urls, plain
from core.indexing.readers.xml import read_xml
from core.indexing.url_lists import read_lines, read_pasted_document, read_table, tally, url_column
from core.media.urls import MAX_LENGTH

URLS = [f"https://pictures.example.org/{number}/vase.jpg" for number in range(40)]


def urls(text: str) -> list[str]:
    return [line.url or f"! {line.text}" for line in read_lines(text)]


def in_column(name: str, data: bytes) -> list[str]:
    table = read_table(name, data)
    return [line.url or f"! {line.text}" for line in table.lines(url_column(table))]


# Text


@pytest.mark.parametrize("before", ["", "[", "urls: ", "\ufeff"])
@pytest.mark.parametrize(
    "pattern", ['"{}"', "'{}'", "<{}>", "({})", "“{}”", "„{}“", "«{}»", "`{}`", "[{}]", "{{{}}}", '{{"u":"{}","n":1}}']
)
@pytest.mark.parametrize("between", ["", ",", ";", "|", ", ", " ", "\t"])
def test_urls_in_a_single_line_are_told_apart(before: str, pattern: str, between: str) -> None:
    assert urls(before + between.join(map(pattern.format, URLS))) == URLS


@pytest.mark.parametrize("between", [",", ";", "|", ";;", " | ", ",\u200b"])
def test_urls_without_anything_around_them(between: str) -> None:
    assert urls(between.join(URLS)) == URLS


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://a.example/x.jpg?b=1&amp;c=2", "https://a.example/x.jpg?b=1&c=2"),
        ("https://a.example/x.jpg?b=1&amp;amp;c=2", "https://a.example/x.jpg?b=1&c=2"),
        ("https://a.example/x.jpg?b=1&#38;c=2&#x26;d=3", "https://a.example/x.jpg?b=1&c=2&d=3"),
        ("https://a.example/x.jpg?b=1&copy=2&reg=3", "https://a.example/x.jpg?b=1&copy=2&reg=3"),
        (r"https:\/\/a.example\/x.jpg", "https://a.example/x.jpg"),
        (r'{"src":"https:\/\/a.example\/x.jpg?b=1\u0026c=2"}', "https://a.example/x.jpg?b=1&c=2"),
        ("&lt;img src=&quot;https://a.example/x.jpg&quot;&gt;", "https://a.example/x.jpg"),
        ("https://a.exam\u200bple/x\u2060y\u00ad.jpg", "https://a.example/xy.jpg"),
        ("https://a.example/\u0645\u06cc\u200c\u062e.jpg", "https://a.example/%D9%85%DB%8C%E2%80%8C%D8%AE.jpg"),
        ("(see https://a.example/A_(b).jpg)", "https://a.example/A_(b).jpg"),
        ("it's 'https://a.example/it's.jpg'", "https://a.example/it's.jpg"),
        ("Vase:https://a.example/x.jpg", "https://a.example/x.jpg"),
        ("https://proxy.example/?url=https://a.example/x.jpg", "https://proxy.example/?url=https://a.example/x.jpg"),
    ],
)
def test_what_was_copied_out_of_other_programs(text: str, url: str) -> None:
    assert urls(text) == [url]


def test_a_url_in_a_line_that_is_left_out_is_told() -> None:
    lines = read_lines(f"# a comment\n# {URLS[0]}\n{URLS[1]}\n{URLS[1]}\nnothing")
    assert [line.problem for line in lines][:1] == ["This line begins with #, so it is left out."]
    assert tally(lines).sentence == "4 URLs found: 1 ready, 1 repeated, 2 problems."
    assert tally(read_lines(URLS[0])).sentence == "1 URL found: 1 ready."


@pytest.mark.parametrize(
    "text",
    [
        "http://a" + ")" * 300_000,
        "http://a" + "," * 300_000,
        "http://a " * 50_000,
        "<http://a " * 50_000,
        '"http://a ' * 50_000,
        "(http://a(" * 50_000,
        "](" * 100_000 + "http://a",
        ".jpg?" * 60_000 + " x http://a",
        "http://a/" + ".jpg?" * 60_000 + " x",
        "a." * 100_000 + " http://a",
        "www." * 80_000 + " http://a",
        "href = " * 50_000 + "http://a",
        "&amp;" * 60_000 + "http://a",
        "http://a,'" * 40_000,
    ],
    ids=lambda text: text[:12],
)
def test_hostile_text_takes_time_by_its_length(text: str) -> None:
    """Seconds of CPU for 300,000 characters; what was quadratic took from 40 to hundreds."""
    begun = time.process_time()
    lines = read_lines(text)
    assert time.process_time() - begun < 15
    assert sum(count_urls(line.text) for line in lines) == count_urls(plain(text))


# CSV


def test_a_quotation_mark_that_is_never_closed_loses_nothing_and_is_named() -> None:
    rows = ["id,title,image", *(f"{number},Vase {number},{url}" for number, url in enumerate(URLS))]
    for stray in (1, 7, 38):
        broken = [*rows]
        broken[stray + 1] = f'{stray},"Vase (blue),{URLS[stray]}'
        table = read_table("list.csv", "\r\n".join(broken).encode())
        assert in_column("list.csv", "\r\n".join(broken).encode()) == URLS
        assert table.notes == (
            [f"Row {stray + 2}: an opening quotation mark has no closing one, so it counts as part of the text."]
        )
        assert table.rows[stray] == [str(stray), '"Vase (blue)', URLS[stray]]


def test_a_stray_quotation_mark_that_a_later_one_closes_swallows_no_row() -> None:
    rows = ["id,title,image", *(f"{number},Vase {number},{url}" for number, url in enumerate(URLS))]
    rows[10], rows[20] = f'9,"Round,{URLS[9]}', f'19,Tall 5",{URLS[19]}'
    data = "\n".join(rows).encode()
    assert in_column("list.csv", data) == URLS
    assert len(read_table("list.csv", data).notes) == 1


def test_inches_and_lines_in_cells_are_no_mistakes() -> None:
    text = f'title,image\n5" nail,{URLS[0]}\n"Round,\n5"" wide",{URLS[1]}\n"a ""b""",{URLS[2]}\n'
    table = read_table("list.csv", text.encode())
    assert table.frame["title"].to_list() == ['5" nail', 'Round,\n5" wide', 'a "b"']
    assert in_column("list.csv", text.encode()) == URLS[:3]


@pytest.mark.parametrize("head", ["", "image\n", "id,image\n", "id,image,title\n"])
@pytest.mark.parametrize(
    "form",
    [
        "https://res.cloudinary.example/demo/image/upload/c_fill,g_auto,w_300/v1/{}.png",
        "https://static.wix.example/media/{}.jpg/v1/fill/w_30,h_17,al_c,q_90/file.jpg",
        "https://iiif.example.org/{}/pct:10,20,30,40/600,/0/default.jpg",
        "https://iiif.example.org/{}/0,0,512,512/!200,200/0/default.jpg",
    ],
)
def test_commas_of_urls_cut_nothing(head: str, form: str) -> None:
    wanted = [form.format(number) for number in range(12)]
    before, behind = "7," if "id" in head else "", ",A vase" if "title" in head else ""
    data = (head + "\n".join(f"{before}{url}{behind}" for url in wanted)).encode()
    assert in_column("list.csv", data) == wanted


def test_a_path_beside_a_url_stays_a_cell() -> None:
    data = "\n".join(f"{url},files/{number}.jpg" for number, url in enumerate(URLS)).encode()
    assert in_column("list.csv", data) == URLS
    assert read_table("list.csv", data).columns == ["Column 1", "Column 2"]


def test_headings_above_the_names_and_the_delimiter_that_excel_writes() -> None:
    text = (
        f"SEP=;\r\nOur vases;;\r\nAs of May;2026;\r\n;;\r\nNo;Title;Picture\r\n1;Vase;{URLS[0]}\r\n2;Bowl;{URLS[1]}\r\n"
    )
    table = read_table("list.csv", text.encode())
    assert table.columns == ["No", "Title", "Picture"]
    assert [line.number for line in table.lines(2)] == [6, 7]


def test_the_column_of_pictures_is_told_from_that_of_records_and_thumbnails() -> None:
    rows = ["Record,Thumbnail,Image"]
    for number in range(30):
        image = f"https://a.example/{number}.jpg" if number % 3 else ""
        rows.append(f"https://a.example/record/{number},https://a.example/s/{number}.jpg,{image}")
    table = read_table("list.csv", "\n".join(rows).encode())
    assert table.columns[url_column(table)] == "Image"
    assert tally(table.lines(2), table.given()).sentence == "80 URLs found: 20 ready, 60 in other columns."


@pytest.mark.parametrize(
    ("encoding", "title"),
    [
        ("cp1250", "Příliš žluťoučký"),
        ("cp1250", "Dzbanek z Łodzi, błękitny"),
        ("cp1250", "Őszi kép, tűz"),
        ("cp1251", "Портрет неизвестной"),
        ("cp1252", "Größe – naïve Œuvre"),
        ("cp1252", "Corações de São João"),
        ("cp1253", "Πήλινο αγγείο"),
        ("cp1254", "Işıklı şişe, çağdaş"),
        ("cp932", "浮世絵の女"),
        ("gb18030", "清代山水画"),
        ("big5", "清代山水畫"),
        ("cp949", "조선 시대 그림"),
        ("koi8_r", "Портрет неизвестной"),
        ("mac_roman", "Überraschung"),
    ],
)
def test_old_code_pages(encoding: str, title: str) -> None:
    rows = "".join(f"{number};{title};{url}\r\n" for number, url in enumerate(URLS[:3]))
    table = read_table("list.csv", f"No;Title;Image\r\n{rows}".encode(encoding))
    assert table.frame["Title"].to_list() == [title] * 3


@given(st.binary(max_size=200))
def test_any_bytes_are_text_or_none(data: bytes) -> None:
    assert isinstance(decoded(data), str | None)


def test_very_wide_rows_stay_bounded() -> None:
    data = (",".join(["x"] * 50_000 + [URLS[0]]) + "\n" + "1,2\n" * 1_000).encode()
    table = read_table("list.csv", data)
    assert len(table.columns) == 100
    assert [line.url for line in table.lines(99) if line.url] == [URLS[0]]


# Excel


def workbook(*sheets: tuple[str, Sequence[Sequence[object]]]) -> Workbook:
    book = Workbook()
    del book["Sheet"]
    for title, rows in sheets:
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(list(row))
    return book


def saved(book: Workbook) -> bytes:
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def test_links_behind_cells_are_taken_and_what_the_cells_show_stays() -> None:
    book = workbook(("Vases", [["Title", "Picture"], *([f"Vase {number}", "open"] for number in range(4))]))
    sheet = book["Vases"]
    for number in range(4):
        sheet.cell(number + 2, 1).hyperlink = f"https://a.example/record/{number}"
    sheet["B2"].hyperlink = URLS[0]
    sheet["B3"] = f'=HYPERLINK("{URLS[1]}", "open")'
    sheet["B4"] = f'=_xlfn.IMAGE("{URLS[2]}", "a vase")'
    sheet["B5"] = '=HYPERLINK("https://pictures.example.org/" & C5 & "/vase.jpg")'
    sheet["C5"] = 3
    sheet["B6"] = '=HYPERLINK(IF(A1="", "https://pictures.example.org/4/vase.jpg", ""))'
    table = read_table("list.xlsx", saved(book))
    assert table.columns[:2] == ["Title", "Picture"]
    assert url_column(table) == 1
    lines = table.lines(1, [0], 0)
    assert [line.url for line in lines[:4]] == URLS[:4]
    assert [line.metadata.title for line in lines[:4]] == [f"Vase {number}" for number in range(4)]
    assert "pictures.example.org/4/" in lines[4].text
    assert sum(count_urls(line.text) for line in lines) + 4 == table.given()


def test_all_sheets_with_urls_are_one_table() -> None:
    rows: list[list[object]] = [["No", "Picture"], *([number, url] for number, url in enumerate(URLS))]
    book = workbook(
        ("About", [["Our vases"], ["of May"]]),
        ("Ground floor", rows[:11]),
        ("Roof", [["Picture", "Note"], *([url, "dry"] for url in URLS[10:])]),
        ("Rules", [["See https://a.example/rules"]]),
    )
    table = read_table("list.xlsx", saved(book))
    assert table.columns == ["Sheet", "No", "Picture", "Note", "Column 1"]
    assert in_column("list.xlsx", saved(book)) == URLS
    assert table.frame["Sheet"].to_list() == ["Ground floor"] * 10 + ["Roof"] * 30 + ["Rules"]
    assert tally(table.lines(2), table.given()).elsewhere == 1


def test_a_cell_far_below_and_a_link_over_a_column_take_no_memory() -> None:
    book = workbook(("Vases", [["Picture"], [URLS[0]]]))
    book["Vases"].cell(1_048_000, 1, URLS[1])
    book["Vases"]["A2"].hyperlink = URLS[2]
    book["Vases"]["A2"].hyperlink.ref = "A2:ZZ1048576"
    table = read_table("list.xlsx", saved(book))
    lines = table.lines(0)
    assert len(table.frame) <= 1_100
    assert {line.url for line in lines} == set(URLS[:3])
    assert next(line.number for line in lines if line.url == URLS[1]) == 1_048_000


# The count


WORDS = st.sampled_from(
    [
        *(*URLS[:3], "http://b.example", "www.c.example/d.jpg", "https://b.example/a b.jpg", "https:\\/\\/e.example"),
        *(" ", ",", ";", "|", '"', "'", "(", ")", "<", ">", "[", "]", "{", "}", "#", "\t", "\\/", "&amp;"),
        *("\u200b", "“", "”", "Vase", "=", ":"),
    ]
)


@settings(deadline=None, max_examples=400)
@given(st.lists(WORDS, max_size=14).map("".join))
def test_each_url_of_a_paste_is_ready_repeated_or_told(text: str) -> None:
    lines = read_lines(text)
    assert sum(count_urls(line.text) for line in lines) == sum(count_urls(plain(line)) for line in text.splitlines())
    counted = tally(lines, sum(count_urls(plain(line)) for line in text.splitlines()))
    assert counted.ready + counted.repeated + counted.problems == len(lines)
    assert counted.elsewhere == 0
    for line in lines:
        assert line.url is None or len(line.url) <= MAX_LENGTH * 9


CELLS = st.lists(st.lists(WORDS, max_size=4).map("".join), min_size=1, max_size=4)


@settings(deadline=None, max_examples=300)
@given(
    st.lists(CELLS, min_size=1, max_size=8),
    st.sampled_from(",;\t|"),
    st.sampled_from(["list.csv", "list.txt", "list.tsv"]),
)
def test_each_url_of_any_text_file_is_in_some_column_or_told(rows: list[list[str]], delimiter: str, name: str) -> None:
    text = "\n".join(delimiter.join(row) for row in rows)
    if "://" not in plain(text) or not text.strip():
        return
    table = read_table(name, text.encode())
    lines = [line for column in range(len(table.columns)) for line in table.lines(column)]
    held = sum(count_urls(line.text) for line in lines)
    assert held == table.given() == count_urls(plain(text).replace("\n", " "))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.lists(st.lists(WORDS, max_size=3).map("".join), min_size=1, max_size=3), min_size=1, max_size=5))
def test_each_url_of_a_workbook_is_in_some_column_or_told(rows: list[list[str]]) -> None:
    given_cells = [[cell if not cell.startswith("=") else f" {cell}" for cell in row] for row in rows]
    if not any("://" in cell for row in given_cells for cell in row):
        return
    table = read_table("list.xlsx", saved(workbook(("One", [list(row) for row in given_cells]))))
    lines = [line for column in range(len(table.columns)) for line in table.lines(column)]
    wanted = sum(count_urls(plain(cell)) for row in given_cells for cell in row)
    assert sum(count_urls(line.text) for line in lines) == table.given() == wanted


def test_a_hundred_thousand_rows_in_random_order_are_all_there() -> None:
    numbers = list(range(100_000))
    random.Random(4).shuffle(numbers)
    data = "No;Image\n" + "".join(f"{number};https://a.example/{number}.jpg\n" for number in numbers)
    lines = read_table("list.csv", data.encode()).lines(1)
    assert [line.url for line in lines] == [f"https://a.example/{number}.jpg" for number in numbers]


# JSON, IIIF, sitemaps and feeds


def test_json_of_any_shape_is_a_table() -> None:
    records = [
        {"id": number, "image": {"url": url, "tags": ["a", "b"]}, "page": None} for number, url in enumerate(URLS)
    ]
    shapes = [
        json.dumps(URLS),
        json.dumps(records),
        json.dumps({"next": None, "data": {"items": records}}, indent=2),
        "\n".join(map(json.dumps, records)) + "\n",
        json.dumps(records).replace("/", "\\/"),
    ]
    for text in shapes:
        assert in_column("export.json", text.encode()) == URLS
    table = read_table("export.json", shapes[1].encode())
    assert table.columns == ["id", "image.url", "image.tags"]
    assert table.rows[2] == ["2", URLS[2], "a\nb"]


def test_a_url_outside_of_the_list_in_json_is_counted() -> None:
    text = json.dumps({"next": "https://a.example/?page=2", "records": [{"image": url} for url in URLS]})
    table = read_table("export.json", text.encode())
    assert tally(table.lines(0), table.given()).sentence == "41 URLs found: 40 ready, 1 in other columns."


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(URLS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", max_size=2), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None, max_examples=200)
@given(st.lists(JSON, min_size=1, max_size=4) | st.dictionaries(st.text("abc", max_size=2), JSON, min_size=1))
def test_each_url_of_any_json_is_in_some_column(document: object) -> None:
    text = json.dumps(document)
    if "://" not in text:
        return
    table = read_table("any.json", text.encode())
    lines = [line for column in range(len(table.columns)) for line in table.lines(column)]
    assert sum(count_urls(line.text) for line in lines) == table.given() == count_urls(plain(text))


def test_urls_that_are_keys_in_json_are_found() -> None:
    text = json.dumps({url: {"title": "Vase"} for url in URLS}, indent=1)
    table = read_table("map.json", text.encode())
    found = [line.url for column in range(len(table.columns)) for line in table.lines(column)]
    assert [url for url in found if url] == URLS


def test_json_that_would_fill_the_memory_is_text() -> None:
    assert parse("[" * 100_000 + "]" * 100_000) is None
    assert parse("[" + "[]," * 3_000_000 + "[]]") is None


def test_manifests_give_their_images_and_nothing_else() -> None:
    service = {"id": "https://iiif.example/x", "type": "ImageService3", "profile": "level2"}
    body = {"id": "https://iiif.example/x/full/max/0/default.jpg", "type": "Image", "service": [service]}
    painting = {"type": "Annotation", "motivation": "painting", "body": body, "target": "https://a.example/canvas/1"}
    plain_one = {**painting, "body": {"id": URLS[0], "type": "Image"}}
    three = {
        "@context": "http://iiif.io/api/presentation/3/context.json",
        "id": "https://a.example/manifest",
        "label": {"de": ["Vasen"], "en": ["Vases"]},
        "metadata": [{"label": {"en": ["Maker"]}, "value": {"none": ["A", "B"]}}],
        "items": [
            {"id": "https://a.example/canvas/1", "label": {"none": ["Front"]}, "items": [{"items": [painting]}]},
            {"id": "https://a.example/canvas/2", "label": {"none": ["Back"]}, "items": [{"items": [plain_one]}]},
        ],
    }
    table = read_table("manifest.json", json.dumps(three).encode())
    assert table.columns == ["Image", "Title", "Manifest", "Maker"]
    assert table.rows == [
        ["https://iiif.example/x/full/!1024,1024/0/default.jpg", "Front", "Vases", "A; B"],
        [URLS[0], "Back", "Vases", "A; B"],
    ]
    old = {"@id": "https://iiif.example/y", "@context": "http://iiif.io/api/image/2/context.json", "profile": "x"}
    two = {
        "@context": "http://iiif.io/api/presentation/2/context.json",
        "label": "Vases",
        "sequences": [
            {"canvases": [{"label": "p. 1", "images": [{"resource": {"@id": URLS[1], "service": old}}]}]},
        ],
    }
    assert in_column("m.json", json.dumps(two).encode()) == ["https://iiif.example/y/full/!1024,1024/0/default.jpg"]
    pasted = read_pasted_document(json.dumps(three))
    assert pasted is not None and pasted.rows == table.rows
    assert in_column("info.json", json.dumps(old).encode()) == ["https://iiif.example/y/full/!1024,1024/0/default.jpg"]


SITEMAP = f"""<?xml version="1.0" encoding="ISO-8859-1"?>
<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:image="http://www.google.com/schemas/sitemap-image/1.1">
<url><loc>https://a.example/1</loc><image:image><image:loc>{URLS[0]}?a=1&amp;b=2</image:loc><image:title>Krüge</image:title>
</image:image><image:image><image:loc>{URLS[1]}</image:loc></image:image></url>
<url><loc>https://a.example/2</loc></url></urlset>"""

FEED = f"""<rss version="2.0" xmlns:media="http://search.yahoo.com/mrss/"><channel><title>Vases</title>
<item><title>One</title><link>https://a.example/1</link><enclosure url="{URLS[0]}" type="image/jpeg"/></item>
<item><title>Two</title><media:content url="{URLS[1]}" medium="image"/><media:thumbnail url="{URLS[2]}"/></item>
<item><title>Talk</title><enclosure url="https://a.example/talk.mp3" type="audio/mpeg"/></item></channel></rss>"""


def test_sitemaps_and_feeds_give_their_images() -> None:
    table = read_table("sitemap.xml", SITEMAP.encode("latin-1"))
    assert table.rows == [
        [f"{URLS[0]}?a=1&b=2", "Krüge", "https://a.example/1"],
        [URLS[1], "", "https://a.example/1"],
        ["", "", "https://a.example/2"],
    ]
    assert [line.url for line in table.lines(0)] == [f"{URLS[0]}?a=1&b=2", URLS[1]]
    feed = read_table("feed.xml", FEED.encode())
    assert [(row[0], row[1]) for row in feed.rows] == [(URLS[0], "One"), (URLS[1], "Two"), ("", "Talk")]


def test_xml_that_grows_or_breaks_is_text() -> None:
    entities = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>'
    assert read_xml(f'<?xml version="1.0"?>{entities}<urlset><url><loc>&b;</loc></url></urlset>') is None
    assert in_column("sitemap.xml", SITEMAP[:-40].encode()) != []
