import time
from typing import Any
from urllib.parse import urlsplit

import streamlit as st

from core.access import link, thumbnail_path
from core.errors import LookalikeError, UrlError
from core.search import DEFAULT_THRESHOLD, DEFAULT_TOP_K, WORDS_THRESHOLD, Matches, Query
from core.store import Match
from core.ui.gallery import Card, gallery
from core.ui.house import engine
from core.ui.paste import paste_anywhere
from core.ui.words import counted, plain
from core.urls import clean

QUERY_WIDTH = 150
TOP_KS = [10, 20, 50, 100, 200, 500, 1000]

state = st.session_state
house = engine()


def ask_picture() -> None:
    file = state[uploader_key()]
    state["asked"] = ("picture", file.getvalue(), file.name) if file else None
    state["box"] = ""


def ask_box() -> None:
    text = state["box"].strip()
    state["asked"] = ("text", text, text) if text else None
    state["uploads"] = state.get("uploads", 0) + 1


def forget() -> None:
    state["asked"] = None
    state["box"] = ""
    state["uploads"] = state.get("uploads", 0) + 1


def uploader_key() -> str:
    return f"upload-{state.get('uploads', 0)}"


def query_of(kind: str, value: Any) -> Query:
    """The query that a picture's bytes, an address or words make."""
    if kind == "picture":
        return house.picture_query(value)
    try:
        url = clean(value)
    except UrlError:
        if "://" in value:
            raise
        return house.words_query(value)
    return house.picture_query(house.fetcher.fetch(url).data)


def is_outdated(query: Query) -> bool:
    """Whether another model serves searches since the query was embedded."""
    return house.can_search and query.model.id != house.model().id


def current_query() -> Query | None:
    """The query asked for, embedded once; None when there is none or it cannot be had."""
    asked = state.get("asked")
    if not asked:
        state.pop("query", None)
        return None
    kind, value, _ = asked
    if state.get("query", (None,))[0] != (kind, value) or is_outdated(state["query"][1]):
        if not house.can_search:
            st.info("Your search starts as soon as CLIP is loaded.", icon=":material/hourglass_top:")
            return None
        try:
            with st.spinner("Looking at it…"):
                state["query"] = ((kind, value), query_of(kind, value))
        except LookalikeError as error:
            st.error(str(error), icon=":material/broken_image:", title="This cannot be searched for")
            return None
        forget_foreign_threshold(state["query"][1].kind)
    return state["query"][1]


def forget_foreign_threshold(kind: str) -> None:
    """Words and pictures score on different scales: a threshold set for the one means nothing to the other."""
    if state.get("kind", kind) != kind:
        st.query_params.pop("threshold", None)
    state["kind"] = kind


def matches_of(query: Query, top_k: int) -> Matches:
    """The matches, asked of the database once a query and top-k; moving the threshold asks nothing."""
    wanted = (query.sha256, query.kind, top_k, query.model.id)
    if state.get("matches", (None,))[0] != wanted:
        begun = time.perf_counter()
        found = house.search(query, top_k)
        state["matches"] = (wanted, found, house.store.count(), time.perf_counter() - begun)
    return state["matches"][1]


def card(match: Match) -> Card:
    return {
        "id": str(match.id),
        "src": thumbnail_path(house.settings, match.id),
        "url": link(house.settings, match.url),
        "title": match.title,
        "similarity": match.similarity,
    }


def asked_threshold(kind: str) -> float:
    """The threshold in the address bar, else the default of the model and the kind of query."""
    try:
        value = float(st.query_params["threshold"])
        if 0 <= value <= 1:
            return value
        st.warning(f"The threshold in the address must lie between 0 and 1, and {value:g} does not.")
    except (KeyError, ValueError):
        pass
    if kind == "words":
        return WORDS_THRESHOLD
    return house.model().threshold or DEFAULT_THRESHOLD


def keep_threshold(value: float) -> None:
    st.query_params["threshold"] = f"{value:.3f}".rstrip("0").rstrip(".")


def show_query(query: Query) -> None:
    """The query as a small card, with a way to forget it."""
    _, value, name = state["asked"]
    with st.container(border=True, horizontal=True, vertical_alignment="center", gap="small"):
        if query.thumbnail is not None:
            st.image(query.thumbnail, width=QUERY_WIDTH, alt="The picture that is searched for")
            st.caption(f"From {urlsplit(name).hostname}" if "://" in name else plain(name))
        else:
            st.markdown(f":material/format_quote: {plain(value)}")
        st.button("Clear", icon=":material/close:", on_click=forget, type="tertiary")


def empty_collection() -> None:
    with st.container(border=True, horizontal_alignment="center"):
        st.markdown("#### There is nothing to search yet", text_alignment="center")
        st.markdown("First give Lookalike the addresses of some pictures.", text_alignment="center")
        st.page_link("pages/index.py", label="Index pictures", icon=":material/arrow_forward:")


def invitation(count: int) -> None:
    with st.container(border=True, horizontal_alignment="center"):
        st.markdown("#### Which of your pictures look like it?", text_alignment="center")
        st.markdown(
            "Drop a picture anywhere on this page, paste one with Ctrl+V, or give its address. "
            f"It is compared with {counted(count, 'picture')}.",
            text_alignment="center",
        )


def words_hint() -> str:
    if house.can_search and not house.serving().encoder.reads_words:
        return "https://…"
    return "https://…  or  a red bicycle"


left, right = st.columns([1, 3.4], gap="medium")
with left:
    st.file_uploader(
        "Drop a picture, or press Ctrl+V",
        type="image",
        key=uploader_key(),
        on_change=ask_picture,
    )
    st.text_input("Its address, or words", key="box", placeholder=words_hint(), on_change=ask_box)
    top_k = st.selectbox(
        "Most similar pictures to fetch (top-k)",
        TOP_KS,
        index=TOP_KS.index(DEFAULT_TOP_K),
        key="top_k",
        bind="query-params",
    )
    paste_anywhere()
with right:
    try:
        ready = house.database_state.state == "ready"
        count = house.store.count() if ready else 0
        if ready and not count:
            empty_collection()
        elif (current := current_query()) is not None and ready:
            with left:
                show_query(current)
            found = matches_of(current, top_k)
            _, _, total, seconds = state["matches"]
            gallery(
                [card(match) for match in found.found],
                threshold=asked_threshold(current.kind),
                total=total,
                key="gallery",
                on_threshold=keep_threshold,
            )
            st.caption(f"{total:,} pictures compared in {seconds * 1000:,.0f} ms with {found.model}")
        elif ready and not state.get("asked"):
            invitation(count)
    except LookalikeError as error:
        st.error(str(error), icon=":material/error:")
