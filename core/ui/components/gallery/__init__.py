"""The result gallery: scored pictures under a threshold that answers in the browser.

One component: `gallery.html` is its skeleton, `gallery.css` its looks, `gallery.js` its behaviour. Python hears of
a threshold only when it is let go of, of verdicts, of a selection, of a picture that was opened, and of a wish for
more or less like a picture.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NotRequired, TypedDict

import streamlit as st

from core.search.score import per_mille
from core.ui.components.base import component
from core.ui.components.events import handle_events, handled_events

Ask = Literal["more", "less"]
"""What a card's buttons ask for: more like this picture, or less like it."""

_ASKS: Final[tuple[Ask, ...]] = ("more", "less")
_component = component("gallery")


class Card(TypedDict):
    """One match as the gallery draws it."""

    id: str
    src: str  # address of the thumbnail, such as /api/thumb/7
    url: str  # where the picture comes from, or ""; a link when it is http or https, or a path on this server
    title: str  # "": the file name in `url` is shown
    similarity: float  # -1 to 1
    copy_of: NotRequired[str]  # the id of a better match that this is a near-copy of: folded under its card
    note: NotRequired[str]  # a short sentence under the score, such as "Closer than 99.9 % of the collection"
    badge: NotRequired[str]  # a word or three on the picture, such as "In your query"


class Mark(TypedDict):
    """A suggested threshold: a tick under the histogram, and a button that moves the line there."""

    label: str  # one word, such as "Strict"
    at: float  # a cosine; rounded down to a tenth of a percent, as similarities are
    reason: str  # a sentence: why there


@dataclass(frozen=True)
class GalleryState:
    """What the gallery told Python.

    `released` is the threshold (0 to 1) last let go of in this gallery, None before the first time; `selected` the
    ids of the selected pictures, best match first; `opened` the id of the picture opened by the event that caused
    this run, else None; `asked` what that event asked for and of which picture, such as ("more", "7"), else None.
    """

    released: float | None
    selected: tuple[str, ...]
    opened: str | None
    asked: tuple[Ask, str] | None


def leaders(ranked: Sequence[Card]) -> list[int | None]:
    """For each of the matches, best first, the place of the one that it is folded under, None where it stands alone.

    A copy of a copy goes under the first of them all; a `copy_of` that is no better match of this list is no leader.
    """
    first: dict[str, int] = {}
    found: list[int | None] = []
    for place, match in enumerate(ranked):
        leader = first.get(match.get("copy_of", ""))
        found.append(leader)
        first[match["id"]] = place if leader is None else leader
    return found


def gallery(
    matches: Sequence[Card],
    *,
    threshold: float,
    total: int,
    key: str,
    on_threshold: Callable[[float], None] | None = None,
    selectable: bool = False,
    label: str = "Matches",
    marks: Sequence[Mark] = (),
    advice: str = "",
    caution: bool = False,
    verdicts: Mapping[str, bool] | None = None,
    on_verdict: Callable[[str, bool | None], None] | None = None,
    browsing: str = "",
    page: int = 0,
    everything: bool = False,
) -> GalleryState:
    """Draw the matches that reach the threshold, and the controls to move it.

    `threshold` is a cosine, 0 to 1, held to a tenth of a percent. The curator moves it at will; a value that
    differs from the one given in the run before is an order, and is obeyed. `total` is the number of pictures in the
    collection. `key` names this gallery in the page. `on_threshold` is called with the new threshold when the
    handle is let go of, before the script runs. `selectable` puts a checkbox on each card. `label` names the list of
    pictures for those who hear the page. `marks` are a few suggested thresholds, `advice` is a sentence beside
    them; `caution` makes that sentence a notice that cannot be overlooked. `verdicts` says of pictures by id whether
    they are right, and puts a button for yes and for no on each card; `on_verdict` is called with an id and the new
    verdict, None when it was taken back, before the script runs.

    `browsing` is a sentence such as "1 to 100 of 5,175 pictures": with it the gallery shows all it is given, in that
    order, without line, scale and scores. Another `page` scrolls back to the top, and `everything` shows all as
    selected, those of other pages too.

    Copies (`copy_of`) that reach the threshold are folded under the card of the match they are copies of, and unfold
    behind it. The sentences count pictures, folded or not.
    """
    told: dict[str, Any] = st.session_state.get(key) or {}
    ranked = sorted(matches, key=lambda match: -match["similarity"])
    cards = [
        {
            "id": match["id"],
            "src": match["src"],
            "url": match["url"],
            "title": match["title"],
            "score": per_mille(match["similarity"]),
            "leader": leader,
            "note": match.get("note", ""),
            "badge": match.get("badge", ""),
        }
        for match, leader in zip(ranked, leaders(ranked), strict=True)
    ]
    revision = hashlib.sha256(json.dumps(cards).encode()).hexdigest()[:16]

    def hear_threshold() -> None:
        if on_threshold is not None:
            on_threshold(float(st.session_state[key]["threshold"]["value"]))

    def take_verdict(id: str, answer: str) -> None:
        if on_verdict is not None:
            on_verdict(id, {"yes": True, "no": False}.get(answer))

    def hear_verdicts() -> bool:
        return handle_events(key, "verdicts", take_verdict)

    if hear_verdicts():
        st.rerun()
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
            "marks": [{**mark, "at": per_mille(mark["at"])} for mark in marks],
            "advice": advice,
            "caution": caution,
            "verdicts": None if verdicts is None else dict(verdicts),
            "heard_verdicts": handled_events(key),
            "browsing": browsing,
            "page": page,
            "everything": everything,
        },
        on_threshold_change=hear_threshold,
        on_selected_change=_ignore,
        on_verdicts_change=hear_verdicts,
        on_open_change=_ignore,
        on_more_change=_ignore,
        on_less_change=_ignore,
    )
    release = result.get("threshold")
    return GalleryState(
        released=float(release["value"]) if release else None,
        selected=tuple(_selected(result, revision)),
        opened=result.get("open"),
        asked=next(((ask, result[ask]) for ask in _ASKS if result.get(ask)), None),
    )


def _selected(state: Any, revision: str) -> list[str]:
    """The ids selected among the matches of this revision; a selection among other matches has lapsed."""
    selection = state.get("selected") or {}
    return list(selection["ids"]) if selection.get("revision") == revision else []


def _ignore() -> None:
    """Streamlit reports only the names that have a callback."""
