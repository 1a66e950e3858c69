"""GET /api/docs: the API's description as a page without scripts or external resources."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup, escape
from starlette.requests import Request

router = APIRouter(include_in_schema=False)

HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"}


@router.get("/docs")
def docs(request: Request) -> HTMLResponse:
    """The page, rendered from the OpenAPI description."""
    schema = request.app.openapi()
    models = schema["components"]["schemas"]

    def fields(content: dict[str, Any]) -> dict[str, Any]:
        """The fields of a body: an object's own, or those of the objects in a list."""
        shape = content.get("schema", {})
        while "$ref" in shape or shape.get("type") == "array":
            shape = models[shape["$ref"].rpartition("/")[2]] if "$ref" in shape else shape["items"]
        own: dict[str, Any] = shape.get("properties", {})
        return own

    return HTMLResponse(PAGE.render(schema=schema, models=models, fields=fields), headers=HEADERS)


def kind_of(shape: dict[str, Any]) -> str:
    """A field's type in a word or a few, such as "integer", "list of Part" or "text or null"."""
    if "$ref" in shape:
        return str(shape["$ref"].rpartition("/")[2])
    if "anyOf" in shape:
        return " or ".join(dict.fromkeys(kind_of(choice) for choice in shape["anyOf"]))
    if "enum" in shape:
        return " or ".join(f'"{value}"' for value in shape["enum"])
    if "const" in shape:
        return f'"{shape["const"]}"'
    if shape.get("items", {}).get("format") == "binary":
        return "files"
    if shape.get("type") == "array":
        return f"list of {kind_of(shape.get('items', {}))}"
    if shape.get("type") == "string":
        return "file" if shape.get("format") == "binary" else str(shape.get("format", "text"))
    return str(shape.get("type", "any"))


def prose(text: str) -> Markup:
    """A description as HTML: text in backticks becomes code, and an empty line ends a paragraph."""
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(text))).replace("\n\n", "<p>"))  # noqa: S704


_pages = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True)
_pages.filters |= {"kind": kind_of, "prose": prose}
PAGE = _pages.get_template("docs.html")
