"""Groups of duplicates side by side: the skeleton is `duplicate_groups.html`, with its .css and .js beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict
from uuid import UUID

import streamlit as st

from core.collection.store import picture_name
from core.duplicates.groups import PictureFacts
from core.duplicates.star_grouping import Group
from core.settings import Settings
from core.signed_urls import file_path, link, thumbnail_path
from core.ui.components.base import component
from core.ui.components.events import no_callback, revision_of, selected_ids
from core.ui.formatting import date_and_time, file_size, file_type, percent, pixels

_component = component("duplicate_groups")


class Detail(TypedDict):
    """A line under a picture. `differs` says that it is not as the keeper's, `mark` why it is the best, or ""."""

    label: str
    value: str
    differs: bool
    mark: str


class GroupPicture(TypedDict):
    """One picture of a group as it is drawn."""

    id: str
    src: str  # URL of the thumbnail
    full: str  # URL of the stored file, or ""
    url: str  # where it comes from, or ""
    name: str
    note: str  # how near it is to the keeper, a word or three
    details: list[Detail]


@dataclass(frozen=True)
class GroupAction:
    """What a button asked for: to keep another `picture` of a group, to remove a group's duplicates, to keep all of it
    as a stack, or to mark a group's pictures, or one of them, as not duplicates. `group` is its keeper."""

    what: Literal["keep", "remove", "stack", "different"]
    group: UUID
    picture: UUID | None


@dataclass(frozen=True)
class GroupsState:
    """The keepers of the groups that are selected, and the action asked for by the event that caused this run."""

    selected: tuple[UUID, ...]
    action: GroupAction | None


def group_pictures(
    settings: Settings, group: Group, details: dict[UUID, PictureFacts], relations: Mapping[UUID, str]
) -> list[GroupPicture]:
    """The pictures of a group as they are drawn, the keeper first; `details` must know all of them, and `relations`
    what each is to the keeper where more is known than a similarity."""
    notes = {
        member.picture: relations.get(member.picture, f"{percent(member.similarity)} similar")
        for member in group.members
    }
    all_of_them = [details[id] for id in group.pictures]
    return [
        {
            "id": str(each.id),
            "src": thumbnail_path(settings, each.id),
            "full": link(settings, file_path(each.id)) if each.kept else "",
            "url": link(settings, each.urls[0]) if each.urls else "",
            "name": picture_name(each.title, each.urls[0] if each.urls else ""),
            "note": notes.get(each.id, ""),
            "details": _details(each, all_of_them),
        }
        for each in all_of_them
    ]


def duplicate_groups(pictures: Sequence[Sequence[GroupPicture]], *, key: str, label: str) -> GroupsState:
    """Draw groups, each with the picture that stays before those that would go.

    `key` names the list in the page, `label` names it for screen readers. A selection lapses with the groups.
    """
    revision = revision_of([[picture["id"] for picture in group] for group in pictures])
    result = _component(
        key=key,
        data={
            "groups": [{"id": group[0]["id"], "pictures": group} for group in pictures],
            "selected": selected_ids(st.session_state.get(key), revision),
            "revision": revision,
            "label": label,
        },
        on_selected_change=no_callback,
        on_ask_change=no_callback,
    )
    ask = result.get("ask")
    known = ask and ask["revision"] == revision
    return GroupsState(
        selected=tuple(UUID(id) for id in selected_ids(result, revision)),
        action=GroupAction(ask["what"], UUID(ask["group"]), UUID(ask["picture"]) if ask["picture"] else None)
        if known
        else None,
    )


def _details(mine: PictureFacts, everybody: Sequence[PictureFacts]) -> list[Detail]:
    """The lines under a picture; the largest and the oldest are marked where the others are not so."""

    def detail(label: str, value: str, keepers: str, mark: str = "") -> Detail:
        return {"label": label, "value": value, "differs": value != keepers, "mark": mark}

    def best(mark: str, values: Sequence[Any], own: Any, top: Any) -> str:
        return mark if own == top and len(set(values)) > 1 else ""

    keeper = everybody[0]
    areas = [each.width * each.height for each in everybody]
    sizes, days = [each.size for each in everybody], [each.indexed_at for each in everybody]
    lines = [
        detail(
            "Pixels",
            pixels(mine.width, mine.height),
            pixels(keeper.width, keeper.height),
            best("largest", areas, mine.width * mine.height, max(areas)),
        ),
        detail(
            "File", file_size(mine.size), file_size(keeper.size), best("largest file", sizes, mine.size, max(sizes))
        ),
        detail("Type", file_type(mine.mime), file_type(keeper.mime)),
        detail(
            "Indexed",
            date_and_time(mine.indexed_at),
            date_and_time(keeper.indexed_at),
            best("oldest", days, mine.indexed_at, min(days)),
        ),
        detail("Tags", ", ".join(mine.tags) or "none", ", ".join(keeper.tags) or "none"),
        detail("Site", _site(mine), _site(keeper)),
    ]
    if len(mine.urls) > 1:
        lines.append(detail("Found at", f"{len(mine.urls):,} URLs", ""))
    return lines


def _site(picture: PictureFacts) -> str:
    return ", ".join(picture.sites) or "uploaded file"
