"""The result gallery: scored pictures under a threshold that answers in the browser.

One component: `gallery.html` is its skeleton, `gallery.css` its looks, `gallery.js` its behaviour. Python hears of
a threshold only when it is let go of, of a selection, and of a picture that was opened.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import streamlit as st

_HERE = Path(__file__).parent
_component = st.components.v2.component(
    "lookalike_gallery",
    html=(_HERE / "gallery.html").read_text("utf-8"),
    css=(_HERE / "gallery.css").read_text("utf-8"),
    js=(_HERE / "gallery.js").read_text("utf-8"),
)


class Card(TypedDict):
    """One match as the gallery draws it."""

    id: str
    src: str  # address of the thumbnail, such as /api/thumb/7
    url: str  # where the picture comes from, or ""; a link when it is http or https, or a path on this server
    title: str  # "": the file name in `url` is shown
    similarity: float  # -1 to 1


@dataclass(frozen=True)
class GalleryState:
    """What the gallery told Python.

    `released` is the threshold (0 to 1) last let go of in this gallery, None before the first time; `selected` the
    ids of the selected pictures, best match first; `opened` the id of the picture opened by the event that caused
    this run, else None.
    """

    released: float | None
    selected: tuple[str, ...]
    opened: str | None


def per_mille(similarity: float) -> int:
    """The similarity (-1 to 1) as it is shown and compared: 0 to 1000, rounded down.

    Rounding down keeps the screen true: what shows at least the threshold reaches it. Only from 0.9995 on is it
    1000, because half-precision storage leaves a picture a little short of 1 against itself. The small addend
    undoes binary rounding, so that 0.29 is 290.
    """
    if similarity >= 0.9995:
        return 1000
    return max(0, min(999, math.floor(similarity * 1000 + 1e-6)))


def gallery(
    matches: Sequence[Card],
    *,
    threshold: float,
    total: int,
    key: str,
    on_threshold: Callable[[float], None] | None = None,
    selectable: bool = False,
    label: str = "Matches",
) -> GalleryState:
    """Draw the matches that reach the threshold, and the controls to move it.

    `threshold` is a cosine, 0 to 1, held to a tenth of a percent. The curator moves it at will; a value that
    differs from the one given in the run before is an order, and is obeyed. `total` is the number of pictures in the
    collection. `key` names this gallery in the page. `on_threshold` is called with the new threshold when the
    handle is let go of, before the script runs. `selectable` puts a checkbox on each card. `label` names the list of
    pictures for those who hear the page.
    """
    told: dict[str, Any] = st.session_state.get(key) or {}
    cards = [
        {"id": m["id"], "src": m["src"], "url": m["url"], "title": m["title"], "score": per_mille(m["similarity"])}
        for m in sorted(matches, key=lambda match: -match["similarity"])
    ]
    revision = hashlib.sha256(json.dumps(cards).encode()).hexdigest()[:16]

    def hear_threshold() -> None:
        if on_threshold is not None:
            on_threshold(float(st.session_state[key]["threshold"]["value"]))

    result = _component(
        key=key,
        data={
            "matches": cards,
            "revision": revision,
            "threshold": round(threshold * 1000),
            "heard": (told.get("threshold") or {}).get("turn", 0),
            "selected": _selected(told, revision),
            "selectable": selectable,
            "total": total,
            "label": label,
        },
        on_threshold_change=hear_threshold,
        on_selected_change=_ignore,
        on_open_change=_ignore,
    )
    release = result.get("threshold")
    return GalleryState(
        released=float(release["value"]) if release else None,
        selected=tuple(_selected(result, revision)),
        opened=result.get("open"),
    )


def _selected(state: Any, revision: str) -> list[str]:
    """The ids selected among the matches of this revision; a selection among other matches has lapsed."""
    selection = state.get("selected") or {}
    return list(selection["ids"]) if selection.get("revision") == revision else []


def _ignore() -> None:
    """Streamlit reports only the names that have a callback."""
