"""A file's bytes -> its text, whatever its encoding, or the code pages that it may be in."""

from __future__ import annotations

import codecs
import re
import unicodedata
from dataclasses import dataclass

from charset_normalizer import from_bytes

SAMPLE = 20_000
"""Bytes outside of ASCII lines from which a code page is told."""

CODE_PAGES = [
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp932", "gb18030", "big5"),
    *("cp949", "koi8_r", "mac_roman"),
]
"""Encodings in which spreadsheets save CSV: those of Windows by language, and of old Macs."""

MAX_COMPARED = 1_000_000
"""Bytes by which two code pages are compared."""

NEARLY_AS_CLEAN = 0.13
"""By how much the mess that charset-normalizer measures in a text may exceed the least for it to be looked at, too."""

_COMMON = {"cp932": ("cp932", 0x88, 0x97), "gb18030": ("gb2312", 0xB0, 0xD7), "big5": ("big5", 0xA4, 0xC6)}
"""First bytes of the commoner half of the characters (JIS X 0208 and GB 2312 level 1, Big5 level 1), by encoding."""


_RARE = {"cp1252": "ÞþÐðÝýÕõ", "cp1250": "Ţţ", "cp1254": "ÃãÕõ"}
"""Letters that, in short texts, are seldom meant: by other code pages they are Turkish, Hungarian or Romanian ones.
Õ counts as Portuguese before an e."""

_SYLLABLES = (
    "이다의는에을가를고하한로지사기은도자어서리시대아인나정수해전부일그들과원보있구장제주라여상국성만동조안연관화"
    "경신비고문유소발진생미선산중공분용방내물면무모속식실세오위적회체영치운음작단신업심양우강개결계금남년당독돌"
    "등러려력록류름립마명목민박반백번법변별병본봉북불사색석설손순스습승씨약없역열예완외요월은입있종집차책천청초"
    "출충친큰타통특파판평포품풍필학함향현형호혼환활황후흙희"
)
"""Common Korean syllables: rare ones side by side are Chinese or Japanese in another code page."""


_LANGUAGES = {
    "cp1252": "Western European",
    "cp1250": "Central European",
    "cp1251": "Cyrillic",
    "cp1253": "Greek",
    "cp1254": "Turkish",
    "cp1255": "Hebrew",
    "cp1256": "Arabic",
    "cp1257": "Baltic",
    "cp932": "Japanese",
    "gb18030": "Simplified Chinese",
    "big5": "Traditional Chinese",
    "cp949": "Korean",
    "koi8_r": "Cyrillic, KOI8-R",
    "mac_roman": "old Mac",
}

