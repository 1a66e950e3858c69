"""Parts of a page that are redrawn every second, without a click."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx


def auto_refresh(draw: Callable[[], None]) -> None:
    """Draw something now and every second, as a fragment; but only once while a dialog is open.

    Streamlit lets such a redraw break off whatever else runs: what a dialog showed before then stays beside what it
    shows now, a dialog closes, and a page that is left from within one comes up empty. So call this after all that
    may open a dialog, into a container above it; and give dialogs `on_dismiss="rerun"`.
    """
    context = get_script_run_ctx()
    busy = context is not None and context.has_dialog_opened
    st.fragment(draw, run_every=None if busy else 1.0)()
