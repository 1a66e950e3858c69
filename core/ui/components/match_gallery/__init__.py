"""A query and its matches under a threshold that is moved in the browser: `match_gallery.html`, `.css` and `.js`, on
the cards of `cards`, with the query as tiles of `query_strip`.

A match opens on the comparing table, in the browser. Python learns of a threshold only when the handle is let go of, of
verdicts, of a selection, of what the table does to a picture, of a picture whose facts it shows, of what is done to the
query, and of a request for all facts, for more or less like a picture, or for more matches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, cast

import streamlit as st

from core.search.score import per_mille
from core.ui.components.base import component
from core.ui.components.cards import Card
from core.ui.components.comparing_table import Edit, Facts, Outlines, QuerySide, Warmth
from core.ui.components.events import handle_events, handled_events, no_callback, revision_of, selected_ids
from core.ui.components.query_strip import QueryTile, TileEvent

_component = component("match_gallery")


class MatchCard(Card):
    """One match as it is drawn."""

    similarity: float  # -1 to 1
    copy_of: str  # the id of a better match that this is a near-copy of, and is folded under; or ""
    badge: str  # a word or three on the picture, such as "In your query", or ""
    relation: str  # for the same picture as the query, what became of it, such as "Mirrored"; or ""
    outlines: Outlines | None  # for the same picture as the query, how they lie in each other


class Mark(TypedDict):
    """A suggested threshold: a tick under the histogram, and a button that moves the threshold there."""

    label: str  # one word, such as "Strict"
    at: float  # a cosine; rounded down to a tenth of a percent, as similarities are
    reason: str  # a sentence: why there


@dataclass(frozen=True)
class MatchGalleryState:
    """What the gallery reports.

    `released` is the threshold (0 to 1) last let go of in this gallery, None before the first time; `selected` the
    ids of the selected pictures, best match first. The others are ids of pictures, set by the event that caused this
    run, else None: the one that all is to be shown of, and the one that more or less like it is wanted of.
    """

    released: float | None
    selected: tuple[str, ...]
    opened: str | None
    more_like: str | None
    less_like: str | None


def leaders(ranked: Sequence[MatchCard]) -> list[int | None]:
    """For each of the matches, best first, the place of the one that it is folded under, None where it stands alone.

    A copy of a copy goes under the first of them all; a `copy_of` that is no better match of this list is no leader.
    """
    first: dict[str, int] = {}
    found: list[int | None] = []
    for place, match in enumerate(ranked):
        leader = first.get(match["copy_of"])
        found.append(leader)
        first[match["id"]] = place if leader is None else leader
    return found


def match_gallery(
    matches: Sequence[MatchCard],
    *,
    threshold: float,
    total: int,
    key: str,
    search: str = "",
    on_threshold: Callable[[float], None],
    selectable: bool = True,
    label: str = "Matches",
    tiles: Sequence[QueryTile] = (),
    on_tile: Callable[[int, TileEvent], None] | None = None,
    empty: str = "There are no matches to show.",
    alike_from: float | None = None,
    on_more: Callable[[], None] | None = None,
    marks: Sequence[Mark] = (),
    advice: str = "",
    caution: bool = False,
    rights: Mapping[str, float] | None = None,
    verdicts: Mapping[str, bool] | None = None,
    on_verdict: Callable[[str, bool | None], None] | None = None,
    queries: Sequence[QuerySide] = (),
    facts: Callable[[str], Facts | None] | None = None,
    warmth: Callable[[str], Warmth] | None = None,
    on_edit: Callable[[str, Edit, str], None] | None = None,
) -> MatchGalleryState:
    """Draw the matches that reach the threshold, and the controls to move it.

    `threshold` is a cosine, 0 to 1, held to a tenth of a percent. The curator moves it at will; a value that
    differs from the one given in the run before is an order, and is obeyed. `total` is the number of pictures in the
    collection. `key` names this gallery in the page, and `search` what was searched for: while it is the same, what
    is selected stays so though the matches change; without it the selection lapses with them. `on_threshold` is called
    with the new threshold when the handle is let go of, before the script runs. `selectable` puts a checkbox on each
    card. `label` names the list of pictures for screen readers. `tiles` are the parts of the query, on the strip that
    stays on the screen; `on_tile` is called with a part's number and what is done to it, before the script runs.
    `empty` is said when there are no matches. From `alike_from` (a cosine) on, matches are headed *Very alike*, the
    others *Perhaps*; without it all are *Look-alikes*. `on_more` is called when more matches are asked for; without it
    that is not offered. `marks` are a few suggested thresholds, `advice` is a
    sentence beside them; `caution` makes that sentence a notice that cannot be overlooked. `rights` says by id how
    likely each match is right, 0 to 1, where that is known. `verdicts` says of pictures
    by id whether they are right, and puts a button for yes and for no on each card; `on_verdict` is called with an id
    and the new verdict, None when it was undone, before the script runs. `queries` are what the comparing table shows
    beside a match; `facts` is called with the id of the match whose facts it shows, `warmth` with that of the match of
    which is asked why it is like the query; `on_edit` with an id, what is to be done to that picture, and a tag or "",
    before the script runs.

    Matches with a `relation` come first and show whatever the threshold. Copies (`copy_of`) that reach the threshold
    are folded under the card of the match they are copies of, and unfold behind it. The sentences count pictures,
    folded or not.
    """
    ranked = sorted(matches, key=lambda match: (not match["relation"], -match["similarity"]))
    cards = [_drawn(match, leader) for match, leader in zip(ranked, leaders(ranked), strict=True)]
    revision = revision_of(cards)
    scope = search or revision
    listed = {match["id"] for match in matches}
    state: dict[str, Any] = st.session_state.get(key) or {}

    def release() -> None:
        on_threshold(float(st.session_state[key]["threshold"]["value"]))

    def judge(id: str, verdict: str) -> None:
        if on_verdict is not None:
            on_verdict(id, {"yes": True, "no": False}.get(verdict))

    def edit(id: str, event: str) -> None:
        what, _, tag = event.partition(":")
        if on_edit is not None:
            on_edit(id, cast(Edit, what), tag)

    def act(number: str, event: str) -> None:
        if on_tile is not None:
            on_tile(int(number), cast(TileEvent, event))

    def handle_logs() -> bool:
        found = [handle_events(key, name, act) for name, act in logs.items()]
        return any(found)

    def fetch_more() -> None:
        if on_more is not None:
            on_more()

    logs = {"verdicts": judge, "edits": edit, "acts": act}

    if handle_logs():
        st.rerun()
    looked_at, asked_why = state.get("looked_at"), state.get("asked_why")
    result = _component(
        key=key,
        data={
            "matches": cards,
            "revision": revision,
            "threshold": round(threshold * 1000),
            "turn": (state.get("threshold") or {}).get("turn", 0),
            "scope": scope,
            "selected": selected_ids(state, scope),
            "selectable": selectable,
            "total": total,
            "more": on_more is not None,
            "tiles": list(tiles),
            "empty": empty,
            "alike": None if alike_from is None else per_mille(alike_from),
            "label": label,
            "marks": [{**mark, "at": per_mille(mark["at"])} for mark in marks],
            "advice": advice,
            "caution": caution,
            "rights": None if rights is None else [rights[match["id"]] for match in ranked],
            "verdicts": None if verdicts is None else dict(verdicts),
            "handled": handled_events(key),
            "queries": list(queries),
            "facts": facts(looked_at) if facts and looked_at in listed else None,
            "warmth": warmth(asked_why) if warmth and asked_why in listed else None,
        },
        on_threshold_change=release,
        on_selected_change=no_callback,
        on_verdicts_change=handle_logs,
        on_edits_change=handle_logs,
        on_acts_change=handle_logs,
        on_beyond_change=fetch_more,
        on_looked_at_change=no_callback,
        on_asked_why_change=no_callback,
        on_open_change=no_callback,
        on_more_change=no_callback,
        on_less_change=no_callback,
    )
    released = result.get("threshold")
    return MatchGalleryState(
        released=float(released["value"]) if released else None,
        selected=tuple(id for id in selected_ids(result, scope) if id in listed),
        opened=result.get("open"),
        more_like=result.get("more"),
        less_like=result.get("less"),
    )


def _drawn(match: MatchCard, leader: int | None) -> dict[str, object]:
    """A match as the script takes it."""
    score = per_mille(match["similarity"])
    kept = {name: value for name, value in match.items() if name not in ("similarity", "copy_of")}
    return {**kept, "score": score, "leader": leader}
