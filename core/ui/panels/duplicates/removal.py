"""What is done with groups of duplicates: removal after a preview, and pairs that are settled; with undo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from uuid import UUID

import streamlit as st

from core.duplicates.removal import remove_duplicates, undo_removal
from core.duplicates.settled_pairs import SettledPair
from core.duplicates.star_grouping import Group, Pair, pairs_within
from core.signed_urls import thumbnail_path
from core.ui.app_status import engine
from core.ui.formatting import counted, date_and_time, file_size
from core.ui.undo import attempt

PREVIEWED = 60
"""Pictures shown in a preview."""

SETTLED = 10
"""Settled pairs that are listed, the latest first."""

SHEET = """<style>
.sheet {display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: 0.75rem}
.sheet figure {margin: 0; font-size: 0.8125rem}
.sheet div {display: flex; gap: 2px}
.sheet img {width: 50%; height: 5rem; object-fit: cover; border-radius: 0.25rem}
.sheet img.goes {outline: 3px dashed #b91c1c; outline-offset: -3px}
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
    merge = st.checkbox(
        "Add tags and details of what goes to what stays",
        value=True,
        help="Tags are added. A title, or a detail such as the artist, is added where the picture that stays has none.",
    )
    with st.container(horizontal=True):
        if st.button(f"Remove {counted(len(gone), 'picture')}", type="primary", icon=":material/delete:"):
            remove(groups, merge=merge)
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


def remove(groups: Sequence[Group], *, merge: bool = True) -> None:
    """Remove the duplicates of these groups, and offer an undo; `merge` their tags and details into what stays."""

    def act() -> tuple[str, Callable[[], object]]:
        database = engine().database
        done = remove_duplicates(database, groups, merge=merge)
        wanted, count = sum(len(group.members) for group in groups), len(done.pictures)
        sentence = f"{counted(count, 'duplicate')} removed from the collection."
        if count < wanted:
            sentence += f" Someone else had already removed the other {wanted - count:,}."
        if done.described:
            sentence += f" {counted(len(done.described), 'picture')} that stayed got their tags or details."
        return sentence, lambda: undo_removal(database, done)

    attempt(act)


def mark_not_duplicates(group: Group, picture: UUID | None) -> None:
    """Mark this picture as not a duplicate of the group's others; with None, all of them as not duplicates."""
    what = "Marked as not a duplicate" if picture else "Marked as not duplicates"
    _settle(pairs_within(group.pictures, picture), f"{what}. They will not be grouped again.")


def stack(group: Group) -> None:
    """Keep all pictures of this group, as a stack."""
    sentence = f"{counted(len(group.pictures), 'picture')} stacked. All of them stay, and a search shows them as one."
    _settle(pairs_within(group.pictures), sentence, stacked=True)


def _settle(pairs: Sequence[Pair], sentence: str, *, stacked: bool = False) -> None:
    def act() -> tuple[str, Callable[[], object]]:
        done = engine().settled_pairs.settle(pairs, stacked=stacked)
        return sentence, lambda: engine().settled_pairs.unsettle(done)

    attempt(act)


def show_settled_pairs() -> None:
    """The pairs that a curator has settled, each with a button that undoes it. Raises DatabaseError."""
    count, pairs = engine().settled_pairs.latest(SETTLED)
    if not count:
        return
    # Without a count in its label: it would close whenever that changes.
    with st.expander(
        "Not duplicates, and stacks", icon=":material/difference:", key="settled-pairs", on_change="rerun"
    ) as box:
        if not box.open:
            return
        st.caption(f"{counted(count, 'pair')} of pictures, the latest first. They are in no group.")
        for entry in pairs:
            with st.container(horizontal=True, vertical_alignment="center", key=f"pair-{entry.picture}-{entry.other}"):
                images = _image(entry.picture, "First picture") + _image(entry.other, "Second picture")
                st.html(SHEET + f'<div class="sheet"><figure><div>{images}</div></figure></div>', width=200)
                what = "Stacked" if entry.stacked else "Not duplicates"
                st.caption(f"{what} · {date_and_time(entry.settled_at)}", width="stretch")
                st.button(
                    "Undo",
                    key=f"back-{entry.picture}-{entry.other}",
                    icon=":material/undo:",
                    type="tertiary",
                    on_click=_unsettle,
                    args=(entry,),
                )
        if count > len(pairs):
            st.caption(f"… and {count - len(pairs):,} earlier pairs.")


def _unsettle(pair: SettledPair) -> None:
    def act() -> tuple[str, Callable[[], object]]:
        done = engine().settled_pairs.unsettle([(pair.picture, pair.other)])
        return "The two can be grouped again.", lambda: engine().settled_pairs.settle(done, stacked=pair.stacked)

    attempt(act)
