"""A query beside a match that is the same picture, each with the outline of the other: `same_picture.html`, `.css` and
`.js`."""

from __future__ import annotations

from base64 import b64encode

from core.ui.components.base import component
from core.verification.proof import Outline, Proof
from core.verification.relation import relation

_component = component("same_picture")


def show_comparison(query: bytes, picture: bytes, proof: Proof, name: str) -> None:
    """Draw a query and a picture, both JPEGs, whose proof has the query first; `name` is the picture's."""
    _component(
        key=f"same-picture-{name}",
        data={
            "words": f"Same picture: {relation(proof)}",
            "sides": [
                _side("Your query", query, proof.second_in_first),
                _side(name, picture, proof.first_in_second),
            ],
        },
    )


def _side(label: str, image: bytes, outline: Outline) -> dict[str, object]:
    return {"label": label, "src": f"data:image/jpeg;base64,{b64encode(image).decode()}", "outline": outline}
