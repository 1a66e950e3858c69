"""The text that Streamlit gets of a component."""

from __future__ import annotations

import re
from typing import Any

import pytest
import streamlit as st

from core.ui.components import base


@pytest.mark.parametrize("name", ["crop", "duplicate_groups", "judge", "match_gallery", "picture_grid"])
def test_a_component_holds_what_its_script_imports_once_and_before_it(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(st.components.v2, "component", lambda _, **texts: given.update(texts))
    base.component(name)
    script = given["js"]
    assert not re.search(r"^import |^export (?!default )", script, re.MULTILINE)
    assert script.count("export default") == 1
    assert script.count("function whenQuiet(") == 1
    assert script.index("function whenQuiet(") < script.index("export default")
    assert given["css"].count(".hush {") == 1
    assert given["html"].count("<section") == 1


def test_the_two_galleries_share_their_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[dict[str, Any]] = []
    monkeypatch.setattr(st.components.v2, "component", lambda _, **given: texts.append(given))
    base.component("match_gallery")
    base.component("picture_grid")
    for given in texts:
        assert given["js"].index("class CardList {") < given["js"].index("extends CardList")
        assert given["html"].count('<li class="card">') == 1
        assert given["css"].count("\n.card {") == 1
