from __future__ import annotations

from streamlit.testing.v1 import AppTest


def page() -> None:
    """A click whose callback is called twice, and one whose import does not start at first."""
    import streamlit as st

    from core.ui.panels.indexing.import_forms import _start_once

    started = list[str]()

    def start(name: str, works: bool) -> bool:
        started.append(name)
        return works

    st.session_state.setdefault("index-turn", 0)
    _start_once(0, start, "one", True)
    _start_once(0, start, "one again", True)
    _start_once(1, start, "fails", False)
    _start_once(1, start, "works", True)
    st.write(" ".join(started))


def test_an_import_is_started_once_a_click() -> None:
    run = AppTest.from_function(page, default_timeout=60).run()
    assert not run.exception
    assert run.markdown[0].value == "one fails works"
