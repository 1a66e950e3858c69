from __future__ import annotations

import io
import re
import time
import zipfile
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from openpyxl import Workbook

from core.errors import UrlError
from core.indexing.readers import xlsx
from core.indexing.url_lists import ListedUrl, read_lines, read_table, url_column
from core.media import urls
from core.media.urls import MAX_LENGTH, clean, identity, key_of

NOT_AN_ADDRESS = "This is not a web address. Web addresses start with https:// or http://."
NO_SITE = "This URL has an invalid site name: check it."
BAD_PORT = "This URL has an invalid port: check it."
SPACE = "This URL contains a space. Write it as %20, or put each URL on its own line."
SECRET = "This URL contains a user name or password, which others would see. Remove it."


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/a.jpg",
        "http://example.com",
        "http://example.com:8080/a",
        "https://example.com/a%20b/%C3%A4%2Fc.jpg?sig=a%2bB%3D&e=1&a=0#view",
        "https://iiif.example.org/iiif/2/abc%2Fdef/full/!200,200/0/default.jpg",
        "https://example.com//a//b/../c",
        "https://xn--bcher-kva.example/x",
        "http://192.168.0.10/a.jpg",
        "http://[2a00:1450::1]:8080/a.jpg",
        "http://intranet/a.jpg",
        "https://my_bucket.example.com/a.jpg",
        "https://example.com./a.jpg",
        "https://example.com/?a=b;c=d,e&f[]=1".replace("[]", "%5B%5D"),
    ],
)
def test_a_good_address_stays_as_it_is(url: str) -> None:
    assert clean(url) == url


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("  https://example.com/a.jpg\n", "https://example.com/a.jpg"),
        ("\ufeffhttps://example.com/a.jpg\u200b", "https://example.com/a.jpg"),
        ("HTTPS://Example.COM/A.jpg", "https://example.com/A.jpg"),
        ("example.com/a.jpg", "https://example.com/a.jpg"),
        ("example.com:8080/a.jpg", "https://example.com:8080/a.jpg"),
        ("www.example.com", "https://www.example.com"),
        ("//cdn.example.com/a.jpg", "https://cdn.example.com/a.jpg"),
        ("https://bücher.example/ä.jpg?q=ü", "https://xn--bcher-kva.example/%C3%A4.jpg?q=%C3%BC"),
        ("bücher.example/ä.jpg", "https://xn--bcher-kva.example/%C3%A4.jpg"),
        ("https://example.com/a|b[1].jpg", "https://example.com/a%7Cb%5B1%5D.jpg"),
        ("https://example.com/100%.jpg", "https://example.com/100%25.jpg"),
        ("https://example.com\\a\\b.jpg", "https://example.com/a/b.jpg"),
        ("http://１２７.0.0.1/", "http://127.0.0.1/"),
        ("https://example.com?a=b", "https://example.com/?a=b"),
    ],
)
def test_what_people_paste_is_made_fetchable(text: str, url: str) -> None:
    assert clean(text) == url
    assert clean(url) == url


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "There is no URL here."),
        (" \u200b ", "There is no URL here."),
        ("castle", NOT_AN_ADDRESS),
        ("a red dress", NOT_AN_ADDRESS),
        ("Mr.Smith", NOT_AN_ADDRESS),
        ("and/or", NOT_AN_ADDRESS),
        ("12.5/20", NOT_AN_ADDRESS),
        ("castle.jpg", NOT_AN_ADDRESS),
        ("https:example.com", NOT_AN_ADDRESS),
        ("mailto:me@example.com", NOT_AN_ADDRESS),
        ("javascript:alert(1)", NOT_AN_ADDRESS),
        (
            "ftp://example.com/a.jpg",
            "Pictures cannot be fetched with ftp. Use an address that starts with https:// or http://.",
        ),
        ("file:///home/me/a.jpg", "This is a file on a computer, not a URL on the web."),
        ("C:\\Pictures\\a.jpg", "This is a file on a computer, not a URL on the web."),
        (
            "data:image/png;base64,AAAA",
            "This is a data: URL, the picture itself. Save it, and drop the file instead.",
        ),
        ("https://me:secret@example.com/a.jpg", SECRET),
        ("https://me@example.com/a.jpg", SECRET),
        ("https://example.com/my photo.jpg", SPACE),
        ("https://exa mple.com/", SPACE),
        ("https://example.com/a\u00a0b.jpg", SPACE),
        ("https://exam\x00ple.com/", SPACE),
        ("https://example.com/a\tb", SPACE),
        ("https://", "This URL names no site: check it."),
        ("https:///a.jpg", "This URL names no site: check it."),
        ("https://:80/a.jpg", "This URL names no site: check it."),
        ("https://example.com:99999/", BAD_PORT),
        ("https://example.com:port/", BAD_PORT),
        ("https://example.com:0/", BAD_PORT),
        ("https://exa..mple.com/", NO_SITE),
        ("https://exa<mple.com/", NO_SITE),
        (f"https://{'a' * 64}.com/", NO_SITE),
        (f"https://{'a.' * 130}com/", NO_SITE),
        ("https://[::1/", NO_SITE),
        ("https://[fe80::1%25eth0]/", NO_SITE),
        (
            "https://example.com/" + "a" * MAX_LENGTH,
            "This URL is longer than 4,096 characters, so no site would accept it.",
        ),
    ],
)
def test_what_is_no_address_gets_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(UrlError) as caught:
        clean(text)
    assert str(caught.value) == sentence


