"""Buttons that tag, untag, remove, restore and delete pictures: those that are selected, or all that a filter keeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

import streamlit as st

from core.collection.filters import Filter
from core.ui.app_status import engine, notices
from core.ui.formatting import counted, plain
from core.ui.undo import Done, attempt, forget_matches

Acted = Callable[[], None]
"""Called after the pictures were changed."""


@dataclass(frozen=True)
class Selection:
    """Pictures to do something with, and how many they are."""

    chosen: Sequence[UUID] | Filter
    count: int


def tagging(selection: Selection) -> None:
    """A button that opens: give the pictures a tag, or take one off."""
    with st.popover("Tag", icon=":material/sell:", type="tertiary", key="tagging", on_change="rerun") as box:
        if not box.open:
            return
        tag = st.selectbox(
            "Tag",
            [name for name, _ in engine().curation.tags()],
            index=None,
            accept_new_options=True,
            key="tag-name",
            placeholder="Choose one, or type a new one",
        )
        on, off = st.columns(2)
        on.button("Add", disabled=not tag, on_click=give_tag, args=(selection, tag), width="stretch")
        off.button("Take off", disabled=not tag, on_click=take_tag, args=(selection, tag), width="stretch")


def remove_button(selection: Selection, acted: Acted = lambda: None, key: str = "remove") -> None:
    """Into the bin."""
    st.button("Remove", icon=":material/delete:", type="tertiary", on_click=_remove, args=(selection, acted), key=key)


def restore_button(selection: Selection, acted: Acted = lambda: None, key: str = "restore") -> None:
    """Out of the bin."""
    icon = ":material/restore_from_trash:"
    st.button("Restore", icon=icon, type="tertiary", on_click=_restore, args=(selection, acted), key=key)


def delete_button(label: str, selection: Selection) -> None:
    """Asks first, for nothing undoes it."""
    if st.button(label, icon=":material/delete_forever:", type="tertiary", key=f"delete-{label}"):
        _confirm(selection)


def rename_tag() -> None:
    """A button that opens: give a tag another name wherever it is."""
    with st.popover("Rename a tag", icon=":material/edit:", type="tertiary", key="renaming", on_change="rerun") as box:
        if not box.open:
            return
        tags = engine().curation.tags()
        if not tags:
            st.caption("No picture has a tag yet. Select some pictures and press Tag.")
            return
        old = st.selectbox("Tag", [name for name, _ in tags], key="rename-old")
        new = st.text_input("Its new name", key="rename-new", placeholder="Where the name is taken, the two become one")
        st.button("Rename everywhere", disabled=not new.strip(), on_click=_rename, args=(old, new), width="stretch")


@st.dialog("Delete for good", icon=":material/delete_forever:", on_dismiss="rerun")
def _confirm(selection: Selection) -> None:
    curation = engine().curation
    found = curation.deletable(selection.chosen)
    if not found.count:
        st.markdown("None of these pictures is in the bin any more.")
        return
    st.markdown(
        f"**{counted(found.count, 'picture')}** will be deleted, with thumbnails, addresses, tags and the files that "
        "were dropped. The imports keep their lists. **Nothing brings them back.**"
    )
    yes, no = st.columns(2)
    if no.button("Keep them", width="stretch", key="delete-no"):
        st.rerun()
    label = f"Delete {counted(found.count, 'picture')}"
    if yes.button(label, type="primary", width="stretch", key="delete-yes"):
        with notices():
            bar = st.progress(0.0, text="Deleting…")
            count = curation.delete(selection.chosen, found.until, lambda done, total: bar.progress(done / total))
            st.session_state["undo"] = Done(f"{counted(count, 'picture')} deleted for good.")
        forget_matches()
        st.rerun()


def _told(done: int, asked: int, sentence: str, otherwise: str) -> str:
    """The sentence for what was done; where others were quicker, that too."""
    if not done:
        return f"Nothing to do: {otherwise}."
    return sentence if done >= asked else f"{sentence} For the other {asked - done:,}: {otherwise}."


def give_tag(selection: Selection, tag: str) -> None:
    """Tag pictures, and say so with the way back."""

    def act() -> Done:
        done = engine().curation.tag(selection.chosen, tag)
        sentence = f"{counted(len(done), 'picture')} tagged **{plain(tag)}**."
        told = _told(len(done), selection.count, sentence, "the tag was there already")
        return Done(told, len(done), _way_back(done, lambda: engine().curation.untag(done, tag)))

    attempt(act)


def take_tag(selection: Selection, tag: str) -> None:
    """Take a tag off pictures, and say so with the way back."""

    def act() -> Done:
        done = engine().curation.untag(selection.chosen, tag)
        sentence = f"The tag **{plain(tag)}** was taken off {counted(len(done), 'picture')}."
        told = _told(len(done), selection.count, sentence, "the tag was not there")
        return Done(told, len(done), _way_back(done, lambda: engine().curation.tag(done, tag)))

    attempt(act)


def _remove(selection: Selection, acted: Acted) -> None:
    def act() -> Done:
        done = engine().curation.remove(selection.chosen)
        sentence = f"{counted(len(done), 'picture')} removed from the collection."
        told = _told(len(done), selection.count, sentence, "somebody else has removed them already")
        return Done(told, len(done), _way_back(done, lambda: engine().curation.restore(done)))

    attempt(act)
    acted()


def _restore(selection: Selection, acted: Acted) -> None:
    def act() -> Done:
        done = engine().curation.restore(selection.chosen)
        sentence = f"{counted(len(done), 'picture')} back in the collection."
        told = _told(len(done), selection.count, sentence, "somebody else has restored or deleted them already")
        return Done(told, len(done), _way_back(done, lambda: engine().curation.remove(done)))

    attempt(act)
    acted()


def _rename(old: str, new: str) -> None:
    def act() -> Done:
        done = engine().curation.rename_tag(old, new)
        count = len(done.renamed) + len(done.merged)
        sentence = f"**{plain(done.old)}** is now **{plain(done.new)}** on {counted(count, 'picture')}."
        if done.merged:
            sentence += f" {counted(len(done.merged), 'picture')} had both."
        return Done(sentence, count, lambda: engine().curation.undo_renaming(done))

    attempt(act)


def _way_back(done: Sequence[UUID], undo: Callable[[], Sequence[UUID]]) -> Callable[[], Sequence[UUID]] | None:
    return undo if done else None
