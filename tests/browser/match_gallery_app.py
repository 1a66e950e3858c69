"""A small app for the tests of the match gallery: real photos, made-up similarities, and a line with what Python knows.

The query parameters choose: `n` matches, their `best` similarity, `threshold`, `selectable`, `hostile` for two bad
matches, `total` pictures in the collection, `slow` seconds that each run but the first takes, `copies` to make most
pictures a copy of the one seven places before (of 28, seven are not), `notes` for notes and a badge, `marks` for
suggested thresholds, `caution` for a warning, `same` to find out in the second run that the third is the same picture,
`queries` for what matches are compared with, `judging` for verdicts, `tiles` for the parts of a query, `alike` for
where matches are very alike, `more` for matches that can be fetched, and `right` for how likely each is right.
"""

from __future__ import annotations

import io
import json
import time
from functools import cache

import streamlit as st
from PIL import Image
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bench.support.data import some_photos

PHOTOS = some_photos(500)


@cache
def thumbnail(place: int) -> bytes:
    with Image.open(PHOTOS[place]) as image:
        image.thumbnail((256, 256))
        out = io.BytesIO()
        image.convert("RGB").save(out, "JPEG", quality=85)
    return out.getvalue()


def thumb(request: Request) -> Response:
    place = int(request.path_params["place"])
    if place >= len(PHOTOS):
        return Response(status_code=404)
    return Response(thumbnail(place), media_type="image/jpeg", headers={"Cache-Control": "max-age=3600, immutable"})


def original(request: Request) -> Response:
    """The photo in full; of every tenth only the thumbnail is left."""
    place = int(request.path_params["place"])
    if place % 10 == 0:
        return Response(thumbnail(place), media_type="image/jpeg", headers={"X-Thumbnail-Only": "1"})
    return Response(PHOTOS[place].read_bytes(), media_type="image/jpeg", headers={"Cache-Control": "max-age=3600"})


@cache
def size(place: int) -> tuple[int, int]:
    with Image.open(PHOTOS[place]) as image:
        return image.size


