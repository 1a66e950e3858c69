"""What the verdicts say of the threshold, and what is kept of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import altair as alt
import numpy as np
import streamlit as st

from core.embedding.active_models import ActiveModel
from core.search.query_parts import Kind
from core.search.saved_thresholds import SavedThreshold
from core.search.suggested_thresholds import percent
from core.tuning.judging_queue import MATCHES, Candidates
from core.tuning.precision_recall import Interval, Reading, Tuning
from core.tuning.verdicts import StoredVerdict
from core.ui.app_status import engine, notices
from core.ui.formatting import counted, plain

WISHED = 95
"""Percent of those shown that should be right, until the slider is moved."""

CLEAR = 0.1
"""Half the width of an interval that says enough."""

NOUNS: dict[Kind, str] = {"picture": "pictures", "words": "words"}
BALANCE, PRECISION = "Best balance", "Wished precision"


@st.cache_resource(max_entries=4, show_spinner=False)
def tuned(_verdicts: Sequence[StoredVerdict], _pool: Sequence[Candidates], stamp: tuple[object, ...]) -> Tuning:
    """The curves, made anew only when the stamp is another one."""
    return Tuning(
        [entry.key for entry in _verdicts],
        np.array([entry.similarity for entry in _verdicts]),
        [entry.right for entry in _verdicts],
        [entry.similarities for entry in _pool],
    )


def suggestion(tuning: Tuning, saved: SavedThreshold | None, in_use: ActiveModel, kind: Kind, disputed: int) -> None:
    """What the verdicts say, and the button that keeps it."""
    how = st.segmented_control(
        "Which threshold",
        [BALANCE, PRECISION],
        default=BALANCE,
        required=True,
        key="aim",
        help=f"**{BALANCE}** has the highest F1: few wrong ones shown, few right ones missed. "
        f"**{PRECISION}** shows as much as it can while so many of those shown are right.",
    )
    threshold = tuning.best
    if how == PRECISION:
        wished = st.slider("Of those shown, so many should be right", 50, 99, WISHED, format="%d %%", key="wished")
        cut = tuning.for_precision(wished / 100)
        if cut is None:
            st.warning(
                f"These verdicts promise {wished}\u202f% at no threshold: the highest is "
                f"{percent(tuning.reachable)}. Wish for less, or judge more matches.",
                icon=":material/block:",
            )
            return
        threshold = cut
    reading = tuning.at(threshold)
    st.markdown(f"#### {reading.sentence}")
    _figures(tuning, reading)
    st.altair_chart(curves(tuning, {"Suggested": threshold, **_saved_line(saved, threshold)}), key="curves")
    st.caption(
        "Bands: where precision and recall lie with 95\u202f% confidence. Recall counts the right ones among the "
        f"{MATCHES} most similar pictures of each query; what is not among them is not known."
    )
    _show_check(tuning, disputed)
    st.button(
        f"Save {_exactly(reading.threshold)} for searches with {NOUNS[kind]}",
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
    return {"Yours": saved.threshold}


def _figures(tuning: Tuning, reading: Reading) -> None:
    with st.container(horizontal=True, gap="large", key="figures"):
        for name, part in (
            ("Precision: shown that are right", reading.precision),
            ("Recall: right ones that are shown", reading.recall),
        ):
            st.metric(name, percent(part.value), _between(part), delta_color="off", delta_arrow="off", width="content")
    more = tuning.more_for(CLEAR, reading)
    told = (
        f"{reading.reached:,} of the {reading.verdicts:,} verdicts reach it, and {reading.right:,} of those say right."
    )
    if more:
        told += f" About {counted(more, 'more verdict')} would bring both within ±\u202f10\u202f%."
    st.caption(told)


def _show_check(tuning: Tuning, disputed: int) -> None:
    check = tuning.check
    sentence = (
        f"Checked by leaving each query out in turn: the others expect {check.expected:.0f} right matches, and there "
        f"are {check.right}. The best balance then lies between {_exactly(check.lowest)} and {_exactly(check.highest)}."
    )
    if disputed:
        some = "One match" if disputed == 1 else f"{disputed:,} matches"
        sentence += f" {some} got both answers; the latest counts."
    st.caption(sentence)


def _save(in_use: ActiveModel, kind: Kind, threshold: float | None, verdicts: int = 0, sentence: str = "") -> None:
    with notices():
        engine().saved_thresholds.save(in_use.model, kind, threshold, verdicts, sentence)
        kept = f"Saved: searches now begin at {_exactly(threshold)}." if threshold is not None else ""
        st.toast(kept or "Searches suggest their own threshold again.", icon=":material/check:")


def show_saved(
    saved: SavedThreshold | None, history: Sequence[SavedThreshold], in_use: ActiveModel, kind: Kind
) -> None:
    """The threshold in use, with its way back, and those before."""
    if saved is not None and saved.threshold is not None:
        with st.container(border=True, horizontal=True, vertical_alignment="center", key="saved"):
            st.markdown(
                f":material/bookmark: **Yours: {_exactly(saved.threshold)}.** Searches with {NOUNS[kind]} begin there.",
                width="stretch",
            )
            st.button(
                "Reset", icon=":material/undo:", type="tertiary", key="reset", on_click=_save, args=(in_use, kind, None)
            )
    if not history:
        return
    with st.expander("Saved before", icon=":material/history:"):
        for place, entry in enumerate(history):
            with st.container(horizontal=True, vertical_alignment="center", key=f"history-{place}"):
                what = "Reset" if entry.threshold is None else f"**{_exactly(entry.threshold)}**"
                when = entry.at.astimezone()
                sentence = f" · {plain(entry.sentence)}" if entry.sentence else ""
                st.markdown(f"{what} · {when.day} {when:%B %Y, %H:%M}{sentence}", width="stretch")
                if entry.threshold is not None and place:
                    st.button(
                        "Use again",
                        key=f"again-{place}",
                        type="tertiary",
                        on_click=_save,
                        args=(in_use, kind, entry.threshold, entry.verdicts, entry.sentence),
                    )


def _exactly(threshold: float) -> str:
    return f"{threshold * 100:g}\u202f%"


def _between(part: Interval) -> str:
    return f"{percent(part.low)} to {percent(part.high)}"


HEIGHT = 320


COLOURS = {"Precision": "#0d9488", "Recall": "#d97706"}
"""Both read on light and on dark paper, and apart for the colour-blind."""


MEANING = {"Precision": "of those shown are right", "Recall": "of the right ones are shown"}


def curves(tuning: Tuning, lines: Mapping[str, float]) -> alt.LayerChart | alt.FacetChart:
    """The chart of a tuning; `lines` are thresholds (0 to 1) to mark, each under its name."""
    low, high = tuning.span
    first, last = max(0.0, np.floor(low * 20) / 20), min(1.0, np.ceil(high * 20) / 20)
    kept = np.flatnonzero((tuning.thresholds >= first - 1e-9) & (tuning.thresholds <= last + 1e-9))
    lows, highs = tuning.bands
    rows = [
        {
            "Threshold": round(float(tuning.thresholds[step]), 3),
            "Curve": name,
            "Share": float(values[step]),
            "From": float(lows[of, step]),
            "To": float(highs[of, step]),
            "Meaning": f"{values[step]:.0%} {MEANING[name]} ({lows[of, step]:.0%} to {highs[of, step]:.0%})",
        }
        for of, (name, values) in enumerate((("Precision", tuning.precision), ("Recall", tuning.recall)))
        for step in kept
    ]
    percent = alt.Axis(format="%", grid=True)
    across = alt.X("Threshold:Q", axis=percent, scale=alt.Scale(domain=[first, last], nice=False))
    colour = alt.Color(
        "Curve:N",
        title=None,
        scale=alt.Scale(domain=list(COLOURS), range=list(COLOURS.values())),
        legend=alt.Legend(orient="bottom"),
    )
    base = alt.Chart({"values": rows}).encode(x=across, color=colour)
    near = alt.selection_point(nearest=True, on="pointerover", fields=["Threshold"], empty=False, clear="pointerout")
    tips = [
        alt.Tooltip("Threshold:Q", format=".1%"),
        alt.Tooltip("Curve:N", title="Curve"),
        alt.Tooltip("Meaning:N", title="So many"),
    ]
    band = base.mark_area(opacity=0.22).encode(
        y=alt.Y("From:Q", title=None, axis=percent, scale=alt.Scale(domain=[0, 1])), y2="To:Q"
    )
    line = base.mark_line(strokeWidth=2.5).encode(y="Share:Q")
    points = (
        base.mark_point(filled=True, size=90)
        .encode(y="Share:Q", opacity=alt.condition(near, alt.value(1), alt.value(0)), tooltip=tips)
        .add_params(near)
    )
    marked = [_mark(f"{name} {at * 100:g}\u202f%", at, place) for place, (name, at) in enumerate(lines.items())]
    return alt.layer(band, line, points, *marked).properties(height=HEIGHT)


def _mark(text: str, at: float, place: int) -> alt.LayerChart | alt.FacetChart:
    """A line across at a threshold, with words above the plot, those of several above each other."""
    base = alt.Chart({"values": [{"Threshold": at, "Name": text}]}).encode(x=alt.X("Threshold:Q"))
    rule = base.mark_rule(strokeDash=[4, 4], color="gray", strokeWidth=1.5)
    words = base.mark_text(align="left", dx=-3, dy=-5 - 15 * place, baseline="bottom", color="gray", fontSize=12)
    return alt.layer(rule, words.encode(y=alt.value(0), text="Name:N"))
