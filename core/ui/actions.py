"""What to do with matches: more like these, tags, removal with undo, downloads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

import streamlit as st

from core.exports import Report, as_contact_sheet, as_csv, as_json, as_zip
from core.query import Part
from core.search import Matches
from core.store import Match
from core.ui import composer
from core.ui.house import engine, notices
from core.ui.words import counted, plain


def show_actions(matches: Matches, shown: Sequence[Match], selected: Sequence[UUID], threshold: float) -> None:
    """Buttons for the selected matches, or for all that are shown when none is selected."""
    chosen = [match for match in matches.found if match.id in set(selected)]
    subject = chosen or list(shown)
    ids = [match.id for match in subject]
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="actions"):
        if chosen:
            st.markdown(f"**{counted(len(chosen), 'picture')} selected**", width="content")
            st.button(
                "More like these",
                icon=":material/add_photo_alternate:",
                type="tertiary",
                on_click=composer.ask,
                args=([Part(picture=id) for id in ids],),
            )
            _tagging(ids)
            st.button("Remove", icon=":material/delete:", type="tertiary", on_click=_remove, args=(ids,))
        if subject:
            _downloads(matches, subject, threshold)


def offer_undo() -> None:
    """After a removal or a tag: what was done, and the way back."""
    done = st.session_state.get("undo")
    if done is None:
        return
    sentence, undo = done
    with st.container(border=True, horizontal=True, vertical_alignment="center", key="undo-bar"):
        st.markdown(f":material/check: {sentence}", width="stretch")
        st.button("Undo", icon=":material/undo:", on_click=_undo, args=(undo,), type="tertiary")
        st.button("Dismiss", icon=":material/close:", on_click=_forget, type="tertiary")


def _tagging(ids: Sequence[UUID]) -> None:
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
        on.button("Add", disabled=not tag, on_click=_tag, args=(ids, tag), width="stretch")
        off.button("Take off", disabled=not tag, on_click=_untag, args=(ids, tag), width="stretch")


def _downloads(matches: Matches, subject: Sequence[Match], threshold: float) -> None:
    with st.popover("Download", icon=":material/download:", type="tertiary", key="downloads", on_change="rerun") as box:
        if not box.open:
            return
        st.caption(f"{counted(len(subject), 'picture')}, with query, model, threshold and time.")
        report = Report(
            query=matches.query.label,
            model=matches.model,
            threshold=threshold,
            made_at=datetime.now().astimezone(),
            matches=subject,
        )
        thumbnails = engine().store.thumbnail
        kinds: list[tuple[str, str, str, Callable[[], bytes]]] = [
            ("CSV", "matches.csv", "text/csv", lambda: as_csv(report)),
            ("JSON", "matches.json", "application/json", lambda: as_json(report)),
            ("ZIP of thumbnails", "matches.zip", "application/zip", lambda: as_zip(report, thumbnails)),
            ("Contact sheet, to print", "matches.html", "text/html", lambda: as_contact_sheet(report, thumbnails)),
        ]
        for label, name, mime, data in kinds:
            st.download_button(
                label, data=data, file_name=name, mime=mime, on_click="ignore", key=f"download-{name}", width="stretch"
            )


def attempt(act: Callable[[], tuple[str, Callable[[], object]]]) -> None:
    """Do what a button asks, and remember its sentence and the way back for `offer_undo`."""
    with notices():
        st.session_state["undo"] = act()
    st.session_state.pop("matches", None)


def _tag(ids: Sequence[UUID], tag: str) -> None:
    def act() -> tuple[str, Callable[[], object]]:
        done = engine().curation.tag(ids, tag)
        return f"{counted(len(done), 'picture')} tagged **{plain(tag)}**.", lambda: engine().curation.untag(done, tag)

    attempt(act)


def _untag(ids: Sequence[UUID], tag: str) -> None:
    def act() -> tuple[str, Callable[[], object]]:
        done = engine().curation.untag(ids, tag)
        sentence = f"The tag **{plain(tag)}** was taken off {counted(len(done), 'picture')}."
        return sentence, lambda: engine().curation.tag(done, tag)

    attempt(act)


def _remove(ids: Sequence[UUID]) -> None:
    def act() -> tuple[str, Callable[[], object]]:
        done = engine().curation.remove(ids)
        sentence = f"{counted(len(done), 'picture')} removed from the collection."
        return sentence, lambda: engine().curation.restore(done)

    attempt(act)


def _undo(undo: Callable[[], object]) -> None:
    _forget()
    with notices():
        undo()
    st.session_state.pop("matches", None)


def _forget() -> None:
    st.session_state.pop("undo", None)
