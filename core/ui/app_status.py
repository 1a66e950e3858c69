"""The one engine of this process, and what every page says while it is not ready."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import streamlit as st

from core.embedding.active_models import Reembedding
from core.embedding.checkpoint import BUILTIN
from core.embedding.loader import LoadState
from core.engine import Engine
from core.errors import LookalikeError
from core.settings import load_settings
from core.ui.formatting import megabytes, plain


@st.cache_resource(show_spinner=False)
def engine() -> Engine:
    """The engine, started when it is first asked for. Raises SettingsError."""
    made = Engine(load_settings())
    made.start()
    return made


@contextmanager
def notices() -> Iterator[None]:
    """For what a button does: a failure is a notice, not a broken page."""
    try:
        yield
    except LookalikeError as error:
        st.toast(plain(str(error)), icon=":material/error:")


def status_line() -> None:
    """Say how far the start is, or what is wrong and what to do; nothing once all is ready.

    Reruns the page when what it shows has changed. See `keep_drawing`.
    """
    app = engine()
    database, model = app.database_state, app.model_state
    if database.state == "failed":
        st.error(
            f"{database.message}\n\nLookalike tries again by itself; nothing is lost.",
            icon=":material/database_off:",
            title="The database cannot be reached",
        )
    elif database.state == "starting":
        st.info("The database is starting…", icon=":material/hourglass_top:")
    name = "Lookalike’s own encoder" if model.model == BUILTIN else "CLIP"
    if model.state == "failed":
        st.error(model.message, icon=":material/cloud_off:", title=f"{name} is not loaded")
        st.button("Try again", key="retry-model", icon=":material/refresh:", on_click=app.model_selection.retry)
    elif model.state == "loading":
        _progress(model, f"Loading {name}")
    if app.model_selection.awaited is not None and model.state != "failed":
        _stand_in(app.model_selection.awaited, app.model_selection.retry)
    change = app.reembedding
    if change is not None:
        st.progress(change.done / max(1, change.total), text=_reembedding(change))
    if app.worker is not None and app.worker.problem:
        st.warning(app.worker.problem, icon=":material/engineering:", title="Indexing has stopped for now")
    try:
        serving = app.model().name  # it may change though no page saw the change under way
    except LookalikeError:
        serving = ""
    ready = (database.state, model.model, model.state, serving)
    if st.session_state.setdefault("app-state", ready) != ready:
        st.session_state["app-state"] = ready
        st.rerun()


def _stand_in(clip: LoadState, retry: Callable[[], None]) -> None:
    """Say that the encoder in the box works in CLIP's place, what that means, and how far CLIP is."""
    with st.container(border=True, key="stand-in"):
        text, buttons = st.columns([3, 1], vertical_alignment="center")
        text.markdown(
            ":orange[:material/inventory_2: **Working without CLIP.**] Our own small encoder finds copies and close "
            "look-alikes; it reads no words, and is weaker at finding other things of the same kind."
        )
        if clip.state == "failed":
            with buttons, st.container(horizontal=True, horizontal_alignment="right", gap="small"):
                st.button("Try CLIP again", key="retry-clip", icon=":material/refresh:", on_click=retry)
                with st.popover("Why?", type="tertiary"):
                    st.markdown(plain(clip.message))
                    st.caption("When CLIP comes, the collection is embedded anew with it.")
    if clip.state != "failed":
        _progress(clip, "CLIP is on its way")


def _progress(model: LoadState, what: str) -> None:
    if model.total_bytes:
        share = min(1.0, model.done_bytes / model.total_bytes)
        st.progress(share, text=f"{what}: {megabytes(model.done_bytes)} of {megabytes(model.total_bytes)}")
    else:
        st.info(f"{what}…", icon=":material/hourglass_top:")


def _reembedding(change: Reembedding) -> str:
    done = f"{change.done:,} of {change.total:,}"
    if change.serving == change.model:
        return f"Embedding what has no embedding yet: {done}; searches find only those until it is done"
    return f"Re-embedding for the new model: {done}; searches still use {plain(change.serving)}"
