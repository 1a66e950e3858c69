"""A small app for the tests of the picture grid: real photos, and a line with what Python knows.

The query parameters choose: `n` pictures, `selectable`, `hostile` for two bad pictures.
"""

from __future__ import annotations

import json

import streamlit as st
from starlette.routing import Route

from tests.browser.match_gallery_app import PHOTOS, thumb


def main() -> None:
    from core.ui.components.cards import Card
    from core.ui.components.picture_grid import picture_grid

    st.set_page_config(page_title="Picture grid", layout="wide")
    asked = st.query_params
    count = int(asked.get("n", "60"))
    state = st.session_state
    state.setdefault("page", 1)
    state["runs"] = state.get("runs", 0) + 1

    def turn() -> None:
        state.page += 1

    with st.container(horizontal=True):
        st.button("Run again")
        st.button("Next page", on_click=turn)
        everything = st.checkbox("Everything")
    places = [((state.page - 1) * count + place) % len(PHOTOS) for place in range(count)]
    cards: list[Card] = [
        {
            "id": f"p{place}",
            "src": f"/api/thumb/{place}",
            "original": f"/api/original/{place}",
            "width": 300,
            "height": 200,
            "url": f"https://museum.example/{place}.jpg",
            "name": f"No. {place}",
            "note": "300 × 200",
        }
        for place in places
    ]
    if asked.get("hostile"):
        cards[0] |= {"name": "<b onclick=alert()>bold</b>", "url": "javascript:window.pwned='link'"}
        cards[1] |= {"src": "/api/thumb/99999", "url": "/api/file/1", "note": ""}
    shown = picture_grid(
        cards,
        heading=f"Page {state.page} of many",
        key="grid",
        label="Pictures",
        selectable=bool(asked.get("selectable")) and not everything,
        page=state.page,
        all_selected=everything,
    )
    known = {"selected": shown.selected, "opened": shown.opened, "runs": state.runs}
    st.code(json.dumps(known), language=None)


if __name__ == "__main__":
    main()
else:
    app = st.App(__file__, routes=[Route("/api/thumb/{place:int}", thumb)])
