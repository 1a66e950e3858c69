"""Pictures as cards, which the match gallery and the picture grid share: `cards.html`, `cards.css` and `cards.js`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Protocol, TypedDict
from urllib.parse import unquote, urlsplit
from uuid import UUID

from core.collection.store import picture_name
from core.settings import Settings
from core.signed_urls import link, original_path, thumbnail_path


class CardSource(Protocol):
    """What a card needs to know of a picture. `url` is the first of its URLs, or ""."""

    @property
    def id(self) -> UUID: ...  # noqa: D102

    @property
    def url(self) -> str: ...  # noqa: D102

    @property
    def title(self) -> str: ...  # noqa: D102

    @property
    def width(self) -> int: ...  # noqa: D102

    @property
    def height(self) -> int: ...  # noqa: D102


class Card(TypedDict):
    """One picture as it is drawn."""

    id: str
    src: str  # URL of the thumbnail, such as /api/thumb/7
    original: str  # URL of the picture in full, such as /api/original/7
    width: int  # of the original, in pixels
    height: int
    url: str  # where the picture comes from, or ""; a link when it is http or https, or a path on this server
    name: str
    note: str  # a short sentence below the name, such as "1,024 × 768", or ""


def picture_card(settings: Settings, picture: CardSource, note: str = "") -> Card:
    """The card of a picture."""
    return {
        "id": str(picture.id),
        "src": thumbnail_path(settings, picture.id),
        "original": original_path(settings, picture.id),
        "width": picture.width,
        "height": picture.height,
        "url": link(settings, picture.url),
        "name": picture_name(picture.title, picture.url),
        "note": note,
    }


def name_apart(cards: Iterable[Card]) -> None:
    """Add to names that several of the cards have what tells them apart: the folder in the URL, else the site."""
    cards = list(cards)
    for place in (_folder, _site):
        names = Counter(card["name"] for card in cards)
        for card in cards:
            if names[card["name"]] > 1 and (where := place(card["url"])):
                card["name"] = f"{card['name']} · {where}"


def _folder(url: str) -> str:
    return "" if url.startswith("/") else unquote(urlsplit(url).path.rpartition("/")[0].rpartition("/")[2])


def _site(url: str) -> str:
    return urlsplit(url).hostname or ""
