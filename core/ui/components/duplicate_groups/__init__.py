"""Groups of duplicates side by side: the skeleton is `duplicate_groups.html`, with its .css and .js beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict
from uuid import UUID

import streamlit as st

from core.collection.store import picture_name
from core.duplicates.groups import PictureFacts
from core.duplicates.star_grouping import Group
from core.search.suggested_thresholds import percent
from core.settings import Settings
from core.signed_urls import file_path, link, thumbnail_path
from core.ui.components.base import component
from core.ui.formatting import size

_component = component("duplicate_groups")

KINDS = {"image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WebP", "image/gif": "GIF", "image/avif": "AVIF"}


class FactLine(TypedDict):
    """A line under a picture. `differs` says that it is not as the keeper's, `mark` why it is the best, or ""."""

    label: str
    value: str
    differs: bool
    mark: str


class Picture(TypedDict):
    """One picture of a group as it is drawn."""

    id: str
    src: str  # address of the thumbnail
    full: str  # address of the file where it is kept here, else ""
    url: str  # where it comes from, or ""
    name: str
    note: str  # how near it is to the keeper, a word or three
    facts: list[FactLine]


@dataclass(frozen=True)
class GroupAction:
    """What a button asked for: to keep another `picture` of a group, to remove a group's duplicates, or to remember
    that a group's pictures, or one of them, are no duplicates. `group` is its keeper."""

    what: Literal["keep", "remove", "different"]
    group: UUID
    picture: UUID | None


@dataclass(frozen=True)
class GroupsState:
    """The keepers of the groups that are selected, and what was asked for by the event that caused this run."""

    selected: tuple[UUID, ...]
    asked: GroupAction | None


def group_pictures(settings: Settings, group: Group, facts: dict[UUID, PictureFacts], *, copies: bool) -> list[Picture]:
    """The pictures of a group as they are drawn, the keeper first; `facts` must know all of them."""
    notes = {member.picture: _note(member.similarity, copies=copies) for member in group.members}
    all_of_them = [facts[id] for id in group.pictures]
    return [
        {
            "id": str(each.id),
            "src": thumbnail_path(settings, each.id),
            "full": link(settings, file_path(each.id)) if each.kept else "",
            "url": link(settings, each.urls[0]) if each.urls else "",
            "name": picture_name(each.title, each.urls[0] if each.urls else ""),
            "note": notes.get(each.id, ""),
            "facts": _facts(each, all_of_them),
        }
        for each in all_of_them
    ]


def duplicate_groups(pictures: Sequence[Sequence[Picture]], *, key: str, label: str) -> GroupsState:
    """Draw groups, each with the picture that stays before those that would go.

    `key` names the list in the page, `label` for those who hear it. What was selected lapses with the groups.
    """
    told: dict[str, Any] = st.session_state.get(key) or {}
    shown = [[picture["id"] for picture in group] for group in pictures]
    revision = hashlib.sha256(json.dumps(shown).encode()).hexdigest()[:16]
    result = _component(
        key=key,
        data={
            "groups": [{"id": group[0]["id"], "pictures": group} for group in pictures],
            "selected": _selected(told, revision),
            "revision": revision,
            "label": label,
        },
        on_selected_change=_ignore,
        on_ask_change=_ignore,
    )
    ask = result.get("ask")
    known = ask and ask["revision"] == revision
    return GroupsState(
        selected=tuple(UUID(id) for id in _selected(result, revision)),
        asked=GroupAction(ask["what"], UUID(ask["group"]), UUID(ask["picture"]) if ask["picture"] else None)
        if known
        else None,
    )


def _selected(state: Any, revision: str) -> list[str]:
    selection = state.get("selected") or {}
    return list(selection["ids"]) if selection.get("revision") == revision else []


def _note(similarity: float, *, copies: bool) -> str:
    if not copies:
        return f"{percent(similarity)} alike"
    return "Same picture" if similarity == 1 else "Nearly the same"


def _facts(mine: PictureFacts, everybody: Sequence[PictureFacts]) -> list[FactLine]:
    """The lines under a picture; the largest, the oldest and the tagged are marked where the others are not so."""

    def fact(label: str, value: str, keepers: str, mark: str = "") -> FactLine:
        return {"label": label, "value": value, "differs": value != keepers, "mark": mark}

    def best(mark: str, values: Sequence[Any], own: Any, top: Any) -> str:
        return mark if own == top and len(set(values)) > 1 else ""

    keeper = everybody[0]
    pixels = [each.width * each.height for each in everybody]
    sizes, days = [each.size for each in everybody], [each.indexed_at for each in everybody]
    lines = [
        fact(
            "Pixels",
            f"{mine.width:,} × {mine.height:,}",
            f"{keeper.width:,} × {keeper.height:,}",
            best("largest", pixels, mine.width * mine.height, max(pixels)),
        ),
        fact("File", size(mine.size), size(keeper.size), best("most bytes", sizes, mine.size, max(sizes))),
        fact("Type", _kind(mine), _kind(keeper)),
        fact("Indexed", _day(mine), _day(keeper), best("oldest", days, mine.indexed_at, min(days))),
        fact("Tags", ", ".join(mine.tags) or "none", ", ".join(keeper.tags) or "none"),
        fact("Site", _site(mine), _site(keeper)),
    ]
    if len(mine.urls) > 1:
        lines.append(fact("Found at", f"{len(mine.urls):,} addresses", ""))
    return lines


def _kind(facts: PictureFacts) -> str:
    return KINDS.get(facts.mime, facts.mime.removeprefix("image/").upper())


def _day(facts: PictureFacts) -> str:
    return f"{facts.indexed_at.astimezone():%d %b %Y, %H:%M}"


def _site(facts: PictureFacts) -> str:
    return ", ".join(facts.sites) or "a dropped file"


def _ignore() -> None:
    """Streamlit reports only the names that have a callback."""
