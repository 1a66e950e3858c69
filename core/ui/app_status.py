"""The one engine of this process, and what every page says while it is not ready."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import streamlit as st

from core.embedding.active_models import Reembedding
from core.embedding.checkpoint import BUILTIN
from core.embedding.loader import LoadState
from core.engine import Engine
from core.errors import LookalikeError
from core.settings import load_settings
from core.ui.formatting import escaped, megabytes


@st.cache_resource(show_spinner=False)
def engine() -> Engine:
    """The engine, started when it is first needed. Raises SettingsError."""
    started = Engine(load_settings())
    started.start()
    return started


@contextmanager
def notices() -> Iterator[None]:
    """For what a button does: a failure is a notice, not a broken page."""
    try:
        yield
    except LookalikeError as error:
        st.toast(escaped(str(error)), icon=":material/error:")


def model_label(name: str) -> str:
    """A model as a sentence names it, as Markdown: "the built-in encoder", else its own name."""
    return "the built-in encoder" if name.startswith(f"{BUILTIN}@") else escaped(name)


def status_line() -> None:
    """Show how far the start is, or what is wrong and what to do; nothing once all is ready.

    Call it through `auto_refresh`. Reruns the page when what it shows has changed.
    """
    app = engine()
    database, model = app.database_state, app.model_state
    if database.state == "failed":
        st.error(
            f"{database.message}\n\nLookalike keeps trying. Nothing is lost.",
            icon=":material/database_off:",
            title="The database cannot be reached",
        )
    elif database.state == "starting":
        st.info("The database is starting…", icon=":material/hourglass_top:")
    name = "the built-in encoder" if model.model == BUILTIN else "CLIP"
    if model.state == "failed":
        st.error(model.message, icon=":material/cloud_off:", title=f"{name[0].upper()}{name[1:]} could not be loaded")
        st.button("Try again", key="retry-model", icon=":material/refresh:", on_click=app.model_selection.retry)
    elif model.state == "loading":
        _progress(model, f"Loading {name}")
    if app.model_selection.awaited is not None and model.state != "failed":
        _show_fallback(app.model_selection.awaited, app.model_selection.retry)
    change = app.reembedding
    if change is not None:
        st.progress(change.done / max(1, change.total), text=_reembedding(change))
    _show_copy_model()
    if app.worker is not None and app.worker.problem:
        st.warning(app.worker.problem, icon=":material/engineering:", title="Indexing has stopped")
    try:
        serving = app.model().name  # it may have changed between two looks
    except LookalikeError:
        serving = ""
    ready = (database.state, model.model, model.state, serving)
    if st.session_state.setdefault("app-state", ready) != ready:
        st.session_state["app-state"] = ready
        st.rerun()


def _show_copy_model() -> None:
    """Show how far the copy model's embeddings are, or why there are none; nothing while it loads, which takes
    seconds."""
    app = engine()
    model, change = app.copy_model_state, app.copy_reembedding
    if model is not None and model.state == "failed":
        st.warning(
            f"{escaped(model.message)}\n\nSearches by content work as usual.",
            icon=":material/content_copy:",
            title="Edited copies cannot be found",
        )
        st.button("Try again", key="retry-copy-model", icon=":material/refresh:", on_click=app.retry_copy_model)
    elif change is not None:
        text = f"Embedding pictures so that edited copies are found: {change.done:,} of {change.total:,}."
        st.progress(change.done / max(1, change.total), text=f"{text} Until then, copies of the others may be missed.")


def _show_fallback(clip: LoadState, retry: Callable[[], None]) -> None:
    """A pill in the page's header, which moves nothing: that the built-in encoder is used in CLIP's place, what that
    means, and how far CLIP is."""
    with st.container(key="fallback"), st.popover("Without CLIP", icon=":material/inventory_2:", type="tertiary"):
        st.markdown(
            "**Working without CLIP.** The built-in encoder finds copies and close look-alikes. It does not support "
            "text searches, and is weaker at finding other things of the same kind."
        )
        if clip.state == "failed":
            st.markdown(escaped(_without_errno(clip.message)))
            st.caption("Once CLIP is loaded, the collection is re-embedded with it.")
            st.button("Try CLIP again", key="retry-clip", icon=":material/refresh:", on_click=retry)
        else:
            _progress(clip, "Downloading CLIP")


def _without_errno(message: str) -> str:
    """The message without the numbers of the system's errors, such as "[Errno -2] "."""
    return re.sub(r"\[Errno -?\d+\] ", "", message)


def _progress(model: LoadState, what: str) -> None:
    if model.total_bytes:
        share = min(1.0, model.done_bytes / model.total_bytes)
        st.progress(share, text=f"{what}: {megabytes(model.done_bytes)} of {megabytes(model.total_bytes)}")
    else:
        st.info(f"{what}…", icon=":material/hourglass_top:")


def _reembedding(change: Reembedding) -> str:
    done = f"{change.done:,} of {change.total:,}"
    if change.serving == change.model:
        return f"Embedding pictures that have no embedding yet: {done}. Until then, searches cannot find the others."
    return f"Re-embedding for the new model: {done}. Until then, searches use {model_label(change.serving)}."
