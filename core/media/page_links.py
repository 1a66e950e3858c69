"""Links to pages about a picture -> the link of the picture, where a site documents the rule; else what to use instead.

Dropbox: https://help.dropbox.com/share/force-download
Google Drive: the form of `webContentLink`, https://developers.google.com/drive/api/reference/rest/v3/files
MediaWiki: the special page FilePath, `includes/specials/SpecialFilepath.php`
IIIF: https://iiif.io/api/image/3.0/#2-uri-syntax
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlencode, urlsplit

IIIF_SIZE = "!1024,1024"
"""The size that is asked for: within 1,024 pixels each way, which Image API 2 and 3 both know."""

WIKIMEDIA_WIDTH = 1280
"""Pixels: one of the widths that Wikimedia keeps ready (https://www.mediawiki.org/wiki/Common_thumbnail_sizes)."""

_WIKIMEDIA = re.compile(r"(?:[\w-]+\.)?(?:m\.)?(?:wikimedia|wikipedia|wiktionary|wikivoyage|wikisource|wikidata)\.org")
_FILE_PAGE = re.compile(r"/wiki/(?:File|Image):([^/]+)")
_MEDIA_VIEWER = re.compile(r"/media/[^:/]+:([^/]+)")
_DRIVE_FILE = re.compile(r"/file/(?:u/\d+/)?d/([\w-]+)")

_HINTS = {
    "drive.google.com": "Share it with everyone who has the link; of a folder, give the links of its files.",
    "docs.google.com": "Download the sheet as .xlsx or .csv, and upload that as a list.",
    "photos.google.com": "Google Photos gives no lasting links to pictures. Download them, and upload the files.",
    "photos.app.goo.gl": "Google Photos gives no lasting links to pictures. Download them, and upload the files.",
    "dropbox.com": "Of a folder, give the links of its files.",
    "flickr.com": "Choose Download and View all sizes there, and use the URL of the picture, at live.staticflickr.com.",
    "flic.kr": "Choose Download and View all sizes there, and use the URL of the picture, at live.staticflickr.com.",
    "onedrive.live.com": "OneDrive gives no lasting links to pictures. Download them, and upload the files.",
    "1drv.ms": "OneDrive gives no lasting links to pictures. Download them, and upload the files.",
    "instagram.com": "Instagram gives no lasting links to pictures. Download them, and upload the files.",
    "pinterest.com": "Open the picture there by itself, and use its URL, at i.pinimg.com.",
    "imgur.com": "Open the picture there by itself, and use its URL, at i.imgur.com.",
}
"""What to use instead of a page of these sites."""


def picture_link(url: str) -> str:
    """The link of the picture that a page of a known site is about; any other URL as it is."""
    parts = urlsplit(url)
    host = (parts.hostname or "").removeprefix("www.")
    if host == "drive.google.com":
        return _drive(url, parts.path, parts.query)
    if host == "dropbox.com" and parts.path.startswith(("/s/", "/scl/fi/")):
        kept = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] not in ("dl", "raw")]
        return parts._replace(query=urlencode([*kept, ("raw", "1")]), fragment="").geturl()
    if _WIKIMEDIA.fullmatch(host) and (
        found := _FILE_PAGE.fullmatch(parts.path) or _MEDIA_VIEWER.fullmatch(parts.fragment)
    ):
        return f"https://{parts.netloc}/wiki/Special:FilePath/{found[1]}?width={WIKIMEDIA_WIDTH}"
    if parts.path.endswith("/info.json") and not parts.query:
        return parts._replace(
            path=f"{parts.path.removesuffix('/info.json')}/full/{IIIF_SIZE}/0/default.jpg", fragment=""
        ).geturl()
    return url


def page_hint(host: str) -> str:
    """What to use instead of a page of a site; "" for sites that are not known."""
    name = host.removeprefix("www.")
    return _HINTS.get(name) or _HINTS.get(name.partition(".")[2], "")


def _drive(url: str, path: str, query: str) -> str:
    values = dict(parse_qsl(query))
    found = _DRIVE_FILE.match(path)
    file = found[1] if found else values.get("id", "") if path == "/open" else ""
    if not file:
        return url
    key = {"resourcekey": values["resourcekey"]} if "resourcekey" in values else {}
    return f"https://drive.google.com/uc?{urlencode({'export': 'download', 'id': file, **key})}"
