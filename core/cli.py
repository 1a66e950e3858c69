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
"""The application name of a command's connections; a restore looks for that of an app, so it must differ."""

SHOWN_NOTES = 20
"""Most notes about a file's lines that are printed: a screenful."""

SHOWN_SECONDS = 0.5
"""Seconds between two updates of the progress."""


def run_command(arguments: Sequence[str]) -> int:
    """Run a command and return its exit status: 1, after a sentence, if it failed, 130 if stopped."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        result: str = options.run(options)
    except LookalikeError as error:
        _clear()
        print(error, file=sys.stderr)
        return 1
    except psycopg.Error as error:
        _clear()
        print(f"The database reported an error: {str(error).splitlines()[0]}. Nothing was changed.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        _clear()
        print("Stopped.", file=sys.stderr)
        return 130
    _clear()
    print(result)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m core", description="Lookalike")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("run", help="serve the app")
    commands.add_parser("worker", help="run imports and other background jobs, without the pages")
    backup = commands.add_parser("backup", help="write everything to one file; the app can keep running")
    backup.add_argument("file", type=Path)
    backup.set_defaults(run=_back_up)
    restore_parser = commands.add_parser("restore", help="fill an empty collection from a backup")
    restore_parser.add_argument("file", type=Path)
    restore_parser.add_argument("--replace", action="store_true", help="delete what the collection holds first")
    restore_parser.set_defaults(run=_restore)
    export = commands.add_parser("export", help="write the collection as .csv or .parquet")
    export.add_argument("file", type=Path)
    export.add_argument("--thumbnails", action="store_true", help="with the thumbnails")
    export.add_argument("--embeddings", action="store_true", help="with the embeddings of the model in use")
    export.set_defaults(run=_export)
    import_parser = commands.add_parser("import", help="add the pictures of such a file to the collection")
    import_parser.add_argument("file", type=Path)
    import_parser.set_defaults(run=_import)
    return parser


def _export(options: argparse.Namespace) -> str:
    kind = options.file.suffix.lower().removeprefix(".")
    if kind not in ("csv", "parquet"):
        raise TransferError("Name a file that ends in .csv or .parquet.")
    with _database() as database, new_file(options.file) as file:
        show, done, store = _progress(), 0, Store(database)
        chunks = export_table(
            *(database, _model(store), kind), thumbnails=options.thumbnails, embeddings=options.embeddings
        )
        for chunk in chunks:
            file.write(chunk)
            done += len(chunk)
            show("writing", done, done)
        count = store.count()
    return f"{options.file} holds {count:,} pictures in {options.file.stat().st_size / 1e6:,.1f} MB."


def _import(options: argparse.Namespace) -> str:
    try:
        file = options.file.open("rb")
    except OSError as error:
        raise TransferError(f"{options.file} cannot be read: {error.strerror}.") from None
    with file, _database() as database:
        show, size = _progress(), options.file.stat().st_size
        imported = import_table(
            database, _model(Store(database)), options.file.name, file, lambda _: show("reading", file.tell(), size)
        )
    _clear()
    for number, sentence in imported.notes[:SHOWN_NOTES]:
        print(f"Line {number}: {sentence}", file=sys.stderr)
    if imported.note_count > SHOWN_NOTES:
        print(f"… and {imported.note_count - SHOWN_NOTES:,} more.", file=sys.stderr)
    return imported.summary


def _model(store: Store) -> Model | None:
    """The model in the settings, else the newest one in the collection."""
    models, setting = store.models(), load_settings().clip_model
    return next((model for model in models if model.setting == setting), models[-1] if models else None)


def _back_up(options: argparse.Namespace) -> str:
    with _database() as database:
        manifest = back_up(database, options.file, _progress())
    return f"{options.file} holds {_summary(manifest)} in {options.file.stat().st_size / 1e6:,.1f} MB."


def _restore(options: argparse.Namespace) -> str:
    with _database() as database:
        manifest = restore(database, options.file, _progress(), replace=options.replace)
    return (
        f"The collection was restored to its state of {manifest.made_at.astimezone():%d %B %Y, %H:%M}: "
        f"{_summary(manifest)}."
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
    """A callback that shows the current step on the last line of a terminal, and nothing elsewhere."""
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
