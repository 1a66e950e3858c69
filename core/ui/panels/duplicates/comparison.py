"""The comparison for look-alikes: its threshold, how far it is, and whether it is out of date."""

from __future__ import annotations

import streamlit as st

from core.database.embedding_tables import Model
from core.duplicates.comparison_job import LOWEST, Comparison
from core.errors import LookalikeError
from core.search.matches import DEFAULT_THRESHOLD
from core.ui.app_status import engine, model_label, notices
from core.ui.formatting import counted, date_and_time, duration, percent


def threshold_slider(model: Model) -> float:
    """Draw the slider for the minimum similarity of look-alikes; returns a cosine. Raises DatabaseError.

    The threshold saved for picture searches is the default, but at least `DEFAULT_THRESHOLD`: a good match is not yet
    a duplicate.
    """
    saved = engine().saved_thresholds.current(model, "picture")
    default = max(saved.threshold or 0.0 if saved else 0.0, DEFAULT_THRESHOLD)
    chosen = st.slider(
        "Minimum similarity",
        round(LOWEST * 100),
        100,
        value=round(default * 100),
        format="%d\u202f%%",
        key="alike",
        bind="query-params",
        help="Higher values show fewer groups, with fewer pictures that only resemble each other.",
    )
    return float(chosen) / 100


def show_comparison(model: Model, threshold: float) -> Comparison:
    """Draw how far the comparison is, and the buttons for it; returns it. The page reruns when that changes.

    Raises DatabaseError.
    """
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
            f"The last comparison looked for pictures that are at least {percent(comparison.threshold)} similar. "
            f"For {percent(threshold)}, compare again.",
            model,
            threshold,
        )
    elif comparison.added:
        _notice(
            f"{counted(comparison.added, 'picture')} added since the last comparison, and not compared yet.",
            model,
            threshold,
        )
    st.caption(
        f"{counted(comparison.pictures, 'picture')} compared with each other on {date_and_time(comparison.made_at)} "
        f"with {model_label(model.name)}, at {percent(comparison.threshold)} and above, in "
        f"{duration(comparison.seconds)}. At most {MAX_ALIKE} look-alikes are kept for each picture."
    )
    return comparison


def compare_button(label: str, model: Model, threshold: float) -> None:
    """A button that starts the comparison of all pictures."""
    st.button(label, key="compare", type="primary", icon=":material/compare:", on_click=_ask, args=(model, threshold))


def _notice(sentence: str, model: Model, threshold: float) -> None:
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.markdown(f":material/update: {sentence}", width="stretch")
        compare_button("Compare again", model, threshold)


def _watch(model: Model, known: object) -> None:
    """Keep the progress up to date, and rerun the page when a comparison starts or ends, whoever asked for it."""

    @st.fragment(run_every=1.0)
    def refresh() -> None:
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
            st.caption("You can leave this page: the comparison continues. Searches take precedence.")
            st.button("Cancel", icon=":material/stop:", type="tertiary", on_click=_cancel, args=(model,))

    refresh()


def _progress(comparison: Comparison) -> str:
    if not comparison.running:
        return "Waiting to start…"
    text = f"Comparing all pictures: {percent(comparison.share)}"
    left = comparison.seconds_left
    return text if left is None else f"{text}, about {duration(left)} left"


def _ask(model: Model, threshold: float) -> None:
    with notices():
        engine().comparisons.ask(model, threshold)


def _cancel(model: Model) -> None:
    with notices():
        engine().comparisons.cancel(model)
