"""What is done with groups of duplicates: removal after a preview, and what is said to be none; all with undo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from uuid import UUID

import streamlit as st

from core.duplicates.star_grouping import Group, Pair, pairs_within
from core.signed_urls import thumbnail_path
from core.ui.app_status import engine
from core.ui.formatting import counted, size
from core.ui.undo import attempt

PREVIEWED = 60
"""Pictures that a preview shows."""

SAID = 10
"""Pairs said to be no duplicates that are shown, the last first."""

SHEET = """<style>
.sheet {display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: 0.75rem}
.sheet figure {margin: 0; font-size: 0.8125rem}
.sheet div {display: flex; gap: 2px}
.sheet img {width: 50%; height: 5rem; object-fit: cover; border-radius: 0.25rem}
.sheet img.goes {opacity: 0.45}
</style>"""


@st.dialog("What would be removed", width="large", on_dismiss="rerun")
def preview(groups: Sequence[Group], rule: str) -> None:
    """Show what the removal of these groups' duplicates would do, and let it be done; `rule` says what stays."""
    gone = [(group.keeper, member.picture) for group in groups for member in group.members]
    st.markdown(
        f"In {_each(len(groups))} {rule}. "
        f"**{counted(len(gone), 'picture')}** with files of {size(engine().duplicates.size([id for _, id in gone]))} "
        "would leave the collection. You can undo it."
    )
    st.html(SHEET + f'<div class="sheet">{"".join(_figure(*pair) for pair in gone[:PREVIEWED])}</div>')
    if len(gone) > PREVIEWED:
        st.caption(f"… and {len(gone) - PREVIEWED:,} more.")
    with st.container(horizontal=True):
        if st.button(f"Remove {counted(len(gone), 'picture')}", type="primary", icon=":material/delete:"):
            remove(groups)
            st.rerun()
        if st.button("Cancel"):
            st.rerun()


def _each(groups: int) -> str:
    return "this group" if groups == 1 else f"each of {groups:,} groups"


def _figure(keeper: UUID, picture: UUID) -> str:
    return f"<figure><div>{_image(keeper, 'Stays')}{_image(picture, 'Would go', 'goes')}</div></figure>"


def _image(picture: UUID, alt: str, kind: str = "") -> str:
    path = escape(thumbnail_path(engine().settings, picture))
    return f'<img src="{path}" loading="lazy" alt="{alt}" class="{kind}">'


def remove(groups: Sequence[Group]) -> None:
    """Remove the duplicates of these groups, and offer the way back."""

    def act() -> tuple[str, Callable[[], object]]:
        done = engine().duplicates.remove(groups)
        asked = sum(len(group.members) for group in groups)
        left = f" {asked - len(done):,} stayed, for somebody else was quicker." if len(done) < asked else ""
        sentence = f"{counted(len(done), 'duplicate')} removed from the collection.{left}"
        return sentence, lambda: engine().curation.restore(done)

    attempt(act)


def mark_not_duplicates(group: Group, picture: UUID | None) -> None:
    """Remember that this picture is no duplicate of the group's others, or none of them of another when it is None."""

    def act() -> tuple[str, Callable[[], object]]:
        done = engine().duplicates.mark_not_duplicates(pairs_within(group.pictures, picture))
        what = "The picture is no duplicate" if picture else "The pictures are no duplicates"
        return f"{what}: they are not grouped again.", lambda: engine().duplicates.unmark_not_duplicates(done)

    attempt(act)


def show_said() -> None:
    """The pairs that are no duplicates by a curator's word, each with a button that takes it back."""
    count, said = engine().duplicates.not_duplicates(SAID)
    if not count:
        return
    # With a name of its own, for it would close whenever a count in it changes.
    with st.expander("Said to be no duplicates", icon=":material/difference:", key="said", on_change="rerun") as box:
        if not box.open:
            return
        st.caption(f"{counted(count, 'pair')} of pictures, the last first. They are in no group together.")
        for entry in said:
            with st.container(horizontal=True, vertical_alignment="center", key=f"said-{entry.picture}-{entry.other}"):
                images = _image(entry.picture, "One picture") + _image(entry.other, "The other")
                st.html(SHEET + f'<div class="sheet"><figure><div>{images}</div></figure></div>', width=200)
                st.caption(f"{entry.said_at.astimezone():%d %b %Y, %H:%M}", width="stretch")
                st.button(
                    "Take back",
                    key=f"back-{entry.picture}-{entry.other}",
                    icon=":material/undo:",
                    type="tertiary",
                    on_click=_unmark,
                    args=((entry.picture, entry.other),),
                )
        if count > len(said):
            st.caption(f"… and {count - len(said):,} earlier ones.")


def _unmark(pair: Pair) -> None:
    def act() -> tuple[str, Callable[[], object]]:
        done = engine().duplicates.unmark_not_duplicates([pair])
        return "The two may be duplicates again.", lambda: engine().duplicates.mark_not_duplicates(done)

    attempt(act)
