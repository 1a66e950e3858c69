"""The drawer at the right: one picture with its facts, tags, addresses, look-alikes and copies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from uuid import UUID

import streamlit as st

from core.collection.curation import checked_title
from core.collection.picture_details import PictureDetails, read_details
from core.duplicates.near_copies import MAX_DISTANCE
from core.errors import EncoderError, LookalikeError, NotFoundError
from core.media.link_check import State, check_link
from core.search.suggested_thresholds import percent
from core.signed_urls import link, thumbnail_path
from core.ui.app_status import engine
from core.ui.bulk_edit import Selection, give_tag, remove_button, restore_button, take_tag
from core.ui.components.gallery import gallery
from core.ui.formatting import counted, plain
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
        facts = read_details(engine().database, picture)
        with st.container():  # one place, so that what follows is exchanged where it stands
            if len(path) > 1:
                st.button("Back", icon=":material/arrow_back:", type="tertiary", key="drawer-back", on_click=_back)
            if st.session_state.get("undo") is not st.session_state["undo-before-drawer"]:
                offer_undo("drawer")
        _head(facts, note if len(path) == 1 else "", search)
        _edit(facts)
        _tell(facts)
        _addresses(facts)
        _neighbours(facts)
    except LookalikeError as error:
        st.info(str(error), icon=":material/info:")


def _back() -> None:
    st.session_state["drawer"].pop()


def _head(facts: PictureDetails, note: str, search: Callable[[UUID], None]) -> None:
    try:
        width = PICTURE_WIDTH if facts.width >= facts.height else round(PICTURE_WIDTH * facts.width / facts.height)
        st.image(engine().store.thumbnail(facts.id)[1], width=max(width, 120), alt=plain(facts.name))
    except NotFoundError:
        st.caption("There is no thumbnail of this picture.")
    kind = facts.mime.removeprefix("image/").upper()
    size = f"{facts.width:,} × {facts.height:,} pixels"
    st.markdown(" · ".join(filter(None, [note, size, _bytes(facts.bytes), kind])))
    if facts.removed_at:
        st.warning(
            f"This picture was removed on {_moment(facts.removed_at)}: no search finds it. It is in the bin.",
            icon=":material/delete:",
        )
    with st.container(horizontal=True, gap="small"):
        selection = Selection([facts.id], 1)
        if facts.removed_at:
            restore_button(selection, key="drawer-restore")
            return
        if st.button("Search with this picture", icon=":material/search:", key="drawer-search"):
            search(facts.id)
        remove_button(selection, key="drawer-remove")


def _edit(facts: PictureDetails) -> None:
    """Title and tags. The widgets show what is in the database, whatever they held before."""
    state = st.session_state
    title, tags = f"drawer-title-{facts.id}", f"drawer-tags-{facts.id}"
    state[title], state[tags] = facts.title, facts.tags
    st.text_input("Title", key=title, placeholder=facts.name, on_change=_retitle, args=(facts, title))
    known = [name for name, _ in engine().curation.tags()]
    st.multiselect(
        "Tags",
        [*known, *(tag for tag in facts.tags if tag not in known)],
        key=tags,
        accept_new_options=True,
        placeholder="Choose tags, or type a new one",
        on_change=_retag,
        args=(facts, tags),
    )


def _tell(facts: PictureDetails) -> None:
    imports = ", ".join(f"{origin.name} ({_day(origin.created_at)})" for origin in facts.origins)
    rows = {"Indexed": _moment(facts.indexed_at), "Imports": imports or "None that still exists", **facts.fields}
    _table(rows)
    with st.expander("Hashes", icon=":material/fingerprint:"):
        st.caption("SHA-256 of the file")
        st.code(facts.sha256.hex(), language=None, wrap_lines=True)
        st.caption(f"Perceptual hash: copies differ in {MAX_DISTANCE} of its 64 bits at most")
        st.code(facts.phash_hex, language=None)


def _addresses(facts: PictureDetails) -> None:
    st.markdown(f"**{'Address' if len(facts.urls) == 1 else 'Addresses'}**")
    for number, url in enumerate(facts.urls):
        target = link(engine().settings, url)
        if not url.startswith("http"):
            st.markdown(f"[Kept here as a file]({target})")
            continue
        st.markdown(f"[{plain(url)}]({url.replace(')', '%29').replace('(', '%28')})")
        if st.button("Check the address", icon=":material/network_check:", key=f"check-{facts.id}-{number}"):
            with st.spinner("Asking for the picture…"):
                answer = check_link(engine().fetcher, url, facts.sha256)
            st.markdown(f"{_COLOURS[answer.state]} {plain(answer.sentence)}")
    if not facts.urls:
        st.caption("None: another picture was found at the address later.")


def _neighbours(facts: PictureDetails) -> None:
    """Copies and look-alikes, each of which opens in the drawer."""
    app = engine()
    copies = app.store.copies_of([facts.id]).get(facts.id, [])
    if copies:
        few = copies[:COPIES]
        more = f", {len(few)} of them here" if len(few) < len(copies) else ""
        _row(f"copies-{facts.id}", f"{len(copies):,} {'copy' if len(copies) == 1 else 'copies'} of it{more}", few, {})
    try:
        model = app.model()
        vector = app.store.embedding(model, facts.id)
        if vector is None:
            return
        found = app.nearest.search(model, vector, LOOK_ALIKES, leave_out=[facts.id, *copies]).matches
    except EncoderError:
        st.caption("Its look-alikes are shown as soon as CLIP is loaded.")
        return
    notes = {match.id: f"{percent(match.similarity)} similar" for match in found}
    if found:
        _row(f"look-alikes-{facts.id}", f"The {counted(len(found), 'picture')} most like it", list(notes), notes)


def _row(key: str, heading: str, ids: list[UUID], notes: Mapping[UUID, str]) -> None:
    app = engine()
    shown = gallery(
        [
            {
                "id": str(entry.id),
                "src": thumbnail_path(app.settings, entry.id),
                "url": link(app.settings, entry.url),
                "title": entry.title,
                "similarity": 1.0,
                "note": notes.get(entry.id, f"{entry.width:,} × {entry.height:,}"),
            }
            for entry in app.browser.entries(ids)
        ],
        threshold=0.0,
        total=len(ids),
        key=f"drawer-{key}",
        label=heading,
        browsing=heading,
    )
    if shown.opened:
        st.session_state["drawer"].append(UUID(shown.opened))
        st.rerun(scope="fragment")


def _table(rows: Mapping[str, str]) -> None:
    st.table(
        {"": list(rows), " ": [plain(value) for value in rows.values()]},
        border="horizontal",
        hide_index=True,
        hide_header=True,
    )


def _retitle(facts: PictureDetails, key: str) -> None:
    def act() -> Done:
        title = checked_title(st.session_state[key])
        former = engine().curation.retitle(facts.id, title)
        if former is None:
            return Done("The title is as it was.")

        def back() -> list[str]:
            undone = engine().curation.retitle(facts.id, former, instead_of=title)
            return [] if undone is None else [undone]

        return Done(f"The title is now **{plain(title)}**." if title else "The title is gone.", 1, back)

    attempt(act)


def _retag(facts: PictureDetails, key: str) -> None:
    """Only what this curator changed: a tag that somebody else gave meanwhile stays."""
    wanted = st.session_state[key]
    selection = Selection([facts.id], 1)
    for tag in wanted:
        if tag not in facts.tags:
            give_tag(selection, tag)
    for tag in facts.tags:
        if tag not in wanted:
            take_tag(selection, tag)


def _bytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 1e6 else f"{count / 1e3:,.0f} kB"


def _moment(moment: datetime) -> str:
    local = moment.astimezone()
    return f"{local.day} {local:%B %Y, %H:%M}"


def _day(moment: datetime) -> str:
    local = moment.astimezone()
    return f"{local.day} {local:%b %Y}"
