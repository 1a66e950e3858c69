"""Links to pages about pictures."""

from __future__ import annotations

import pytest

from core.media.page_links import page_hint, picture_link
from core.media.urls import clean

FILE_PATH = "/wiki/Special:FilePath/Vase_(blue).jpg?width=1280"


@pytest.mark.parametrize(
    ("page", "picture"),
    [
        (
            "https://drive.google.com/file/d/1Px-8_b/view?usp=sharing",
            "https://drive.google.com/uc?export=download&id=1Px-8_b",
        ),
        (
            "https://drive.google.com/file/d/1Px/edit?resourcekey=0-ab&usp=drive_link",
            "https://drive.google.com/uc?export=download&id=1Px&resourcekey=0-ab",
        ),
        ("https://drive.google.com/open?id=1Px&usp=x", "https://drive.google.com/uc?export=download&id=1Px"),
        ("https://www.dropbox.com/s/a1b2/vase.jpg?dl=0", "https://www.dropbox.com/s/a1b2/vase.jpg?raw=1"),
        (
            "https://www.dropbox.com/scl/fi/t/vase.jpg?rlkey=k&st=1&dl=0",
            "https://www.dropbox.com/scl/fi/t/vase.jpg?rlkey=k&st=1&raw=1",
        ),
        ("https://commons.wikimedia.org/wiki/File:Vase_(blue).jpg", f"https://commons.wikimedia.org{FILE_PATH}"),
        ("https://de.wikipedia.org/wiki/Vase#/media/Datei:Vase_(blue).jpg", f"https://de.wikipedia.org{FILE_PATH}"),
        ("https://en.m.wikipedia.org/wiki/File:Vase_(blue).jpg", f"https://en.m.wikipedia.org{FILE_PATH}"),
        (
            "https://iiif.example/image/2/ab%2Fc/info.json",
            "https://iiif.example/image/2/ab%2Fc/full/!1024,1024/0/default.jpg",
        ),
    ],
)
def test_a_page_becomes_its_picture(page: str, picture: str) -> None:
    assert picture_link(page) == picture == picture_link(picture) == clean(picture)


@pytest.mark.parametrize(
    "url",
    [
        "https://drive.google.com/drive/folders/1Px",
        "https://drive.google.com/uc?export=download&id=1Px",
        "https://www.dropbox.com/scl/fo/t/h?rlkey=k&dl=0",
        "https://dropbox.example/s/a/b.jpg?dl=0",
        "https://notwikipedia.org/wiki/File:Vase.jpg",
        "https://en.wikipedia.org/wiki/Vase",
        "https://upload.wikimedia.org/wikipedia/commons/a/ab/Vase.jpg",
        "https://api.example/info.json?picture=1",
        "https://museum.example/vase.jpg#/media/File:Vase.jpg",
    ],
)
def test_other_urls_stay(url: str) -> None:
    assert picture_link(url) == url


def test_what_to_use_instead_of_a_page() -> None:
    assert "live.staticflickr.com" in page_hint("www.flickr.com")
    assert "i.pinimg.com" in page_hint("de.pinterest.com")
    assert page_hint("museum.example") == page_hint("flickr.com.example") == ""
