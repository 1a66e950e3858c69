"""The drawer at the right: one picture with its details, tags, URLs, look-alikes and copies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from uuid import UUID

import streamlit as st

from core.collection.curation import checked_title
from core.collection.picture_details import PictureDetails, read_details
from core.duplicates.near_copies import MAX_DISTANCE
from core.errors import EncoderError, LookalikeError, NotFoundError
from core.media.link_check import State, check_link
from core.signed_urls import link
from core.ui.app_status import engine
from core.ui.bulk_edit import Selection, add_tag, remove_button, remove_tag, restore_button
from core.ui.components.cards import picture_card
from core.ui.components.picture_grid import picture_grid
from core.ui.formatting import counted, date_and_time, escaped, file_size, file_type, percent, pixels, short_date
from core.ui.undo import Done, attempt, offer_undo

LOOK_ALIKES = 6
COPIES = 12
PICTURE_WIDTH = 420

_COLOURS: dict[State, str] = {
    "alive": ":green[:material/check_circle:]",
    "moved": ":orange[:material/forward:]",
    "changed": ":orange[:material/difference:]",
    "gone": ":red[:material/link_off:]",
    "refused": ":red[:material/block:]",
    "unreachable": ":red[:material/cloud_off:]",
}


def show_picture(picture: UUID, search: Callable[[UUID], None], note: str = "") -> None:
    """Open the drawer. `search` searches with a picture alone; `note` is a sentence about this one."""
    st.session_state["drawer"] = [picture]
    st.session_state["undo-before-drawer"] = st.session_state.get("undo")  # stays where it is, outside
    _drawer(search, note)


@st.dialog("Picture", width="medium", position="right", on_dismiss="rerun")
def _drawer(search: Callable[[UUID], None], note: str) -> None:
    path: list[UUID] = st.session_state["drawer"]
    picture = path[-1]
    try:
        details = read_details(engine().database, picture)
        with st.container():  # one place, so that what follows is replaced where it stands
            if len(path) > 1:
                st.button("Back", icon=":material/arrow_back:", type="tertiary", key="drawer-back", on_click=_back)
            if st.session_state.get("undo") is not st.session_state["undo-before-drawer"]:
                offer_undo("drawer")
        _show_picture(details, note if len(path) == 1 else "", search)
        _edit(details)
        _show_details(details)
        _show_urls(details)
        _show_neighbours(details)
    except LookalikeError as error:
        st.info(str(error), icon=":material/info:")


def _back() -> None:
    st.session_state["drawer"].pop()


def _show_picture(details: PictureDetails, note: str, search: Callable[[UUID], None]) -> None:
    try:
        thumbnail = engine().store.thumbnail(details.id)[1]
        width = round(PICTURE_WIDTH * min(1.0, details.width / details.height))
        st.image(thumbnail, width=max(width, 120), alt=escaped(details.name))
    except NotFoundError:
        st.caption("This picture has no thumbnail.")
    size = f"{pixels(details.width, details.height)} pixels"
    st.markdown(" · ".join(filter(None, [note, size, file_size(details.bytes), file_type(details.mime)])))
    if details.removed_at:
        st.warning(
            f"Removed on {date_and_time(details.removed_at)}. It is in the bin, and searches do not find it.",
            icon=":material/delete:",
        )
    with st.container(horizontal=True, gap="small"):
        selection = Selection([details.id], 1)
        if details.removed_at:
            restore_button(selection, key="drawer-restore")
            return
        if st.button("Search with this picture", icon=":material/search:", key="drawer-search"):
            search(details.id)
        remove_button(selection, key="drawer-remove")


def _edit(details: PictureDetails) -> None:
    """Title and tags. The widgets show what is in the database, whatever they held before."""
    state = st.session_state
    title, tags = f"drawer-title-{details.id}", f"drawer-tags-{details.id}"
    state[title], state[tags] = details.title, details.tags
    st.text_input("Title", key=title, placeholder=details.name, on_change=_retitle, args=(details, title))
    known = [name for name, _ in engine().curation.tags()]
    st.multiselect(
        "Tags",
        [*known, *(tag for tag in details.tags if tag not in known)],
        key=tags,
        accept_new_options=True,
        placeholder="Choose tags, or type a new one",
        on_change=_retag,
        args=(details, tags),
    )


def _show_details(details: PictureDetails) -> None:
    imports = ", ".join(f"{origin.name} ({short_date(origin.created_at)})" for origin in details.origins)
    rows = {"Indexed": date_and_time(details.indexed_at), "Imports": imports or "Deleted", **details.fields}
    _table(rows)
    with st.expander("Hashes", icon=":material/fingerprint:"):
        st.caption("SHA-256 of the file")
        st.code(details.sha256.hex(), language=None, wrap_lines=True)
        st.caption(f"Perceptual hash: copies differ in at most {MAX_DISTANCE} of its 64 bits")
        st.code(details.phash_hex, language=None)


def _show_urls(details: PictureDetails) -> None:
    st.markdown(f"**{'URL' if len(details.urls) == 1 else 'URLs'}**")
    for number, url in enumerate(details.urls):
        target = link(engine().settings, url)
        if not url.startswith("http"):
            st.markdown(f"[Stored file]({target})")
            continue
        st.markdown(f"[{escaped(url)}]({url.replace(')', '%29').replace('(', '%28')})")
        if st.button("Check link", icon=":material/network_check:", key=f"check-{details.id}-{number}"):
            with st.spinner("Checking…"):
                answer = check_link(engine().fetcher, url, details.sha256)
            st.markdown(f"{_COLOURS[answer.state]} {escaped(answer.sentence)}")
    if not details.urls:
        st.caption("None. A different picture is at its URL now.")


def _show_neighbours(details: PictureDetails) -> None:
    """Copies and look-alikes, each of which opens in the drawer."""
    app = engine()
    copies = app.store.copies_of([details.id]).get(details.id, [])
    if copies:
        few = copies[:COPIES]
        more = f", {len(few)} shown" if len(few) < len(copies) else ""
        _row(f"copies-{details.id}", f"{len(copies):,} {'copy' if len(copies) == 1 else 'copies'}{more}", few, {})
    try:
        model = app.model()
        vector = app.store.embedding(model, details.id)
        if vector is None:
            return
        found = app.nearest.search(model, vector, LOOK_ALIKES, leave_out=[details.id, *copies]).matches
    except EncoderError:
        st.caption("Look-alikes are shown once CLIP is loaded.")
        return
    notes = {match.id: f"{percent(match.similarity)} similar" for match in found}
    if found:
        _row(f"look-alikes-{details.id}", counted(len(found), "most similar picture"), list(notes), notes)


def _row(key: str, heading: str, ids: list[UUID], notes: Mapping[UUID, str]) -> None:
    app = engine()
    shown = picture_grid(
        [
            picture_card(app.settings, entry, notes.get(entry.id, pixels(entry.width, entry.height)))
            for entry in app.browser.entries(ids)
        ],
        heading=heading,
        key=f"drawer-{key}",
        label=heading,
    )
    if shown.opened:
        st.session_state["drawer"].append(UUID(shown.opened))
        st.rerun(scope="fragment")


def _table(rows: Mapping[str, str]) -> None:
    st.table(
        {"": [escaped(name) for name in rows], " ": [escaped(value) for value in rows.values()]},
        border="horizontal",
        hide_index=True,
        hide_header=True,
    )


def _retitle(details: PictureDetails, key: str) -> None:
    def act() -> Done:
        title = checked_title(st.session_state[key])
        former = engine().curation.retitle(details.id, title)
        if former is None:
            return Done("The title has not changed.")

        def back() -> list[str]:
            undone = engine().curation.retitle(details.id, former, instead_of=title)
            return [] if undone is None else [undone]

        return Done(f"The title is now **{escaped(title)}**." if title else "The title was removed.", 1, back)

    attempt(act)


def _retag(details: PictureDetails, key: str) -> None:
    """Only what this curator changed: a tag that someone else added meanwhile stays."""
    wanted = st.session_state[key]
    selection = Selection([details.id], 1)
    for tag in wanted:
        if tag not in details.tags:
            add_tag(selection, tag)
    for tag in details.tags:
        if tag not in wanted:
            remove_tag(selection, tag)
