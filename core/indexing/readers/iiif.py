"""IIIF Presentation 2 and 3 manifests and collections, and Image API `info.json`: their images, at a size that suits.

https://iiif.io/api/presentation/3.0/, https://iiif.io/api/presentation/2.1/ and https://iiif.io/api/image/3.0/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from core.errors import UrlError
from core.indexing.readers.table import Sheet
from core.media.page_links import IIIF_SIZE

MAX_DEPTH = 50
"""Collections within collections that are looked into."""

_CONTEXTS = ("iiif.io/api/presentation", "iiif.io/api/image")


def is_iiif(document: Any) -> bool:
    """Whether a parsed JSON document is one of these."""
    context = document.get("@context") if isinstance(document, dict) else None
    contexts = context if isinstance(context, list) else [context]
    return any(known in str(context) for context in contexts for known in _CONTEXTS)


def read_iiif(document: Mapping[str, Any]) -> Sheet:
    """A row an image: its URL, the label of its canvas as the title, and the manifest's label and metadata.

    Of a collection's objects only what it holds itself is read: their images or else their thumbnails, as large as the
    image service gives them. Raises UrlError when there is no image.
    """
    if _is_collection(document):
        return _read_collection(document)
    images = list(_images(document))
    if not images:
        raise UrlError("This IIIF document names no images: give the manifest of one object.")
    shared = {"Manifest": _text(document.get("label")), **_metadata(document)}
    columns = ["Image", "Title", *(name for name in shared if shared[name])]
    rows = [[url, title, *(shared[name] for name in columns[2:])] for url, title in images]
    return Sheet(range(1, len(rows) + 1), rows, header=columns, pictures=0)


def read_members(document: Any) -> Iterator[Mapping[str, Any]]:
    """The objects, and collections by reference, that a parsed IIIF collection names; none of another document."""
    if _is_collection(document):
        yield from (member for _, member in _members(document, ()))


def _is_collection(document: Mapping[str, Any]) -> bool:
    return str(document.get("type") or document.get("@type")) in ("Collection", "sc:Collection")


def _read_collection(document: Mapping[str, Any]) -> Sheet:
    rows, alone, unread = list[list[str]](), 0, 0
    for path, member in _members(document, ()):
        names = [" / ".join(filter(None, path)), str(member.get("id") or member.get("@id") or "")]
        label = _text(member.get("label"))
        images = [(url, title or label) for url, title in _images(member)]
        if not images and (thumbnail := _thumbnail(member)):
            images, alone = [(thumbnail, label)], alone + 1
        unread += not images
        rows += [[url, title, *names] for url, title in images or [("", label)]]
    if not any(row[0] for row in rows):
        raise UrlError(
            f"This IIIF collection names {_objects(len(rows))}, but no images. Give the manifests of the objects."
        )
    notes = list[str]()
    if alone:
        notes.append(
            f"Of {_objects(alone)} in this IIIF collection, one image each is named here. "
            "For all images of an object, give its own manifest."
        )
    if unread:
        notes.append(f"{_objects(unread)} without an image here. For those, give their own manifests.")
    columns = ["Image", "Title", "Collection", "Manifest URL"]
    return Sheet(range(1, len(rows) + 1), rows, header=columns, pictures=0, notes=notes)


def _objects(count: int) -> str:
    return f"{count:,} object{'' if count == 1 else 's'}"


def _members(
    collection: Mapping[str, Any], path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """The objects of a collection and of those within it, each with the labels of its collections."""
    path = (*path, _text(collection.get("label")))
    for name in ("items", "manifests", "collections", "members"):
        for member in _list(collection.get(name)):
            held = any(member.get(key) for key in ("items", "manifests", "collections", "members"))
            if _is_collection(member) and held and len(path) < MAX_DEPTH:
                yield from _members(member, path)
            else:
                yield path, member


def _thumbnail(member: Mapping[str, Any]) -> str:
    thumbnail = member.get("thumbnail")
    first = thumbnail[0] if isinstance(thumbnail, list) and thumbnail else thumbnail
    return first if isinstance(first, str) else _image_url(first) if isinstance(first, dict) else ""


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
    """The image at IIIF_SIZE where an image service gives it, else the body's own URL."""
    body = body.get("default") or body if isinstance(body.get("default"), dict) else body
    for service in _list(body.get("service")):
        at = str(service.get("id") or service.get("@id") or "").rstrip("/")
        described = f"{service.get('@context')} {service.get('type')} {service.get('@type')} {service.get('profile')}"
        if at and ("ImageService" in described or "/image/" in described):
            quality = "native" if "image-api/1" in described or "image/1" in described else "default"
            return f"{at}/full/{IIIF_SIZE}/0/{quality}.jpg"
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
