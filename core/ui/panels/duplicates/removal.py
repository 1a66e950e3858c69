"""What is done with groups of duplicates: removal after a preview, and pairs marked as not duplicates; with undo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from uuid import UUID

import streamlit as st

from core.duplicates.star_grouping import Group, Pair, pairs_within
from core.signed_urls import thumbnail_path
from core.ui.app_status import engine
from core.ui.formatting import counted, date_and_time, file_size
from core.ui.undo import attempt

PREVIEWED = 60
"""Pictures shown in a preview."""

MARKED = 10
"""Pairs marked as not duplicates that are listed, the latest first."""

SHEET = """<style>
.sheet {display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: 0.75rem}
.sheet figure {margin: 0; font-size: 0.8125rem}
.sheet div {display: flex; gap: 2px}
.sheet img {width: 50%; height: 5rem; object-fit: cover; border-radius: 0.25rem}
.sheet img.goes {opacity: 0.45}
</style>"""


@st.dialog("What would be removed", width="large", on_dismiss="rerun")
def preview(groups: Sequence[Group], rule: str) -> None:
    """Show what removing these groups' duplicates would do, with a button that does it; `rule` says what stays."""
    gone = [(group.keeper, member.picture) for group in groups for member in group.members]
    st.markdown(
        f"{_each(len(groups))}, {rule}. "
        f"**{counted(len(gone), 'picture')}** ({file_size(engine().duplicates.size([id for _, id in gone]))}) "
        "would move to the bin. You can undo this."
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
    return "In this group" if groups == 1 else f"In each of {groups:,} groups"


def _figure(keeper: UUID, picture: UUID) -> str:
    return f"<figure><div>{_image(keeper, 'Stays')}{_image(picture, 'Would be removed', 'goes')}</div></figure>"


def _image(picture: UUID, alt: str, kind: str = "") -> str:
    path = escape(thumbnail_path(engine().settings, picture))
    return f'<img src="{path}" loading="lazy" alt="{alt}" class="{kind}">'


def remove(groups: Sequence[Group]) -> None:
    """Remove the duplicates of these groups, and offer an undo."""

    def act() -> tuple[str, Callable[[], object]]:
        done = engine().duplicates.remove(groups)
        wanted = sum(len(group.members) for group in groups)
        rest = f" Someone else had already removed the other {wanted - len(done):,}." if len(done) < wanted else ""
        sentence = f"{counted(len(done), 'duplicate')} removed from the collection.{rest}"
        return sentence, lambda: engine().curation.restore(done)

    attempt(act)


def mark_not_duplicates(group: Group, picture: UUID | None) -> None:
    """Mark this picture as not a duplicate of the group's others; with None, all of them as not duplicates."""

    def act() -> tuple[str, Callable[[], object]]:
        done = engine().duplicates.mark_not_duplicates(pairs_within(group.pictures, picture))
        what = "Marked as not a duplicate" if picture else "Marked as not duplicates"
        return f"{what}. They will not be grouped again.", lambda: engine().duplicates.unmark_not_duplicates(done)

    attempt(act)


def show_not_duplicates() -> None:
    """The pairs that a curator marked as not duplicates, each with a button that undoes it. Raises DatabaseError."""
    count, pairs = engine().duplicates.not_duplicates(MARKED)
    if not count:
        return
    # Without a count in its label: it would close whenever that changes.
    with st.expander(
        "Marked as not duplicates", icon=":material/difference:", key="not-duplicates", on_change="rerun"
    ) as box:
        if not box.open:
            return
        st.caption(f"{counted(count, 'pair')} of pictures, the latest first. They are never in one group.")
        for entry in pairs:
            with st.container(horizontal=True, vertical_alignment="center", key=f"pair-{entry.picture}-{entry.other}"):
                images = _image(entry.picture, "First picture") + _image(entry.other, "Second picture")
                st.html(SHEET + f'<div class="sheet"><figure><div>{images}</div></figure></div>', width=200)
                st.caption(date_and_time(entry.said_at), width="stretch")
                st.button(
                    "Undo",
                    key=f"back-{entry.picture}-{entry.other}",
                    icon=":material/undo:",
                    type="tertiary",
                    on_click=_unmark,
                    args=((entry.picture, entry.other),),
                )
        if count > len(pairs):
            st.caption(f"… and {count - len(pairs):,} earlier pairs.")


def _unmark(pair: Pair) -> None:
    def act() -> tuple[str, Callable[[], object]]:
        done = engine().duplicates.unmark_not_duplicates([pair])
        return "The two can be grouped again.", lambda: engine().duplicates.mark_not_duplicates(done)

    attempt(act)
