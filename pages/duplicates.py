from collections.abc import Callable
from typing import Any

import streamlit as st

from core.duplicates.groups import KeepRule
from core.duplicates.star_grouping import Group
from core.errors import LookalikeError
from core.ui.app_status import engine
from core.ui.components.duplicate_groups import GroupAction, duplicate_groups, group_pictures
from core.ui.formatting import counted
from core.ui.panels.duplicate_removal import mark_not_duplicates, preview, remove, show_said
from core.ui.panels.lookalike_comparison import compare_button, show_comparison, threshold_slider
from core.ui.undo import offer_undo

ON_A_PAGE = 10
RULES = {
    "largest": "Largest",
    "oldest": "Oldest here",
    "tagged": "One with tags",
    "domain": "From a site",
}
SPOKEN = {
    "largest": "the largest picture stays",
    "oldest": "the oldest picture stays",
    "tagged": "a picture with tags stays, where there is one",
    "domain": "a picture from the site stays, where there is one",
}

state = st.session_state
app = engine()


def chosen_rule() -> KeepRule:
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
            help="Of equals the largest stays. You can choose another picture in any group.",
        )
        if keep != "domain":
            return KeepRule(keep)
        domain = st.selectbox(
            "Site",
            [facet.name for facet in app.nearest.facets().domains],
            index=None,
            key="site",
            accept_new_options=True,
            placeholder="Choose the site whose pictures stay",
            bind="query-params",
            width=320,
        )
        return KeepRule(keep, domain) if domain else KeepRule()


def kept_groups(kind: str, wanted: tuple[object, ...], find: Callable[[], list[Group]]) -> list[Group]:
    """Groups as they were found, until something that they depend on changes."""
    wanted = (*wanted, app.duplicates.version())
    found: list[Group] | None
    known, found = state.get(f"groups-{kind}", (None, None))
    if found is None or known != wanted:
        found = find()
        state[f"groups-{kind}"] = (wanted, found)
    return found


def obey(asked: GroupAction, shown: list[Group]) -> None:
    group = next(group for group in shown if group.keeper == asked.group)
    if asked.what == "keep" and asked.picture:
        state["chosen"] = [asked.picture, *(id for id in state.get("chosen", []) if id != asked.picture)]
    elif asked.what == "remove":
        remove([group])
    else:
        mark_not_duplicates(group, asked.picture)
    st.rerun()


def show_groups(kind: str, found: list[Group], rule: KeepRule) -> None:
    bar = st.container(horizontal=True, vertical_alignment="center")
    pages = -(-len(found) // ON_A_PAGE)
    at = min(state.get(f"{kind}-page", 1), pages)
    some = found[(at - 1) * ON_A_PAGE : at * ON_A_PAGE]
    facts = app.duplicates.facts([id for group in some for id in group.pictures])
    there = [
        Group(group.keeper, tuple(member for member in group.members if member.picture in facts))
        for group in some
        if group.keeper in facts
    ]
    there = [group for group in there if group.members]
    told = duplicate_groups(
        [group_pictures(app.settings, group, facts, copies=kind == "copies") for group in there],
        key=f"{kind}-groups",
        label="Groups of duplicates",
    )
    if pages > 1:
        st.pagination(pages, key=f"{kind}-page")
    if told.asked:
        obey(told.asked, there)
    picked = [group for group in there if group.keeper in told.selected]
    with bar:
        show_bar(kind, found, picked, rule)


def spoken(rule: KeepRule) -> str:
    return SPOKEN[rule.keep] + (", or the one that you chose" if state.get("chosen") else "")


def show_bar(kind: str, found: list[Group], picked: list[Group], rule: KeepRule) -> None:
    gone = sum(len(group.members) for group in found)
    st.markdown(f"**{counted(len(found), 'group')}**, {counted(gone, 'duplicate')} in them.", width="stretch")
    if picked and st.button(
        f"Review {counted(len(picked), 'selected group')}", key=f"{kind}-some", icon=":material/checklist:"
    ):
        preview(picked, spoken(rule))
    if st.button(
        f"Review all {counted(gone, 'removal')}", key=f"{kind}-all", type="primary", icon=":material/delete_sweep:"
    ):
        preview(found, spoken(rule))


def empty(title: str, text: str) -> None:
    with st.container(border=True, horizontal_alignment="center"):
        st.markdown(f"#### {title}", text_alignment="center")
        st.markdown(text, text_alignment="center")


@st.fragment(run_every=2.0)
def show_unpaired() -> None:
    """How many pictures' copies are still looked for; at the end the page shows them."""
    try:
        waiting = app.duplicates.unpaired()
    except LookalikeError:  # the status line says what is wrong with the database
        return
    if not waiting:
        st.rerun()
    st.caption(f":material/hourglass_top: Looking for the copies of {counted(waiting, 'more picture')}…")


def show_copies(rule: KeepRule) -> None:
    if app.duplicates.unpaired():
        show_unpaired()
    chosen = tuple(state.get("chosen", ()))
    found = kept_groups("copies", (rule, chosen), lambda: app.duplicates.copies(rule, chosen))
    if found:
        show_groups("copies", found, rule)
    else:
        empty(
            "No copies",
            "No picture is in the collection twice: compressed anew, resized or saved as another type. "
            "Pictures that were cropped or mirrored are found under *Look-alikes*.",
        )


def show_lookalikes(rule: KeepRule, count: int) -> None:
    model = app.model()
    threshold = threshold_slider(model)
    comparison = show_comparison(model, threshold)
    if comparison.threshold is None:
        if comparison.wanted is None:
            empty(
                "Which pictures look alike?",
                f"{counted(count, 'picture')} can be compared with each other by what the model sees in them. "
                "That takes a few minutes for 100,000, and you can go on working meanwhile.",
            )
            with st.container(horizontal=True, horizontal_alignment="center"):
                compare_button("Compare all pictures", model, threshold)
        return
    chosen = tuple(state.get("chosen", ()))
    threshold = max(threshold, comparison.threshold)
    found = kept_groups(
        "lookalikes",
        (rule, chosen, model.id, threshold),
        lambda: app.duplicates.lookalikes(model, threshold, rule, chosen),
    )
    if found:
        show_groups("lookalikes", found, rule)
    else:
        empty(
            "No look-alikes",
            f"No two pictures are at least {threshold * 100:.0f}\u202f% alike, copies aside. "
            "Lower the threshold to see pictures that are less alike.",
        )


st.title("Duplicates", anchor=False)
st.caption(
    "Pictures that are there more than once. Each group has one that stays; nothing goes before you have seen it, and "
    "what went can be brought back."
)
try:
    if app.database_state.state == "ready":
        count = app.store.count()
        offer_undo()
        if count:
            rule = chosen_rule()
            copies, lookalikes = st.tabs(["Copies", "Look-alikes"], key="tab", on_change="rerun", bind="query-params")
            with copies:
                if copies.open:
                    show_copies(rule)
            with lookalikes:
                if lookalikes.open:
                    show_lookalikes(rule, count)
            show_said()
        else:
            empty("There is nothing to compare yet", "First give Lookalike the addresses of some pictures.")
            st.page_link("pages/index.py", label="Index pictures", icon=":material/arrow_forward:")
except LookalikeError as error:
    st.error(str(error), icon=":material/error:")
