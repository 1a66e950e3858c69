"""Buttons that tag, untag, remove, restore and delete pictures: the selected ones, or all that match a filter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

import streamlit as st

from core.collection.filters import Filter
from core.ui.app_status import engine, notices
from core.ui.formatting import counted, escaped
from core.ui.undo import Done, attempt, forget_matches

AfterChange = Callable[[], None]
"""Called after the pictures were changed."""


@dataclass(frozen=True)
class Selection:
    """Pictures to do something with, and how many they are."""

    chosen: Sequence[UUID] | Filter
    count: int


def tagging(selection: Selection) -> None:
    """A button that opens: tag the pictures, or untag them."""
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
        on.button("Add tag", disabled=not tag, on_click=add_tag, args=(selection, tag), width="stretch")
        off.button("Remove tag", disabled=not tag, on_click=remove_tag, args=(selection, tag), width="stretch")


def remove_button(selection: Selection, after: AfterChange = lambda: None, key: str = "remove") -> None:
    """Moves the pictures to the bin."""
    st.button(
        "Remove", icon=":material/delete:", type="tertiary", on_click=remove_pictures, args=(selection, after), key=key
    )


def restore_button(selection: Selection, after: AfterChange = lambda: None, key: str = "restore") -> None:
    """Takes the pictures out of the bin."""
    icon = ":material/restore_from_trash:"
    st.button("Restore", icon=icon, type="tertiary", on_click=restore_pictures, args=(selection, after), key=key)


def delete_button(label: str, selection: Selection) -> None:
    """Asks first, because it cannot be undone."""
    if st.button(label, icon=":material/delete_forever:", type="tertiary", key=f"delete-{label}"):
        _confirm(selection)


def rename_tag() -> None:
    """A button that opens: rename a tag on all pictures."""
    with st.popover("Rename tag", icon=":material/edit:", type="tertiary", key="renaming", on_change="rerun") as box:
        if not box.open:
            return
        tags = engine().curation.tags()
        if not tags:
            st.caption("No picture has a tag yet. Select some pictures and press Tag.")
            return
        old = st.selectbox("Tag", [name for name, _ in tags], key="rename-old")
        new = st.text_input("New name", key="rename-new", placeholder="An existing name merges the two tags")
        st.button("Rename everywhere", disabled=not new.strip(), on_click=_rename, args=(old, new), width="stretch")


@st.dialog("Delete permanently", icon=":material/delete_forever:", on_dismiss="rerun")
def _confirm(selection: Selection) -> None:
    curation = engine().curation
    found = curation.deletable(selection.chosen)
    if not found.count:
        st.markdown("These pictures are no longer in the bin.")
        return
    st.markdown(
        f"**{counted(found.count, 'picture')}** will be deleted, with thumbnails, URLs, tags and stored files. "
        "The imports keep their lists. **This cannot be undone.**"
    )
    yes, no = st.columns(2)
    if no.button("Cancel", width="stretch", key="delete-no"):
        st.rerun()
    label = f"Delete {counted(found.count, 'picture')}"
    if yes.button(label, type="primary", width="stretch", key="delete-yes"):
        with notices():
            bar = st.progress(0.0, text="Deleting…")
            count = curation.delete(selection.chosen, found.until, lambda done, total: bar.progress(done / total))
            st.session_state["undo"] = Done(f"{counted(count, 'picture')} deleted permanently.")
        forget_matches()
        st.rerun()


def _report(done: int, wanted: int, sentence: str, otherwise: str) -> str:
    """The sentence for what was done; where someone else was quicker, that too."""
    if not done:
        return f"Nothing to do: {otherwise}."
    return sentence if done >= wanted else f"{sentence} The other {wanted - done:,}: {otherwise}."


def add_tag(selection: Selection, tag: str) -> None:
    """Tag pictures, and show that with an undo."""

    def act() -> Done:
        done = engine().curation.tag(selection.chosen, tag)
        sentence = f"{counted(len(done), 'picture')} tagged **{escaped(tag)}**."
        report = _report(len(done), selection.count, sentence, "already tagged")
        return Done(report, len(done), _undo_of(done, lambda: engine().curation.untag(done, tag)))

    attempt(act)


def remove_tag(selection: Selection, tag: str) -> None:
    """Remove a tag from pictures, and show that with an undo."""

    def act() -> Done:
        done = engine().curation.untag(selection.chosen, tag)
        sentence = f"**{escaped(tag)}** removed from {counted(len(done), 'picture')}."
        report = _report(len(done), selection.count, sentence, "not tagged")
        return Done(report, len(done), _undo_of(done, lambda: engine().curation.tag(done, tag)))

    attempt(act)


def remove_pictures(selection: Selection, after: AfterChange = lambda: None) -> None:
    """Move pictures to the bin, and show that with an undo."""

    def act() -> Done:
        done = engine().curation.remove(selection.chosen)
        sentence = f"{counted(len(done), 'picture')} removed from the collection."
        report = _report(len(done), selection.count, sentence, "someone else has already removed them")
        return Done(report, len(done), _undo_of(done, lambda: engine().curation.restore(done)))

    attempt(act)
    after()


def restore_pictures(selection: Selection, after: AfterChange = lambda: None) -> None:
    """Take pictures out of the bin, and show that with an undo."""

    def act() -> Done:
        done = engine().curation.restore(selection.chosen)
        sentence = f"{counted(len(done), 'picture')} restored to the collection."
        report = _report(len(done), selection.count, sentence, "someone else has already restored or deleted them")
        return Done(report, len(done), _undo_of(done, lambda: engine().curation.remove(done)))

    attempt(act)
    after()


def _rename(old: str, new: str) -> None:
    def act() -> Done:
        done = engine().curation.rename_tag(old, new)
        count = len(done.renamed) + len(done.merged)
        sentence = f"**{escaped(done.old)}** is now **{escaped(done.new)}** on {counted(count, 'picture')}."
        if done.merged:
            sentence += f" {counted(len(done.merged), 'picture')} had both tags."
        return Done(sentence, count, lambda: engine().curation.undo_renaming(done))

    attempt(act)


def _undo_of(done: Sequence[UUID], undo: Callable[[], Sequence[UUID]]) -> Callable[[], Sequence[UUID]] | None:
    return undo if done else None