@settings(deadline=None)
@given(st.text(max_size=60) | st.text("htps:/w.ax@[]%#?&=0\\ ü", max_size=30).map("http://".__add__))
def test_any_text_is_an_address_for_ever_or_an_error(text: str) -> None:
    try:
        url = clean(text)
    except UrlError:
        return
    assert url.isascii()
    assert url.isprintable()
    assert clean(url) == url
    assert len(key_of(url)) == 32


@pytest.mark.parametrize(
    "same",
    [
        "HTTPS://Example.com/a.jpg?b=2&a=1",
        "https://example.com:443/a.jpg?b=2&a=1",
        "https://example.com./a.jpg?b=2&a=1",
        "https://example.com/a.jpg?a=1&b=2",
        "https://example.com/x/../a.jpg?b=2&a=1",
        "https://example.com/%61.jpg?b=2&a=1",
        "https://example.com/a.jpg?b=2&a=1#top",
        "https://example.com/a.jpg?b=2&utm_source=mail&a=1&utm_medium=x&fbclid=1&gclid=2&mc_eid=3&igshid=4",
    ],
)
def test_two_ways_to_write_one_address_have_one_key(same: str) -> None:
    assert key_of(clean(same)) == key_of("https://example.com/a.jpg?b=2&a=1")


@pytest.mark.parametrize(
    "other",
    [
        "http://example.com/a.jpg",
        "https://example.com:8443/a.jpg",
        "https://example.com/A.jpg",
        "https://example.com/a.jpg?v=2",
        "https://example.com/a.jpg?utm=1",
        "https://example.com//a.jpg",
        "https://example.com/a.jpg/",
        "https://www.example.com/a.jpg",
    ],
)
def test_other_addresses_have_other_keys(other: str) -> None:
    assert key_of(clean(other)) != key_of("https://example.com/a.jpg")


@pytest.mark.parametrize("escaped", ["https://example.com/a%2Fb", "https://example.com/?u=http%3A%2F%2Fa.example%2Fb"])
def test_an_escaped_slash_is_not_a_slash_in_a_path(escaped: str) -> None:
    assert identity(escaped) == escaped


PIECES = [
    "a",
    "Z",
    "1",
    "_",
    "-",
    "~",
    ".",
    "/",
    "..",
    "/./",
    "//",
    ",",
    "!",
    "@",
    ":",
    "+",
    "=",
    "$",
    "&",
    "*",
    "(",
    ")",
]
PIECES += ["'", ";", "%20", "%C3%A9", "%2F", "%41", "%e9", "?", "a=1", "b=", "%2C", "%3D", "%40", "%7E", "#", "utm_x=1"]


@settings(deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=10).map("".join))
@example("photos/a,b/c.d/e%20f.jpg?b=2&a=%2F&a-b=1&utm_source=x")
def test_the_short_way_for_plain_addresses_changes_nothing(rest: str) -> None:
    url = f"https://example.com/{rest}"
    short = clean(url), identity(url)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(urls, "_PLAIN", re.compile("(?!)"))
        assert short == (clean(url), identity(url))


def found(text: str) -> list[str]:
    return [line.url or f"! {line.text}" for line in read_lines(text)]


