"""The drawn house is the one that the code builds."""

from __future__ import annotations

import re

from docs import house


def drawn(svg: str) -> tuple[set[str], set[str]]:
    """The rooms and the arrows of a picture."""
    return set(re.findall(r'<g id="(\w+)"', svg)), set(re.findall(r"<title>(\w+ imports \w+)</title>", svg))


def test_the_picture_shows_the_packages_and_their_imports() -> None:
    rooms, _ = drawn(house.draw())
    assert rooms == house.graph().keys()
    assert drawn(house.PICTURE.read_text("utf-8")) == drawn(house.draw()), "make it anew: python -m docs.house"


def test_only_arrows_that_follow_from_others_are_left_out() -> None:
    assert house.reduced({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == {("a", "b"), ("b", "c")}
