"""The chart of precision and recall over the threshold."""

from __future__ import annotations

from collections.abc import Mapping

import altair as alt
import numpy as np

from core.tuning.precision_recall import Tuning
from core.ui.formatting import exact_percent

HEIGHT = 320

COLOURS = {"Precision": "#0d9488", "Recall": "#d97706"}
"""Both are legible on light and dark backgrounds, and distinct for the colour-blind."""

MEANING = {"Precision": "of the matches shown are right", "Recall": "of the right matches are shown"}


def curves(tuning: Tuning, lines: Mapping[str, float]) -> alt.LayerChart | alt.FacetChart:
    """The chart of a tuning; `lines` are thresholds (0 to 1) to mark, each under its name."""
    low, high = tuning.span
    first, last = max(0.0, np.floor(low * 20) / 20), min(1.0, np.ceil(high * 20) / 20)
    steps = np.flatnonzero((tuning.thresholds >= first - 1e-9) & (tuning.thresholds <= last + 1e-9))
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
        for step in steps
    ]
    axis = alt.Axis(format="%", grid=True)
    across = alt.X("Threshold:Q", axis=axis, scale=alt.Scale(domain=[first, last], nice=False))
    colour = alt.Color(
        "Curve:N",
        title=None,
        scale=alt.Scale(domain=list(COLOURS), range=list(COLOURS.values())),
        legend=alt.Legend(orient="bottom"),
    )
    base = alt.Chart({"values": rows}).encode(x=across, color=colour)
    near = alt.selection_point(nearest=True, on="pointerover", fields=["Threshold"], empty=False, clear="pointerout")
    tooltip = [
        alt.Tooltip("Threshold:Q", format=".1%"),
        alt.Tooltip("Curve:N", title="Curve"),
        alt.Tooltip("Meaning:N", title="Share"),
    ]
    band = base.mark_area(opacity=0.22).encode(
        y=alt.Y("From:Q", title=None, axis=axis, scale=alt.Scale(domain=[0, 1])), y2="To:Q"
    )
    line = base.mark_line(strokeWidth=2.5).encode(y="Share:Q")
    points = (
        base.mark_point(filled=True, size=90)
        .encode(y="Share:Q", opacity=alt.condition(near, alt.value(1), alt.value(0)), tooltip=tooltip)
        .add_params(near)
    )
    marked = [_line(f"{name} {exact_percent(at)}", at, place) for place, (name, at) in enumerate(lines.items())]
    return alt.layer(band, line, points, *marked).properties(height=HEIGHT)


def _line(text: str, at: float, place: int) -> alt.LayerChart | alt.FacetChart:
    """A vertical line at a threshold, with a label above the plot; labels of several lines are stacked."""
    base = alt.Chart({"values": [{"Threshold": at, "Name": text}]}).encode(x=alt.X("Threshold:Q"))
    rule = base.mark_rule(strokeDash=[4, 4], color="gray", strokeWidth=1.5)
    label = base.mark_text(align="left", dx=-3, dy=-5 - 15 * place, baseline="bottom", color="gray", fontSize=12)
    return alt.layer(rule, label.encode(y=alt.value(0), text="Name:N"))