def main() -> None:
    from core.ui.components.comparing_table import Edit, Facts, QuerySide
    from core.ui.components.match_gallery import Mark, MatchCard, match_gallery
    from core.ui.components.query_strip import QueryTile

    st.set_page_config(page_title="Match gallery", layout="wide")
    asked = st.query_params
    count = int(asked.get("n", "60"))
    best = float(asked.get("best", "0.9998"))
    state = st.session_state
    state.setdefault("threshold", float(asked.get("threshold", "0.8")))
    state.setdefault("query", 0)
    state.setdefault("total", int(asked.get("total", "1204")))
    state["runs"] = state.get("runs", 0) + 1
    if state["runs"] > 1:
        time.sleep(float(asked.get("slow", "0")))

    def keep(threshold: float) -> None:
        state.threshold = threshold

    def order(threshold: float) -> None:
        state.threshold = threshold

    def ask_again() -> None:
        state.query += 1

    def ask_for_more() -> None:
        state.more = state.get("more", 0) + 20

    def grow() -> None:
        state.total += 1

    with st.container(horizontal=True):
        st.button("Run again")
        st.button("Order 50", on_click=order, args=(0.5,))
        st.button("Grow", on_click=grow)
        st.button("Another query", on_click=ask_again)

    # A quick fall from the best and a long tail, as a search gives: the curve is the only thing made up.
    places = [(293 * rank + 130 + state.query) % len(PHOTOS) for rank in range(count + state.get("more", 0))]
    cards: list[MatchCard] = [
        {
            "id": f"p{place}",
            "src": f"/api/thumb/{place}",
            "original": f"/api/original/{place}",
            "width": size(place)[0],
            "height": size(place)[1],
            "url": f"https://museum.example/collection/{PHOTOS[place].parent.name}/{PHOTOS[place].name}",
            "name": f"{PHOTOS[place].parent.name.replace('_', ' ').capitalize()}, no. {place}",
            "similarity": best - 0.45 * (rank / max(count, 60)) ** 0.6,
            "note": "",
            "badge": "",
            "copy_of": "",
            "relation": "",
            "outlines": None,
        }
        for rank, place in enumerate(places)
    ]
    if asked.get("same") and state.runs > 1:
        cards[2]["relation"] = "Mirrored"
        cards[2]["outlines"] = {
            "match_in_query": ((1.0, 0.0), (0.0, 0.0), (0.0, 1.0), (1.0, 1.0)),
            "query_in_match": ((1.0, 0.0), (0.0, 0.0), (0.0, 1.0), (1.0, 1.0)),
        }
    if asked.get("copies"):
        for rank, card in enumerate(cards):
            card["copy_of"] = cards[rank - 7]["id"] if rank % 28 >= 7 else ""
    if asked.get("notes"):
        for rank, card in enumerate(cards):
            card["note"] = f"Closer than {100 - 0.1 * (rank + 1):.1f}\u202f% of the collection"
        cards[0]["badge"] = "In your query"
    if asked.get("hostile"):
        cards[0]["name"] = "<img src=x onerror=\"window.pwned = 'title'\"><b>bold</b>"
        cards[0]["url"] = "javascript:window.pwned='link'"
        cards[1]["src"] = "/api/thumb/99999"
        cards[1]["note"] = cards[1]["badge"] = "<b onclick=alert()>bold</b>"
    marks: list[Mark] = [
        {"label": "Strict", "at": 0.87, "reason": "Hardly anything here is wrong."},
        {"label": "Balanced", "at": 0.745, "reason": "The widest gap between the scores."},
        {"label": "Wide", "at": 0.64, "reason": "The edge of what the collection gives by chance."},
    ]
    advice = ""
    if asked.get("marks"):
        advice = "Suggested: 74.5\u202f%, in the widest gap between the scores."
    if asked.get("caution"):
        advice = "Probably nothing like it here: even the best score is one that pictures reach by chance."
    queries: list[QuerySide] = [
        {"label": f"query {place}", "src": f"/api/thumb/{place}", "original": f"/api/original/{place}", "crop": None}
        for place in (3, 17)
    ]
    gone = state.setdefault("gone", [])
    edits = state.setdefault("edits", [])

    def edit(id: str, edit: Edit, tag: str) -> None:
        edits.append([id, edit, tag])
        if edit == "remove":
            gone.append(id)
        elif edit == "restore":
            gone.remove(id)

    def facts(id: str) -> Facts:
        tags = [tag for other, edit, tag in edits if other == id and edit == "tag"]
        return {
            "id": id,
            "rows": [("Size", "640 × 480 pixels"), ("<b>field</b>", "<i>value</i>")],
            "links": [("https://a.example/<b>", "https://a.example/%3Cb%3E"), ("bad", "javascript:alert()")],
            "tags": tags,
            "known_tags": ["boat", "loan"],
        }

    tiles: list[QueryTile] = [
        {"number": 1, "label": "mine.jpg", "src": "/api/thumb/3", "note": "", "negative": False, "problem": ""},
        {"number": 2, "label": "other.jpg", "src": "/api/thumb/9", "note": "excluded", "negative": True, "problem": ""},
        {"number": 3, "label": "this part", "src": "", "note": "", "negative": False, "problem": "It is gone."},
    ]
    cards = [card for card in cards if card["id"] not in gone]
    result = match_gallery(
        cards,
        threshold=state.threshold,
        total=state.total,
        key="results",
        search=f"query {state.query}" if asked.get("same") else "",
        on_threshold=keep,
        selectable=bool(asked.get("selectable")),
        marks=marks if asked.get("marks") else (),
        advice=advice,
        caution=bool(asked.get("caution")),
        queries=queries if asked.get("queries") else (),
        facts=facts,
        on_edit=edit,
        tiles=tiles if asked.get("tiles") else (),
        on_tile=lambda number, event: state.setdefault("tile_events", []).append([number, event]),
        alike_from=float(asked["alike"]) if asked.get("alike") else None,
        on_more=ask_for_more if asked.get("more") else None,
        rights={card["id"]: card["similarity"] for card in cards} if asked.get("right") else None,
        verdicts=state.setdefault("verdicts", {}) if asked.get("judging") else None,
        on_verdict=lambda id, right: state.verdicts.update({id: right}),
    )
    known = {
        "threshold": state.threshold,
        "released": result.released,
        "selected": result.selected,
        "opened": result.opened,
        "more_like": result.more_like,
        "less_like": result.less_like,
        "edits": edits,
        "tile_events": state.get("tile_events"),
        "verdicts": state.get("verdicts"),
        "runs": state.runs,
    }
    st.code(json.dumps(known), language=None)


if __name__ == "__main__":
    main()
else:
    app = st.App(
        __file__, routes=[Route("/api/thumb/{place:int}", thumb), Route("/api/original/{place:int}", original)]
    )
