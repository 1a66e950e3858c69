"""The names on cards."""

from __future__ import annotations

from uuid import UUID

from core.collection.store import Match
from core.settings import Settings
from core.ui.components.cards import name_apart, picture_card


def names(*urls: str, title: str = "") -> list[str]:
    settings = Settings(_env_file=None)
    cards = [
        picture_card(settings, Match(UUID(int=number), url, title, 300, 200, 0.5)) for number, url in enumerate(urls)
    ]
    name_apart(cards)
    return [card["name"] for card in cards]


def test_names_are_decoded() -> None:
    assert names("https://a.example/%E6%A4%85%E5%AD%90_%E6%98%8E%E6%B2%BB.jpg") == ["椅子_明治.jpg"]


def test_equal_names_are_told_apart_by_their_folders_and_then_by_their_sites() -> None:
    assert names("https://a.example/x/1.jpg", "https://a.example/y%20z/1.jpg", "https://a.example/x/2.jpg") == [
        "1.jpg · x",
        "1.jpg · y z",
        "2.jpg",
    ]
    assert names("https://a.example/x/1.jpg", "https://b.example/x/1.jpg") == [
        "1.jpg · x · a.example",
        "1.jpg · x · b.example",
    ]


def test_what_nothing_tells_apart_keeps_its_name() -> None:
    assert names("/api/file/1", "/api/file/2", title="Vase") == ["Vase", "Vase"]