A, B = "https://example.com/a.jpg", "https://example.com/b.jpg"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{A}\n{B}\n", [A, B]),
        (f"\ufeff{A}\r\n\r\n   \r\n{B}", [A, B]),
        (f"# my list\n{A}\n  # the rest\n{B}", [A, B]),
        (f"{A} {B}", [A, B]),
        (f"{A},{B}", [A, B]),
        (f"{A}, {B},", [A, B]),
        (f"{A};{B}", [A, B]),
        (f"{A}\t{B}", [A, B]),
        (f'"{A}", "{B}"', [A, B]),
        (f"['{A}', '{B}']", [A, B]),
        (f"„{A}“", [A]),
        (f"<{A}>", [A]),
        (f"({A}).", [A]),
        (f"1. {A}", [A]),
        (f"- {A}", [A]),
        (f"Castle\t1890\t{A}\tStone", [A]),
        (f"Castle: {A}", [A]),
        (f"{A} The castle, seen from the river", [A]),
        (f"{A} # the castle", [A]),
        (f"![the castle]({A})", [A]),
        (f'[one]({A} "A castle") and [two]({B})', [A, B]),
        (f"[a](<{A}>)", [A]),
        ("[a](https://example.com/a_(1).jpg)", ["https://example.com/a_(1).jpg"]),
        (f'<a href="{A}">one</a> <img alt="x" src=\'{B}\'>', [A, B]),
        ('<img src="https://example.com/?a=1&amp;b=2">', ["https://example.com/?a=1&b=2"]),
        ("https://example.com/Castle_(Stone)", ["https://example.com/Castle_(Stone)"]),
        (
            "https://example.com/iiif/full/!200,200/0/default.jpg",
            ["https://example.com/iiif/full/!200,200/0/default.jpg"],
        ),
        ("https://example.com/a;b=1,c.jpg", ["https://example.com/a;b=1,c.jpg"]),
        ("www.example.com/a.jpg, example.com/b.jpg", ["https://www.example.com/a.jpg", B]),
        ("https://example.com/my photo.jpg", ["https://example.com/my%20photo.jpg"]),
        ("https://example.com/my  photo (2).jpg", ["https://example.com/my%20%20photo%20(2).jpg"]),
        (f'"https://example.com/my photo.jpg","{B}"', ["https://example.com/my%20photo.jpg", B]),
        ("https://example.com/a.jpg old.jpg", ["! https://example.com/a.jpg old.jpg"]),
        ("https://example.com/view?title=my castle", ["! https://example.com/view?title=my castle"]),
        ("only words here", ["! only words here"]),
        ("", []),
        ("\n# nothing\n", []),
    ],
)
def test_lists_are_read_as_people_write_them(text: str, expected: list[str]) -> None:
    assert found(text) == expected


def test_lines_are_numbered_explained_and_compared() -> None:
    first, second, third, fourth = read_lines(f"# list\n{A}\nnothing\n\n{B}\nhttps://EXAMPLE.com:443/a.jpg#x")
    assert first == ListedUrl(2, A, A, key_of(A), None, None)
    assert second == ListedUrl(3, "nothing", None, None, NOT_AN_ADDRESS, None)
    assert (third.number, third.repeat_of) == (5, None)
    assert (fourth.number, fourth.repeat_of, fourth.key) == (6, 2, first.key)
    assert fourth.text == "https://EXAMPLE.com:443/a.jpg#x"


def test_a_secret_in_a_list_is_refused() -> None:
    (line,) = read_lines("https://me:secret@example.com/a.jpg")
    assert line.problem == SECRET


def test_a_hundred_thousand_lines_are_read_in_a_moment() -> None:
    text = "\n".join(f"https://images{n % 50}.example.org/c/photo_{n}.jpg?w=800&h=600" for n in range(100_000))
    started = time.process_time()
    lines = read_lines(text)
    assert time.process_time() - started < 6  # 1 to 2 on an idle machine
    assert len({line.key for line in lines}) == 100_000


@settings(deadline=None)
@given(
    st.text(max_size=200)
    | st.lists(st.sampled_from([A, "](", "<", ">", "href=", " ", ",", "\t", "(", '"', "x"])).map("".join)
)
def test_any_paste_can_be_read(text: str) -> None:
    for line in read_lines(text):
        assert (line.problem is None) == (line.url is not None) == (line.key is not None)


CSV = f'id,title,page,image\n1,"Castle, old",https://example.com/1,{A}\n2,Müller,https://example.com/2,{B}\n'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_tables_of_every_kind(encoding: str, delimiter: str) -> None:
    text = CSV.replace("Castle, old", "Castle old").replace(",", delimiter)
    table = read_table("list.csv", text.encode(encoding))
    assert table.columns == ["id", "title", "page", "image"]
    assert table.rows[1] == ["2", "Müller", "https://example.com/2", B]
    assert url_column(table) == 3
    assert [(line.number, line.url) for line in table.lines(3)] == [(2, A), (3, B)]
    assert [line.url for line in table.lines(2)] == ["https://example.com/1", "https://example.com/2"]


def test_quoted_cells_and_several_addresses_in_one() -> None:
    table = read_table("list.csv", f'title,image\n"Castle,\nold","{A}; {B}"\n\nTower,\n'.encode())
    assert table.columns == ["title", "image"]
    assert [(line.number, line.url) for line in table.lines(1)] == [(2, A), (2, B)]


def test_a_table_without_header() -> None:
    table = read_table("list.csv", f"1,{A}\n2,{B}\n".encode())
    assert table.columns == ["Column 1", "Column 2"]
    assert [line.number for line in table.lines(url_column(table))] == [1, 2]


