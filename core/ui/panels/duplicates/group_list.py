"""Groups of duplicates on the Duplicates page: which picture of each stays, a page of the groups, and their buttons."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import Any, Literal
from uuid import UUID

import streamlit as st

from core.database.embedding_tables import Model
from core.duplicates.groups import KeepRule
from core.duplicates.star_grouping import Group
from core.errors import LookalikeError
from core.ui.app_status import engine
from core.ui.components.duplicate_groups import GroupAction, duplicate_groups, group_pictures
from core.ui.formatting import counted, percent
from core.ui.panels.duplicates.comparison import compare_button, show_comparison, threshold_slider
from core.ui.panels.duplicates.removal import mark_not_duplicates, preview, remove, stack
from core.ui.panels.empty_state import empty_state
from core.verification.relation import relation_to_kept

PAGE_SIZE = 10
RULES = {
    "largest": "Largest",
    "oldest": "Oldest here",
    "tagged": "One with tags",
    "domain": "From a site",
}
SENTENCES = {
    "largest": "the largest whole picture stays",
    "oldest": "the oldest picture stays",
    "tagged": "a tagged picture stays, if there is one",
    "domain": "a picture from the site stays, if there is one",
}
Found = Literal["copies", "lookalikes"]


def choose_rule() -> KeepRule:
    """Ask which picture of a group stays. Raises DatabaseError."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        keep: Any = st.segmented_control(
            "Which picture of a group stays",
            list(RULES),
            default="largest",
            required=True,
            format_func=RULES.__getitem__,
            key="keep",
            bind="query-params",
            wrap=True,
            help="Among equals the largest stays, and never a crop instead of its whole. "
            "You can choose another picture in any group.",
        )
        if keep != "domain":
            return KeepRule(keep)
        domain = st.selectbox(
            "Site",
            [facet.name for facet in engine().nearest.facets().domains],
            index=None,
            key="site",
            accept_new_options=True,
            placeholder="Choose the site whose pictures stay",
            bind="query-params",
            width=320,
        )
        return KeepRule(keep, domain) if domain else KeepRule()


def show_copies(rule: KeepRule) -> None:
    """The groups of copies. Raises DatabaseError."""
    if engine().duplicates.unpaired():
        _show_unpaired()
    chosen = _chosen()
    found = _kept("copies", (rule, chosen), lambda: engine().duplicates.copies(rule, chosen))
    if found:
        _show_groups("copies", found, rule)
        return
    empty_state(
        "No copies",
        "No picture is in the collection twice: recompressed, resized, cropped, turned or mirrored.",
    )


def show_lookalikes(rule: KeepRule, count: int) -> None:
    """The groups of look-alikes among `count` pictures, once these were compared. Raises DatabaseError."""
    model = engine().model()
    threshold = threshold_slider(model)
    comparison = show_comparison(model, threshold)
    if comparison.threshold is None:
        if comparison.wanted is None:
            _offer_comparison(model, threshold, count)
        return
    chosen = _chosen()
    threshold = max(threshold, comparison.threshold)
    found = _kept(
        "lookalikes",
        (rule, chosen, model.id, threshold),
        lambda: engine().duplicates.lookalikes(model, threshold, rule, chosen),
    )
    if found:
        _show_groups("lookalikes", found, rule)
        return
    empty_state(
        "No look-alikes",
        f"Apart from copies, no two pictures are at least {percent(threshold)} similar. "
        "Lower the minimum similarity to see more.",
    )


def _offer_comparison(model: Model, threshold: float, count: int) -> None:
    empty_state(
        "Which pictures look alike?",
        f"Compare {counted(count, 'picture')} with each other by their embeddings. "
        "100,000 take a few minutes, and you can keep working meanwhile.",
        lambda: compare_button("Compare all pictures", model, threshold),
    )


@st.fragment(run_every=2.0)
def _show_unpaired() -> None:
    """How many pictures' copies are still looked for; at the end the page shows them."""
    try:
        waiting = engine().duplicates.unpaired()
    except LookalikeError:  # the status line says what is wrong with the database
        return
    if not waiting:
        st.rerun()
    st.caption(f":material/hourglass_top: Looking for copies of {counted(waiting, 'more picture')}…")


def _chosen() -> tuple[UUID, ...]:
    """The pictures that the curator chose to keep, the latest first."""
    return tuple(st.session_state.get("chosen", ()))


def _kept(kind: Found, depends_on: tuple[object, ...], find: Callable[[], list[Group]]) -> list[Group]:
    """Groups as they were found, until something that they depend on changes."""
    depends_on = (*depends_on, engine().duplicates.version())
    found: list[Group] | None
    known, found = st.session_state.get(f"groups-{kind}", (None, None))
    if found is None or known != depends_on:
        found = find()
        st.session_state[f"groups-{kind}"] = (depends_on, found)
    return found


def _show_groups(kind: Found, found: list[Group], rule: KeepRule) -> None:
    bar = st.container(horizontal=True, vertical_alignment="center")
    pages = -(-len(found) // PAGE_SIZE)
    number = min(st.session_state.get(f"{kind}-page", 1), pages)
    app = engine()
    groups = found[(number - 1) * PAGE_SIZE : number * PAGE_SIZE]
    details = app.duplicates.facts([id for group in groups for id in group.pictures])
    groups = _present(groups, details)
    proofs = app.duplicates.proofs(groups) if kind == "copies" else {}
    relations = {id: relation_to_kept(proof) for id, proof in proofs.items()}
    shown = duplicate_groups(
        [group_pictures(app.settings, group, details, relations) for group in groups],
        key=f"{kind}-groups",
        label="Groups of duplicates",
    )
    if pages > 1:
        st.pagination(pages, key=f"{kind}-page")
    if shown.action:
        _act(shown.action, groups)
    with bar:
        _show_bar(kind, found, [group for group in groups if group.keeper in shown.selected], rule)


def _present(groups: Sequence[Group], pictures: Container[UUID]) -> list[Group]:
    """The groups without what others removed meanwhile."""
    rest = [
        Group(group.keeper, tuple(member for member in group.members if member.picture in pictures))
        for group in groups
        if group.keeper in pictures
    ]
    return [group for group in rest if group.members]


def _act(action: GroupAction, groups: Sequence[Group]) -> None:
    group = next(group for group in groups if group.keeper == action.group)
    if action.what == "keep" and action.picture:
        others = (id for id in _chosen() if id != action.picture)
        st.session_state["chosen"] = [action.picture, *others]
    elif action.what == "remove":
        remove([group])
    elif action.what == "stack":
        stack(group)
    else:
        mark_not_duplicates(group, action.picture)
    st.rerun()


def _show_bar(kind: Found, found: list[Group], selected: list[Group], rule: KeepRule) -> None:
    count = sum(len(group.members) for group in found)
    st.markdown(f"**{counted(len(found), 'group')}** with {counted(count, 'duplicate')}", width="stretch")
    sentence = SENTENCES[rule.keep] + (", or the one you chose" if _chosen() else "")
    if selected and st.button(
        f"Review {counted(len(selected), 'selected group')}", key=f"{kind}-some", icon=":material/checklist:"
    ):
        preview(selected, sentence)
    if st.button(
        f"Review all {counted(count, 'removal')}", key=f"{kind}-all", type="primary", icon=":material/delete_sweep:"
    ):
        preview(found, sentence)