_DECLARED = re.compile(rb"(?:charset|encoding)\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.IGNORECASE)


@dataclass(frozen=True)
class Reading:
    """A code page that a file may be in: its name for Python and for people, and a line of the file read by it."""

    encoding: str
    language: str
    sample: str


def readings(data: bytes) -> list[Reading]:
    """The plausible code pages of a file, the likeliest first, as far as they read differently; none for one whose
    encoding is certain."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    else:
        return []
    if _wide(data) or _declared(data):
        return []
    line = next((line for line in data.splitlines() if not line.isascii()), b"")
    found = dict[str, Reading]()
    for name in _code_pages(data):
        try:
            text = data[:MAX_COMPARED].decode(name, "strict" if len(data) <= MAX_COMPARED else "ignore")
        except UnicodeDecodeError:
            continue
        if _is_text(text):
            sample = " ".join(line.decode(name, "replace").split())
            found.setdefault(text, Reading(name, _LANGUAGES[name], sample))
    return list(found.values())


def decoded(data: bytes, encoding: str | None = None) -> str | None:
    """The text, in UTF-8, UTF-16, what it declares itself to be in, or else the likeliest code page; None for what is
    no text. `encoding` is one of its `readings`."""
    names = [encoding] if encoding else [_wide(data)] if _wide(data) else ["utf-8-sig"]
    if names == ["utf-8-sig"]:
        names += [*_declared(data), *_code_pages(data)]
    for name in names:
        try:
            text = data.decode(name)
        except UnicodeDecodeError:
            continue
        if _is_text(text):
            return text
    return None


def _is_text(text: str) -> bool:
    return not any(character < " " and character not in "\t\r\n\f\v" for character in text[:10_000])


def _wide(data: bytes) -> str:
    """The UTF-16 that a file is in, if so."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" in data[:200]:
        return "utf-16-le" if data[1::2][:100].count(0) > data[::2][:100].count(0) else "utf-16-be"
    return ""


def _declared(data: bytes) -> list[str]:
    """The encoding that a web page or an XML file says it has, where Python knows it."""
    found = _DECLARED.search(data[:1024]) if data[:100].lstrip().startswith(b"<") else None
    try:
        return [codecs.lookup(found[1].decode("ascii")).name] if found else []
    except LookupError:
        return []


def _code_pages(data: bytes) -> list[str]:
    """Encodings of a text that is not UTF-8, the likeliest first; CP1252, in which most files are, at the end."""
    lines = dict.fromkeys(line for line in data[: 50 * SAMPLE].splitlines() if not line.isascii())
    sample = b"\n".join(lines)[:SAMPLE]
    found = list(from_bytes(sample, cp_isolation=CODE_PAGES, threshold=0.9))
    least = min((match.chaos for match in found), default=0)
    likely = {match.encoding for match in found if match.chaos <= least + NEARLY_AS_CLEAN}
    names = [name for name in CODE_PAGES if name in likely or f"{name}hkscs" in likely]
    names.sort(key=lambda name: (-_plausibility(name, sample), CODE_PAGES.index(name)))
    return [*names, "cp1252"]


def _plausibility(name: str, sample: bytes) -> float:
    """How much the text looks like one that somebody wrote: the mean of -1 to 1 over what is not ASCII."""
    text = sample.decode(name, "ignore")
    values = list[float]()
    for before, character, after in zip(" " + text, text, text[1:] + " ", strict=False):
        if character.isascii():
            continue
        values.append(_value(name, before, character, after))
    return round(sum(values) / len(values), 2) if values else 0.0


def _value(name: str, before: str, character: str, after: str) -> float:
    """-1 to 1 for one character."""
    kind = unicodedata.category(character)
    if kind == "Lo" and ord(character) > 0x2E80:
        return _ideograph(name, character)
    if not kind.startswith("L"):
        quotes = kind in ("Pi", "Pf", "Pd", "Po") and not (before.isalpha() and after.isalpha() and character != "’")
        return 0.5 if quotes else -0.5 if before.isalpha() or after.isalpha() else 0.0
    script = _script(character)
    neighbours = [letter for letter in (before, after) if letter.isalpha()]
    if any(_script(letter) != script for letter in neighbours):
        return -1.0
    if (kind == "Lu" and before.islower()) or (kind == "Ll" and before.isupper() and after.isupper()):
        return -1.0
    if character in _RARE.get(name, "") and not (character in "Õõ" and after in "eE"):
        return 0.5
    return 1.0 if neighbours else 0.3


def _script(letter: str) -> str:
    return unicodedata.name(letter, "?").split(" ", 1)[0]


def _ideograph(name: str, character: str) -> float:
    """Half-width katakana is what other code pages look like in Shift JIS; Koreans hardly write Chinese characters."""
    if 0xFF61 <= ord(character) <= 0xFF9F:
        return -1.0
    if "\u3040" <= character <= "\u30ff":
        return 1.0
    if "\uac00" <= character <= "\ud7a3":
        return 0.95 if character in _SYLLABLES else 0.4 if len(character.encode("euc_kr", "replace")) == 2 else -1.0
    if name not in _COMMON:
        return 0.0
    encoding, low, high = _COMMON[name]
    if not _encodable(character, encoding):
        return -0.5
    return 0.9 if low <= character.encode(encoding)[0] <= high else 0.2


def _encodable(character: str, encoding: str) -> bool:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