def test_blank_rows_on_top() -> None:
    table = read_table("list.csv", f"\n\nid,image\n1,{A}\n2,{B}".encode())
    assert table.columns == ["id", "image"]
    assert [line.number for line in table.lines(1)] == [4, 5]


def test_ragged_rows_and_nameless_columns() -> None:
    table = read_table("list.csv", f"image,\n{A},x,y\n{B}\n{A},x,y\n{B},x,y".encode())
    assert table.columns == ["image", "Column 2", "Column 3"]
    assert [line.number for line in table.lines(2)] == [2, 4, 5]
    assert [line.number for line in table.lines(0)] == [2, 3, 4, 5]


IIIF = "https://iiif.example.org/{}/full/600,/0/default.jpg"


@pytest.mark.parametrize("head", ["", "image\n"])
def test_a_single_column_whose_addresses_have_commas(head: str) -> None:
    table = read_table("list.csv", (head + "\n".join(map(IIIF.format, range(5)))).encode())
    assert len(table.columns) == 1
    assert [line.url for line in table.lines(0)] == [IIIF.format(n) for n in range(5)]


def test_a_text_file_is_a_list() -> None:
    table = read_table("list.txt", f"# mine\n{A}\n\n{B} # two\n".encode())
    assert len(table.columns) == 1
    assert [(line.number, line.url) for line in table.lines(0)] == [(2, A), (4, B)]


def test_a_csv_of_bad_addresses_only_says_so() -> None:
    table = read_table("list.csv", b"image\nnothing\nftp://example.com/a.jpg\n")
    assert [line.problem is not None for line in table.lines(url_column(table))] == [True, True]


def workbook(*sheets: list[list[Any]]) -> bytes:
    book = Workbook()
    assert book.active is not None
    book.remove(book.active)
    for rows in sheets:
        sheet = book.create_sheet()
        for row in rows:
            sheet.append(row)
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def test_excel() -> None:
    data = workbook([["about this file"]], [["id", "image", None], [7, A], [], [8.5, B, "x"]])
    for name in ("list.xlsx", "wrong.csv"):
        table = read_table(name, data)
        assert table.columns == ["id", "image", "Column 3"]
        assert table.rows == [["7", A, ""], ["8.5", B, "x"]]
        assert [(line.number, line.url) for line in table.lines(url_column(table))] == [(2, A), (4, B)]


def test_an_excel_file_that_lies_about_its_size() -> None:
    old, new = io.BytesIO(workbook([["image"], [A]])), io.BytesIO()
    with zipfile.ZipFile(old) as source, zipfile.ZipFile(new, "w") as target:
        for entry in source.infolist():
            content = source.read(entry)
            target.writestr(entry, content.replace(b'ref="A1:A2"', b'ref="A1:XFD1048576"'))
    table = read_table("list.xlsx", new.getvalue())
    assert (table.columns, table.rows) == (["image"], [[A]])


def bomb() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", bytes(5_000_000))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("list.txt", b"", "list.txt is empty."),
        ("list.csv", b"\n \n\n", "list.csv is empty."),
        ("list.xlsx", workbook([[]]), "list.xlsx is empty."),
        (
            "list.xls",
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
            "list.xls is an old or protected Excel file. Save it without a password as .xlsx or .csv.",
        ),
        (
            "castle.csv",
            b"\xff\xd8\xff\xe0" + bytes(100),
            "castle.csv is a picture, not a list of URLs. Save the list as .txt, .csv or .xlsx.",
        ),
        (
            "list.txt",
            b"%PDF-1.7\n",
            "list.txt is a PDF, not a list of URLs. Save the list as .txt, .csv or .xlsx.",
        ),
        (
            "list.csv",
            bytes(range(256)),
            "list.csv contains no readable text. Save the list as .txt, .csv or .xlsx.",
        ),
        (
            "list.xlsx",
            b"PK\x03\x04 and then nothing",
            "list.xlsx cannot be read as an Excel file. Save it again as .xlsx or .csv.",
        ),
    ],
)
def test_files_that_are_no_lists(name: str, data: bytes, sentence: str) -> None:
    with pytest.raises(UrlError) as caught:
        read_table(name, data)
    assert str(caught.value) == sentence


def test_an_excel_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xlsx, "MAX_UNPACKED", 4_000_000)
    with pytest.raises(UrlError) as caught:
        read_table("list.xlsx", bomb())
    assert str(caught.value) == ("list.xlsx unpacks to more than 4 MB. Save only the column with the URLs, as .csv.")


@settings(deadline=None)
@given(st.binary(max_size=300), st.sampled_from(["a.csv", "a.txt", "a.tsv", "a.xlsx", "a"]))
def test_any_file_is_a_table_or_an_error(data: bytes, name: str) -> None:
    try:
        table = read_table(name, data)
    except UrlError:
        return
    column = url_column(table)
    assert 0 <= column < len(table.columns)
    table.lines(column)
