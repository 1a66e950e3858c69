"""What all components have in common, in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

import core.ui.components.base

pytestmark = pytest.mark.browser

SCRIPT = Path(core.ui.components.base.__file__).with_suffix(".js")

HOST = """async (script) => {
    const { mounted } = await import(URL.createObjectURL(new Blob([script], { type: "text/javascript" })));
    const parentElement = document.createElement("div");
    parentElement.innerHTML = "<section></section>";
    const seen = [];
    const entry = mounted(() => ({ update: ({ data }) => seen.push(data), close: () => seen.push("closed") }));
    const run = (data) => entry({ parentElement, data });
    const moment = () => new Promise((resolve) => setTimeout(resolve, 20));
    """


@pytest.mark.parametrize(
    ("happens", "seen"),
    [
        ("run(1); await moment(); run(2)", [1, 2]),
        ("run(1); await moment(); const close = run(2); await moment(); close()", [1, 2, "closed"]),
        ("run(2); await run(1)(); await moment()", [2, 1, 2]),
        ("run(2); await run(1)(); await moment(); run(3); await moment(); run(4)", [2, 1, 2, 3, 4]),
        ("await run(1)()", [1, "closed"]),
    ],
)
def test_what_the_later_run_sent_is_shown_though_the_earlier_one_comes_last(
    page: Page, happens: str, seen: list[Any]
) -> None:
    """Streamlit cleans up a run at once if a later one came while its script was loaded."""
    page.goto("about:blank")
    assert page.evaluate(HOST + happens + "; return seen }", SCRIPT.read_text("utf-8")) == seen
