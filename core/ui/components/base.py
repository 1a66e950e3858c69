"""How the pages' own components are made: each from a folder with its .html, .css and .js."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

_HERE = Path(__file__).parent
_IMPORT = re.compile(r'^import [^;]* from "(?P<path>[^"]*)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?!default )", re.MULTILINE)


def component(name: str) -> Callable[..., Any]:
    """The Streamlit component whose skeleton, looks and behaviour are `name`.html, .css and .js in the folder `name`.

    Streamlit takes one text of each. So the modules that the script imports come before it in the same text, and the
    .css and .html beside each of them come along.
    """
    scripts = _with_imports(_HERE / name / f"{name}.js")
    return st.components.v2.component(
        f"lookalike_{name}",
        html=_joined([script.with_suffix(".html") for script in scripts]),
        css=_joined([script.with_suffix(".css") for script in scripts]),
        js=_EXPORT.sub("", _IMPORT.sub("", _joined(scripts))),
    )


def _with_imports(script: Path) -> list[Path]:
    """A script after all that it imports, directly or not; each once."""
    imported = [(script.parent / found["path"]).resolve() for found in _IMPORT.finditer(script.read_text("utf-8"))]
    return list(dict.fromkeys([*(each for path in imported for each in _with_imports(path)), script]))


def _joined(files: list[Path]) -> str:
    return "\n".join(file.read_text("utf-8") for file in files if file.exists())
