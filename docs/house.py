"""`python -m docs.house`: draw the packages of core and the imports between them, into docs/house.svg.

The floors are those of the import contract in pyproject.toml, the arrows those of the code. An arrow that longer ones
already tell of (a knows b and c, b knows c) is left out, so that the picture shows which room stands on which.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from html import escape
from pathlib import Path

import grimp

HERE = Path(__file__).parent
PICTURE = HERE / "house.svg"

ROOMS = {
    "api": "HTTP routes",
    "ui": "what pages share",
    "cli": "backup, restore …",
    "engine": "builds the parts",
    "background": "work behind the pages",
    "tuning": "verdicts → thresholds",
    "indexing": "lists → pictures",
    "search": "a query → matches",
    "embedding": "models",
    "collection": "pictures, tags, tables",
    "duplicates": "copies, look-alikes",
    "verification": "the same picture, proved",
    "media": "URLs, files, decoding",
    "database": "which Postgres",
    "signed_urls": "URLs of our pictures",
    "settings": "read once, checked",
    "process": "threads, memory",
    "version": "one number",
    "errors": "sentences for people",
}
"""What stands under the name of each room."""

WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 172, 54, 34, 58, 30


def floors() -> list[list[str]]:
    """The rooms of each floor, the highest floor first, as the import contract has them."""
    config = tomllib.loads((HERE.parent / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    contract = next(one for one in config["contracts"] if one["type"] == "layers")
    known = graph()
    named = [[room.strip(" ()") for room in floor.split("|")] for floor in contract["layers"]]
    return [there for floor in named if (there := [room for room in floor if room in known])]


def graph() -> dict[str, set[str]]:
    """Which rooms each room imports: the packages and modules of core, without `core.__main__`."""
    imports = grimp.build_graph("core", cache_dir=None)
    found: dict[str, set[str]] = {}
    for module in imports.modules:
        room = _room(module)
        if room:
            known = {_room(other) for other in imports.find_modules_directly_imported_by(module)}
            found.setdefault(room, set()).update(known - {room, ""})
    return found


def _room(module: str) -> str:
    _, _, below = module.partition(".")
    room = below.partition(".")[0]
    return "" if room == "__main__" else room


def reduced(known: Mapping[str, set[str]]) -> set[tuple[str, str]]:
    """The arrows that no longer way tells of."""
    below: dict[str, set[str]] = {}

    def all_below(room: str) -> set[str]:
        if room not in below:
            below[room] = known[room].union(*(all_below(other) for other in known[room]))
        return below[room]

    return {
        (room, other)
        for room, others in known.items()
        for other in others
        if not any(other in all_below(third) for third in others - {other})
    }


def draw() -> str:
    """The SVG."""
    rows, arrows = floors(), reduced(graph())
    across = max(len(row) for row in rows)
    width = 2 * MARGIN + across * WIDTH + (across - 1) * GAP_X
    places: dict[str, tuple[float, float]] = {}
    for number, row in enumerate(rows):
        left = (width - len(row) * WIDTH - (len(row) - 1) * GAP_X) / 2
        for place, room in enumerate(row):
            places[room] = left + place * (WIDTH + GAP_X), MARGIN + number * (HEIGHT + GAP_Y)
    height = 2 * MARGIN + len(rows) * HEIGHT + (len(rows) - 1) * GAP_Y
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="system-ui, sans-serif" role="img" aria-label="The packages of core and which imports which">',
        '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#0f766e"/></marker>',
        f'<rect width="{width}" height="{height}" rx="10" fill="#fcfcfb"/>',
    ]
    for room, other in sorted(arrows):
        lines.append(_arrow(places[room], places[other], f"{room} imports {other}"))
    for room, (x, y) in places.items():
        lines.append(
            f'<g id="{room}"><rect x="{x:g}" y="{y:g}" width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#f2f3f1" '
            f'stroke="#0f766e"/><text x="{x + WIDTH / 2:g}" y="{y + 23:g}" text-anchor="middle" font-size="15" '
            f'font-weight="600" fill="#1c2321">{room}</text><text x="{x + WIDTH / 2:g}" y="{y + 41:g}" '
            f'text-anchor="middle" font-size="12" fill="#55605c">{escape(ROOMS[room])}</text></g>'
        )
    return "\n".join([*lines, "</svg>", ""])


def _arrow(start: tuple[float, float], end: tuple[float, float], title: str) -> str:
    x1, y1 = start[0] + WIDTH / 2, start[1] + HEIGHT
    x2, y2 = end[0] + WIDTH / 2, end[1]
    bend = (y2 - y1) / 2
    x1, x2 = x1 + (x2 - x1) * 0.06, x2 - (x2 - x1) * 0.06  # so that the arrows of one room part
    return (
        f'<path d="M{x1:.0f} {y1:g}C{x1:.0f} {y1 + bend:g} {x2:.0f} {y2 - bend:g} {x2:.0f} {y2:g}" fill="none" '
        f'stroke="#0f766e" stroke-opacity=".6" marker-end="url(#tip)"><title>{title}</title></path>'
    )


if __name__ == "__main__":
    PICTURE.write_text(draw(), "utf-8")
