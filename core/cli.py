"""`python -m core backup`, `restore`, `export` and `import`: a whole collection to and from a file."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg

from core.collection.store import Store
from core.collection.table_export import export_table
from core.collection.table_import import import_table
from core.database.backup import back_up, new_file
from core.database.backup_format import Manifest, OnBackupProgress
from core.database.connection import Database
from core.database.embedding_tables import Model
from core.database.restore import restore
from core.errors import LookalikeError, TransferError
from core.settings import load_settings

NAME = "lookalike command"
"""What the connections of a command call themselves: not as those of an app do, which a restore looks for."""

SHOWN_NOTES = 20
"""Remarks about a file's lines that are printed."""

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
    commands.add_parser("worker", help="work on imports and other background work, without the pages")
    backup = commands.add_parser("backup", help="write everything into one file, while the app may go on")
    backup.add_argument("file", type=Path)
    backup.set_defaults(run=_back_up)
    put_back = commands.add_parser("restore", help="fill an empty collection from a backup")
    put_back.add_argument("file", type=Path)
    put_back.add_argument("--replace", action="store_true", help="delete what the collection holds first")
    put_back.set_defaults(run=_restore)
    take_out = commands.add_parser("export", help="write the collection as .csv or .parquet")
    take_out.add_argument("file", type=Path)
    take_out.add_argument("--thumbnails", action="store_true", help="with the thumbnails")
    take_out.add_argument("--embeddings", action="store_true", help="with the embeddings of the model in use")
    take_out.set_defaults(run=_export)
    take_in = commands.add_parser("import", help="read such a file into the collection")
    take_in.add_argument("file", type=Path)
    take_in.set_defaults(run=_import)
    return parser


def _export(asked: argparse.Namespace) -> str:
    kind = asked.file.suffix.lower().removeprefix(".")
    if kind not in ("csv", "parquet"):
        raise TransferError("Name a file that ends in .csv or .parquet.")
    with _database() as database, new_file(asked.file) as file:
        show, done, store = _progress(), 0, Store(database)
        chunks = export_table(
            *(database, _model(store), kind), thumbnails=asked.thumbnails, embeddings=asked.embeddings
        )
        for chunk in chunks:
            file.write(chunk)
            done += len(chunk)
            show("writing", done, done)
        count = store.count()
    return f"{asked.file} holds {count:,} pictures in {asked.file.stat().st_size / 1e6:,.1f} MB."


def _import(asked: argparse.Namespace) -> str:
    try:
        file = asked.file.open("rb")
    except OSError as error:
        raise TransferError(f"{asked.file} cannot be read: {error.strerror}.") from None
    with file, _database() as database:
        show, size = _progress(), asked.file.stat().st_size
        taken = import_table(
            database, _model(Store(database)), asked.file.name, file, lambda _: show("reading", file.tell(), size)
        )
    _clear()
    for number, sentence in taken.notes[:SHOWN_NOTES]:
        print(f"Line {number}: {sentence}", file=sys.stderr)
    if taken.remarks > SHOWN_NOTES:
        print(f"… and {taken.remarks - SHOWN_NOTES:,} more.", file=sys.stderr)
    return taken.summary


def _model(store: Store) -> Model | None:
    """The model that the settings name, else the newest that the collection knows."""
    models, setting = store.models(), load_settings().clip_model
    return next((model for model in models if model.setting == setting), models[-1] if models else None)


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


def _progress() -> OnBackupProgress:
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
