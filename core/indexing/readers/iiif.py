"""IIIF Presentation 2 and 3 manifests and Image API `info.json`: their images, at a size that suits.

https://iiif.io/api/presentation/3.0/, https://iiif.io/api/presentation/2.1/ and https://iiif.io/api/image/3.0/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from core.indexing.readers.table import Sheet

SIZE = "!1024,1024"
"""The size that is asked for: within 1,024 pixels each way, which Image API 2 and 3 both know."""

_CONTEXTS = ("iiif.io/api/presentation", "iiif.io/api/image")


def is_iiif(document: Any) -> bool:
    """Whether a parsed JSON document is one of these."""
    context = document.get("@context") if isinstance(document, dict) else None
    contexts = context if isinstance(context, list) else [context]
    return any(known in str(context) for context in contexts for known in _CONTEXTS)


def read_iiif(document: Mapping[str, Any]) -> Sheet:
    """A row an image: its URL, the label of its canvas as the title, and the manifest's label and metadata."""
    images = list(_images(document))
    shared = {"Manifest": _text(document.get("label")), **_metadata(document)}
    columns = ["Image", "Title", *(name for name in shared if shared[name])]
    rows = [[url, title, *(shared[name] for name in columns[2:])] for url, title in images]
    notes = [] if rows else ["This IIIF document names no images: give the manifest of one object."]
    return Sheet(range(1, len(rows) + 1), rows, header=columns, notes=notes)


def _images(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if "iiif.io/api/image" in str(document.get("@context")):
        yield _image_url({"service": document}), ""
        return
    canvases = _list(document.get("items"))
    canvases += [canvas for sequence in _list(document.get("sequences")) for canvas in _list(sequence.get("canvases"))]
    for canvas in canvases:
        title = _text(canvas.get("label"))
        bodies = [image.get("resource") for image in _list(canvas.get("images"))]
        bodies += [
            body
            for page in _list(canvas.get("items"))
            for annotation in _list(page.get("items"))
            if annotation.get("motivation", "painting") == "painting"
            for body in _bodies(annotation.get("body"))
        ]
        for body in bodies:
            if isinstance(body, dict) and (url := _image_url(body)):
                yield url, title


def _bodies(body: Any) -> list[Any]:
    if isinstance(body, dict) and body.get("type") == "Choice":
        return _list(body.get("items"))[:1]
    return _list(body)


def _image_url(body: Mapping[str, Any]) -> str:
    """The image at SIZE where an image service gives it, else the body's own URL."""
    body = body.get("default") or body if isinstance(body.get("default"), dict) else body
    for service in _list(body.get("service")):
        at = str(service.get("id") or service.get("@id") or "").rstrip("/")
        described = f"{service.get('@context')} {service.get('type')} {service.get('@type')} {service.get('profile')}"
        if at and ("ImageService" in described or "/image/" in described):
            quality = "native" if "image-api/1" in described or "image/1" in described else "default"
            return f"{at}/full/{SIZE}/0/{quality}.jpg"
    return str(body.get("id") or body.get("@id") or "")


def _list(value: Any) -> list[Any]:
    many = value if isinstance(value, list) else [value]
    return [item for item in many if isinstance(item, dict)]


def _text(value: Any) -> str:
    """A label in whatever way it is written: text, a list, one with its language, or texts by language."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "; ".join(filter(None, map(_text, value)))
    if isinstance(value, dict):
        if "@value" in value:
            return str(value["@value"])
        for language in ("en", "none", *value):
            if language in value:
                return _text(value[language])
    return ""


def _metadata(document: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: _text(entry.get("value"))
        for entry in _list(document.get("metadata"))
        if (name := _text(entry.get("label"))) and name not in ("Image", "Title", "Manifest")
    }
