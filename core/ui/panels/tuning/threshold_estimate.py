"""The threshold that the verdicts suggest, and the thresholds that were saved."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.embedding.active_models import ActiveModel
from core.search.query_parts import Kind
from core.search.saved_thresholds import SavedThreshold
from core.tuning.judging_queue import MATCHES
from core.tuning.precision_recall import MIN_VERDICTS, Interval, Reading, Tuning
from core.ui.app_status import engine, notices
from core.ui.formatting import counted, date_and_time, escaped, exact_percent, percent
from core.ui.panels.tuning.curves import curves
from core.ui.panels.tuning.evidence import Evidence

TARGET = 95
"""Percent of the pictures shown that should be right, until the slider is moved."""

GOOD_MARGIN = 0.1
"""Half the width of an interval that is narrow enough."""

KIND_NAMES: dict[Kind, str] = {"picture": "picture searches", "words": "text searches"}
BALANCE, PRECISION = "Best balance", "Target precision"


def show_estimate(evidence: Evidence, saved: SavedThreshold | None, in_use: ActiveModel, kind: Kind) -> None:
    """The suggested threshold, or how many verdicts it still needs."""
    if evidence.tuning:
        _show_suggestion(evidence.tuning, saved, in_use, kind, evidence.disputed)
    elif evidence.pool:
        st.progress(min(1.0, len(evidence.verdicts) / MIN_VERDICTS), text=evidence.missing)


def _show_suggestion(
    tuning: Tuning, saved: SavedThreshold | None, in_use: ActiveModel, kind: Kind, disputed: int
) -> None:
    """The threshold that the verdicts suggest, and the button that saves it."""
    how = st.segmented_control(
        "Suggest by",
        [BALANCE, PRECISION],
        default=BALANCE,
        required=True,
        key="aim",
        help=f"**{BALANCE}** has the highest F1 score: few wrong matches shown, few right ones missed. "
        f"**{PRECISION}** shows as many as it can while that share of them is right.",
    )
    threshold = tuning.best
    if how == PRECISION:
        target = st.slider("Share of shown matches that should be right", 50, 99, TARGET, format="%d %%", key="target")
        cut = tuning.for_precision(target / 100)
        if cut is None:
            st.warning(
                f"No threshold reaches {target}\u202f% by these verdicts. The highest they support is "
                f"{percent(tuning.reachable)}. Choose a lower target, or judge more matches.",
                icon=":material/block:",
            )
            return
        threshold = cut
    reading = tuning.at(threshold)
    st.markdown(f"#### {reading.sentence}")
    _figures(tuning, reading)
    st.altair_chart(curves(tuning, {"Suggested": threshold, **_saved_line(saved, threshold)}), key="curves")
    st.caption(
        "Bands: 95\u202f% confidence intervals. Recall counts the right matches among the "
        f"{MATCHES} most similar pictures of each query; others are not known."
    )
    _show_check(tuning, disputed)
    st.button(
        f"Save {exact_percent(reading.threshold)} for {KIND_NAMES[kind]}",
        type="primary",
        icon=":material/bookmark_added:",
        key="save",
        disabled=bool(saved and saved.threshold == reading.threshold and saved.verdicts == reading.verdicts),
        on_click=_save,
        args=(in_use, kind, reading.threshold, reading.verdicts, reading.sentence),
    )


def _saved_line(saved: SavedThreshold | None, threshold: float) -> dict[str, float]:
    if saved is None or saved.threshold is None or saved.threshold == threshold:
        return {}
    return {"Saved": saved.threshold}


def _figures(tuning: Tuning, reading: Reading) -> None:
    with st.container(horizontal=True, gap="large", key="figures"):
        for name, part in (
            ("Precision: how many shown are right", reading.precision),
            ("Recall: how many right are shown", reading.recall),
        ):
            st.metric(name, percent(part.value), _interval(part), delta_color="off", delta_arrow="off", width="content")
    more = tuning.more_for(GOOD_MARGIN, reading)
    sentence = f"{reading.reached:,} of {reading.verdicts:,} judged matches reach it, {reading.right:,} of them right."
    if more:
        sentence += f" About {counted(more, 'more verdict')} would bring both within ±\u202f10\u202f%."
    st.caption(sentence)


def _show_check(tuning: Tuning, disputed: int) -> None:
    check = tuning.check
    sentence = (
        f"Checked by leaving out each query in turn: {check.expected:.0f} right matches were expected and "
        f"{check.right} found. The best balance was always between {exact_percent(check.lowest)} and "
        f"{exact_percent(check.highest)}."
    )
    if disputed:
        which = "One match was" if disputed == 1 else f"{disputed:,} matches were"
        sentence += f" {which} judged both right and wrong; the latest verdict counts."
    st.caption(sentence)


def _save(in_use: ActiveModel, kind: Kind, threshold: float | None, verdicts: int = 0, sentence: str = "") -> None:
    with notices():
        engine().saved_thresholds.save(in_use.model, kind, threshold, verdicts, sentence)
        saved = f"Saved. Searches now start at {exact_percent(threshold)}." if threshold is not None else ""
        st.toast(saved or "Searches now start at their suggested threshold.", icon=":material/check:")


def show_saved(in_use: ActiveModel, kind: Kind) -> SavedThreshold | None:
    """The saved threshold, with a button that resets it, and earlier ones; returns it. Raises DatabaseError."""
    history = engine().saved_thresholds.history(in_use.model, kind)
    saved = history[0] if history and history[0].threshold is not None else None
    if saved is not None and saved.threshold is not None:
        with st.container(border=True, horizontal=True, vertical_alignment="center", key="saved"):
            st.markdown(
                f":material/bookmark: **Saved threshold: {exact_percent(saved.threshold)}.** "
                f"{KIND_NAMES[kind].capitalize()} start there.",
                width="stretch",
            )
            st.button(
                "Reset", icon=":material/undo:", type="tertiary", key="reset", on_click=_save, args=(in_use, kind, None)
            )
    if history:
        _show_history(history, in_use, kind)
    return saved


def _show_history(history: Sequence[SavedThreshold], in_use: ActiveModel, kind: Kind) -> None:
    with st.expander("History", icon=":material/history:"):
        for place, entry in enumerate(history):
            with st.container(horizontal=True, vertical_alignment="center", key=f"history-{place}"):
                what = "Reset" if entry.threshold is None else f"**{exact_percent(entry.threshold)}**"
                sentence = f" · {escaped(entry.sentence)}" if entry.sentence else ""
                st.markdown(f"{what} · {date_and_time(entry.at)}{sentence}", width="stretch")
                if entry.threshold is not None and place:
                    st.button(
                        "Use again",
                        key=f"again-{place}",
                        type="tertiary",
                        on_click=_save,
                        args=(in_use, kind, entry.threshold, entry.verdicts, entry.sentence),
                    )


def _interval(part: Interval) -> str:
    return f"{percent(part.low)} to {percent(part.high)}"
