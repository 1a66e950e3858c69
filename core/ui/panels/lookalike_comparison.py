"""The comparison for look-alikes as a page shows it: its threshold, how far it is, and whether it is out of date."""

from __future__ import annotations

import streamlit as st

from core.database.embedding_tables import Model
from core.duplicates.comparison_job import LOWEST, Comparison
from core.errors import LookalikeError
from core.search.matches import DEFAULT_THRESHOLD
from core.ui.app_status import engine, notices
from core.ui.formatting import counted, duration


def threshold_slider(model: Model) -> float:
    """Ask how alike look-alikes are; returns a cosine. The threshold saved for searches by picture is the default,
    but no less than `DEFAULT_THRESHOLD`: what is a good match is not yet a duplicate."""
    saved = engine().saved_thresholds.current(model, "picture")
    default = max(saved.threshold or 0.0 if saved else 0.0, DEFAULT_THRESHOLD)
    chosen = st.slider(
        "Alike by at least",
        round(LOWEST * 100),
        100,
        value=round(default * 100),
        format="%d\u202f%%",
        key="alike",
        bind="query-params",
        help="By what the model sees. Higher shows fewer groups, with fewer pictures that only resemble each other.",
    )
    return float(chosen) / 100


def show_comparison(model: Model, threshold: float) -> Comparison:
    """Draw how the comparison stands, and the buttons for it; returns it. The page runs again when that changes."""
    from core.duplicates.similarity_join import MAX_ALIKE  # with it comes torch, which the model has loaded by now

    comparison = engine().comparisons.read(model)
    _watch(model, (comparison.wanted, comparison.made_at, comparison.problem))
    if comparison.wanted is not None:
        return comparison
    if comparison.problem:
        st.error(comparison.problem, icon=":material/error:")
    if comparison.threshold is None or comparison.made_at is None:
        return comparison
    if threshold < comparison.threshold - 1e-9:
        _notice(
            f"The last comparison looked for pictures that are at least {comparison.threshold * 100:.0f}\u202f% alike. "
            f"For {threshold * 100:.0f}\u202f%, compare again.",
            model,
            threshold,
        )
    elif comparison.added:
        _notice(
            f"{counted(comparison.added, 'picture')} came since the pictures were compared; they are not in it yet.",
            model,
            threshold,
        )
    st.caption(
        f"{counted(comparison.pictures, 'picture')} compared with each other on "
        f"{comparison.made_at.astimezone():%d %b %Y at %H:%M} with {model.name}, at "
        f"{comparison.threshold * 100:.0f}\u202f% and above, in {duration(comparison.seconds)}. "
        f"Of a picture with very many look-alikes the nearest {MAX_ALIKE} are kept."
    )
    return comparison


def compare_button(label: str, model: Model, threshold: float) -> None:
    """A button that has all pictures compared."""
    st.button(label, key="compare", type="primary", icon=":material/compare:", on_click=_ask, args=(model, threshold))


def _notice(sentence: str, model: Model, threshold: float) -> None:
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.markdown(f":material/update: {sentence}", width="stretch")
        compare_button("Compare again", model, threshold)


def _watch(model: Model, known: object) -> None:
    """Keep the progress up to date, and run the page again when a comparison begins or ends, whoever asked for it."""

    @st.fragment(run_every=1.0)
    def look() -> None:
        try:
            now = engine().comparisons.read(model)
        except LookalikeError:  # the line at the top of the page says what is wrong with the database
            return
        if (now.wanted, now.made_at, now.problem) != known:
            st.rerun()
        if now.wanted is None:
            return
        with st.container(border=True, key="comparing"):
            st.progress(now.share, text=_progress(now))
            st.caption("You can leave this page; the comparison goes on, and searches come first.")
            st.button("Cancel", icon=":material/stop:", type="tertiary", on_click=_cancel, args=(model,))

    look()


def _progress(comparison: Comparison) -> str:
    if not comparison.running:
        return "Waiting to begin…"
    text = f"Comparing all pictures: {comparison.share * 100:.0f}\u202f%"
    left = comparison.seconds_left
    return text if left is None else f"{text}, about {duration(left)} left"


def _ask(model: Model, threshold: float) -> None:
    with notices():
        engine().comparisons.ask(model, threshold)


def _cancel(model: Model) -> None:
    with notices():
        engine().comparisons.cancel(model)
