"""The drawn house is the one that the code builds, and the files that the docs name are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs import house

ROOT = Path(__file__).resolve().parents[1]


def drawn(svg: str) -> tuple[set[str], set[str]]:
    """The rooms and the arrows of a picture."""
    return set(re.findall(r'<g id="(\w+)"', svg)), set(re.findall(r"<title>(\w+ imports \w+)</title>", svg))


def test_the_picture_shows_the_packages_and_their_imports() -> None:
    rooms, _ = drawn(house.draw())
    assert rooms == house.graph().keys()
    assert drawn(house.PICTURE.read_text("utf-8")) == drawn(house.draw()), "draw it again: python -m docs.house"


def test_only_arrows_that_follow_from_others_are_left_out() -> None:
    assert house.reduced({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == {("a", "b"), ("b", "c")}


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "docs/architecture.md"])
def test_the_files_that_are_named_are_there(document: str) -> None:
    """Named from the root, from core, or from where the file named before them lies."""
    text = re.sub(r"```.*?```", "", (ROOT / document).read_text("utf-8"), flags=re.DOTALL)
    kinds = r"(?:/|\.(?:py|md|toml|svg|png))"
    elsewhere = r"(?!photos/|models/|build/|\.streamlit/secrets|/)"
    named = re.findall(rf"(?:`|\]\()({elsewhere}[\w./-]+{kinds})(?:`|\))", text)
    assert named
    before = ROOT
    for name in named:
        places = [ROOT, ROOT / "core", (ROOT / document).parent, before, before.parent]
        found = [place / name for place in places if (place / name).exists()]
        assert found, name
        before = found[0]
