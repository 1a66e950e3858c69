"""A batch of prepared pictures -> embeddings, written with all outcomes of the batch in one transaction."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

import psycopg

from core.collection.changed_urls import KnownVersion, keep_versions, pictures_of, replace_pictures
from core.collection.metadata import add_item_metadata
from core.collection.store import NewPicture, Store, insert_embeddings
from core.database.connection import Database
from core.database.embedding_tables import Vector
from core.database.job_queue import PAIR_COPIES, nudge
from core.embedding.active_models import ActiveModel
from core.errors import LookalikeError
from core.indexing.claims import Claims, Item, Outcome, Status
from core.indexing.item_loader import UNFORESEEN, Ready
from core.indexing.known_pictures import IN_BIN, recognised
from core.media.uploads import base_name
from core.signed_urls import file_path

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)


class BatchWriter:
    """Embeds and writes batches with a model and, if there is one, a copy model. Thread-safe."""

    def __init__(
        self, database: Database, store: Store, claims: Claims, in_use: ActiveModel, copy_model: ActiveModel | None
    ) -> None:
        self._database = database
        self._store = store
        self._claims = claims
        self._in_use = in_use
        self._copy_model = copy_model

    def finish(self, ready: Sequence[Ready], outcomes: Sequence[Outcome]) -> None:
        """Embed a batch and write it. When an item in it causes an error, only that item fails.

        Raises DatabaseError or psycopg.Error when the database is unavailable, and EncoderError.
        """
        try:
            ready, outcomes = self._recognise(ready, outcomes)
            vectors = self._embed(self._in_use, {entry.id: entry.prepared for entry in ready})
            self.write(ready, outcomes, vectors, self._embed_copies(ready))
        except Exception as error:
            outage = isinstance(error, psycopg.Error) and not isinstance(
                error, psycopg.DataError | psycopg.IntegrityError
            )
            if outage or isinstance(error, LookalikeError):
                raise
            if len(ready) + len(outcomes) > 1:
                for entry in ready:
                    self.finish([entry], [])
                for outcome in outcomes:
                    self.finish([], [outcome])
                return
            item = items_of(ready, outcomes)[0]
            logger.exception("item %s of import %s", item.key.hex(), item.import_id)
            self.write([], [Outcome(item, "failed", reason=UNFORESEEN)], {}, {})

    def _recognise(
        self, ready: Sequence[Ready], outcomes: Sequence[Outcome]
    ) -> tuple[Sequence[Ready], Sequence[Outcome]]:
        """Take placeholders and pictures that stay in the bin from those that are ready.

        A URL of a picture in the collection that now leads to one in the bin restores it: it is what the URL shows.
        """
        with self._database.connection() as connection:
            reasons = recognised(connection, {entry.id for entry in ready})
            if not reasons:
                return ready, outcomes
            alive = pictures_of(connection, [entry.item.key for entry in ready])
            restoring = {
                id
                for (id,) in connection.execute(
                    "SELECT id FROM imports WHERE id = ANY(%s) AND restores",
                    ([entry.item.import_id for entry in ready],),
                )
            }
        left, told = list[Ready](), list[Outcome]()
        for entry in ready:
            item, reason = entry.item, reasons.get(entry.id)
            if reason is None or (reason == IN_BIN and (item.import_id in restoring or item.key in alive)):
                left.append(entry)
            else:
                status: Status = "already_there" if reason == IN_BIN else "failed"
                told.append(Outcome(item, status, picture=entry.id, reason=reason))
        return left, [*outcomes, *told]

    def _embed(self, in_use: ActiveModel, prepared: Mapping[UUID, torch.Tensor]) -> dict[UUID, Vector]:
        """New embeddings for those pictures that have none yet."""
        with self._database.connection() as connection:
            known = self._store.embedded(connection, in_use.model, prepared)
        fresh = [id for id in prepared if id not in known]
        vectors = in_use.encoder.encode_prepared([prepared[id] for id in fresh])
        return dict(zip(fresh, vectors, strict=True))

    def _embed_copies(self, ready: Sequence[Ready]) -> dict[UUID, Vector]:
        prepared = {entry.id: entry.copy_prepared for entry in ready if entry.copy_prepared is not None}
        return self._embed(self._copy_model, prepared) if self._copy_model else {}

    def write(
        self,
        ready: Sequence[Ready],
        outcomes: Sequence[Outcome],
        vectors: Mapping[UUID, Vector],
        copy_vectors: Mapping[UUID, Vector],
    ) -> None:
        """Write the outcomes of a batch, with new embeddings of both models, in one transaction. Raises DatabaseError
        or psycopg.Error."""
        with self._database.connection() as connection:
            held = self._claims.lock_waiting(connection, items_of(ready, outcomes))
            entries, new = list[tuple[UUID, Item]](), dict[UUID, NewPicture]()
            before = pictures_of(connection, [item.key for item in held])
            for entry in ready:
                item, id = entry.item, entry.id
                if item not in held:
                    continue
                entries.append((id, item))
                if id in vectors and id not in new:
                    title = base_name(item.url) if item.is_file else ""
                    new[id] = NewPicture(item.key, _url(item, id), entry.picture, vectors[id], title)
            made = self._store.add(connection, self._in_use.model, list(new.values()))
            if self._copy_model:
                copies = {id: copy_vectors[id] for id, _ in entries if id in copy_vectors}
                insert_embeddings(connection, self._copy_model.model, copies)
            firsts = {id: item for id, item in reversed(entries) if id in made}
            repeats = [(id, item) for id, item in entries if firsts.get(id) is not item]
            binned = [(each.item, each.picture) for each in outcomes if each.reason == IN_BIN and each.item in held]
            self._store.add_sources(
                connection,
                [(item.key, _url(item, id), id) for id, item in repeats]
                + [(item.key, _url(item, id), id) for item, id in binned if id is not None],
            )
            unchanged = [each.item.key for each in outcomes if each.picture and not each.reason and each.item in held]
            connection.execute("UPDATE sources SET added_at = now() WHERE key = ANY(%s)", (sorted(unchanged),))
            keep_versions(
                connection,
                {
                    entry.item.key: KnownVersion(entry.id, entry.version)
                    for entry in ready
                    if entry.version is not None and entry.item in held
                },
            )
            replace_pictures(
                connection, {old: id for id, item in entries if (old := before.get(item.key)) is not None and old != id}
            )
            names = self._store.first_names(connection, {id for id, _ in repeats})
            self._claims.record(
                connection,
                [
                    *outcomes,
                    *(Outcome(item, "indexed", picture=id) for id, item in firsts.items()),
                    *(
                        Outcome(
                            item,
                            "already_there",
                            picture=id,
                            reason=None if before.get(item.key) == id else f"Same picture as {names[id]}",
                        )
                        for id, item in repeats
                    ),
                ],
            )
            named = [*entries, *((each.picture, each.item) for each in outcomes if each.picture and not each.reason)]
            for import_id in {item.import_id for _, item in named}:
                add_item_metadata(connection, import_id, [id for id, item in named if item.import_id == import_id])
            if made:
                nudge(connection, PAIR_COPIES)


def items_of(ready: Iterable[Ready], outcomes: Iterable[Outcome]) -> list[Item]:
    """The items of a batch."""
    return [*(entry.item for entry in ready), *(outcome.item for outcome in outcomes)]


def _url(item: Item, picture: UUID) -> str:
    """Where the picture of an item is available from now on: its URL, or the path of its stored file."""
    return file_path(picture) if item.is_file else item.url
