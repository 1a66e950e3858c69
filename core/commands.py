"""`python -m core backup`, `restore`, `export` and `import`: a whole collection to and from a file."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg

from core.backup import back_up
from core.database import Database
from core.errors import LookalikeError
from core.manifest import Manifest, Progress
from core.restore import restore
from core.settings import load_settings

NAME = "lookalike command"
"""What the connections of a command call themselves: not as those of an app do, which a restore looks for."""

SHOWN_SECONDS = 0.5
"""Between two looks at the progress."""


def run_command(arguments: Sequence[str]) -> int:
    """Run a command and return its exit status: 1, after a sentence, when it could not be done."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    try:
        done: str = asked.run(asked)
    except LookalikeError as error:
        _clear()
        print(error, file=sys.stderr)
        return 1
    except psycopg.Error as error:
        _clear()
        print(f"The database refused: {str(error).splitlines()[0]}. Nothing was changed.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        _clear()
        print("Stopped.", file=sys.stderr)
        return 130
    _clear()
    print(done)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m core", description="Lookalike")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("run", help="serve the app")
    backup = commands.add_parser("backup", help="write everything into one file, while the app may go on")
    backup.add_argument("file", type=Path)
    backup.set_defaults(run=_back_up)
    put_back = commands.add_parser("restore", help="fill an empty collection from a backup")
    put_back.add_argument("file", type=Path)
    put_back.add_argument("--replace", action="store_true", help="delete what the collection holds first")
    put_back.set_defaults(run=_restore)
    return parser


def _back_up(asked: argparse.Namespace) -> str:
    with _database() as database:
        manifest = back_up(database, asked.file, _progress())
    return f"{asked.file} holds {_summary(manifest)} in {asked.file.stat().st_size / 1e6:,.1f} MB."


def _restore(asked: argparse.Namespace) -> str:
    with _database() as database:
        manifest = restore(database, asked.file, _progress(), replace=asked.replace)
    return (
        f"The collection is back, as it was on {manifest.made_at.astimezone():%d %B %Y, %H:%M}: {_summary(manifest)}."
    )


def _summary(manifest: Manifest) -> str:
    models = manifest.rows("models")
    return (
        f"{manifest.rows('pictures'):,} pictures, {manifest.rows('imports'):,} imports and the embeddings of "
        f"{models} model{'' if models == 1 else 's'}"
    )


@contextmanager
def _database() -> Iterator[Database]:
    database = Database(load_settings(), NAME)
    database.open()
    try:
        yield database
    finally:
        database.close()


def _progress() -> Progress:
    """Shows a step that is under way in the last line of a terminal, and says nothing elsewhere."""
    shown = 0.0

    def show(step: str, done: int, total: int) -> None:
        nonlocal shown
        if sys.stderr.isatty() and time.monotonic() > shown + SHOWN_SECONDS:
            shown = time.monotonic()
            print(f"\r\033[K{step}: {done / 1e6:,.1f} of {total / 1e6:,.1f} MB", end="", file=sys.stderr, flush=True)

    return show


def _clear() -> None:
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
