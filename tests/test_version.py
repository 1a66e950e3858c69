"""One version: the code's is the package's, and the changelog knows it."""

from __future__ import annotations

import tomllib
from pathlib import Path

from core.version import VERSION

ROOT = Path(__file__).resolve().parents[1]


def test_pyproject_reads_the_version_of_the_code() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert "version" not in config["project"]
    assert config["project"]["dynamic"] == ["version"]
    assert config["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "core.version.VERSION"}


def test_the_changelog_knows_the_version() -> None:
    headings = [line for line in (ROOT / "CHANGELOG.md").read_text("utf-8").splitlines() if line.startswith("## ")]
    assert headings[:2] == ["## Unreleased", f"## {VERSION}"]
