from __future__ import annotations

import io
import random
import threading
from collections.abc import Callable
from itertools import combinations
from uuid import UUID

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from bench.support.data import some_photos
from core.collection.store import NewPicture, Store
from core.database.connection import Database
from core.database.embedding_tables import Model
from core.duplicates.groups import Duplicates, KeepRule
from core.duplicates.near_copies import BATCH, MAX_COPIES, MAX_DISTANCE, pair
from core.media.decode import read_picture
from core.media.urls import key_of
from core.verification.relation import relation_to_kept
from core.verification.verifier import Verifier

pytestmark = pytest.mark.pooled


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database)


@pytest.fixture
def model(store: Store) -> Model:
    return store.use_model("test/two", 2)


def add(database: Database, model: Model, files: list[bytes]) -> list[UUID]:
    """Store pictures of these files."""
    new = []
    for data in files:
        picture = read_picture(data, max_bytes=10**7, max_pixels=10**7)
        url = f"https://a.example/{picture.sha256.hex()}"
        new.append(NewPicture(key_of(url), url, picture, np.array([1, 0], np.float32)))
    with database.connection() as connection:
        Store(database).add(connection, model, new)
    return [picture.id for picture in new]


def insert(database: Database, ids: list[UUID], hashes: list[int]) -> None:
    """Store pictures of which only the hash matters."""
    with database.connection() as connection:
        connection.execute(
            """INSERT INTO pictures (id, sha256, phash, width, height, bytes, mime)
               SELECT id, '', phash, 9, 9, 9, '' FROM unnest(%s::uuid[], %s::bigint[]) AS new (id, phash)""",
            (ids, hashes),
        )
        connection.execute("INSERT INTO unpaired SELECT unnest(%s::uuid[])", (ids,))


def pair_all(database: Database) -> None:
    while pair(database):
        pass


def jpeg(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def versions(path: str) -> list[bytes]:
    """A photo as it goes round: itself, recompressed, half as large, a third as large and a little brighter."""
    photo = Image.open(path).convert("RGB")
    small = photo.resize((photo.width * 3 // 10, photo.height * 3 // 10), Image.Resampling.LANCZOS)
    return [
        jpeg(photo, 95),
        jpeg(photo, 30),
        jpeg(photo.resize((photo.width // 2, photo.height // 2)), 85),
        jpeg(ImageEnhance.Brightness(small).enhance(1.1), 70),
    ]


def signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def test_versions_of_a_photo_know_each_other_and_no_other(database: Database, store: Store, model: Model) -> None:
    groups = [add(database, model, versions(str(path))) for path in some_photos(12)]
    pair_all(database)
    found = store.copies_of([id for group in groups for id in group])
    assert {id: set(others) for id, others in found.items()} == {
        id: set(group) - {id} for group in groups for id in group
    }


def test_copies_are_found_whatever_came_first(database: Database, store: Store, model: Model) -> None:
    first, second = versions(str(some_photos(1)[0]))[:2]
    [one] = add(database, model, [first])
    pair_all(database)
    assert store.copies_of([one]) == {}
    [two] = add(database, model, [second])
    pair_all(database)
    assert store.copies_of([one]) == {one: [two]}
    assert store.copies_of([two]) == {two: [one]}


def test_the_nearest_copy_comes_first(database: Database, store: Store) -> None:
    one, near, far = sorted(UUID(int=random.getrandbits(128)) for _ in range(3))
    insert(database, [one, far, near], [0, 0b1111, 0b1])
    pair_all(database)
    assert store.copies_of([one])[one] == [near, far]


def test_removed_pictures_are_nobodys_copies_until_they_return(database: Database, store: Store, model: Model) -> None:
    ids = add(database, model, versions(str(some_photos(1)[0]))[:2])
    pair_all(database)
    with database.connection() as connection:
        connection.execute("UPDATE pictures SET removed_at = now() WHERE id = %s", (ids[1],))
    assert store.copies_of(ids[:1]) == {}
    with database.connection() as connection:
        connection.execute("UPDATE pictures SET removed_at = NULL")
    assert store.copies_of(ids[:1]) == {ids[0]: [ids[1]]}


def test_the_pairs_go_with_their_picture(database: Database, store: Store, model: Model) -> None:
    ids = add(database, model, versions(str(some_photos(1)[0])))
    pair_all(database)
    with database.connection() as connection:
        connection.execute("DELETE FROM pictures WHERE id = %s", (ids[0],))
    assert {id: set(others) for id, others in store.copies_of(ids).items()} == {
        id: set(ids[1:]) - {id} for id in ids[1:]
    }


def test_exactly_the_pairs_within_the_distance_are_found(database: Database, store: Store) -> None:
    """The index on the bands loses nothing: against the comparison of each with each."""
    chance = random.Random(7)
    seeds = [chance.getrandbits(64) for _ in range(40)]
    hashes = [
        seed ^ sum(1 << bit for bit in chance.sample(range(64), flips))
        for seed in seeds
        for flips in (0, 1, 2, 3, 4, 5, 6)
    ]
    ids = [UUID(int=chance.getrandbits(128)) for _ in hashes]
    insert(database, ids, [signed(value) for value in hashes])
    pair_all(database)
    expected = {
        frozenset((ids[a], ids[b]))
        for a, b in combinations(range(len(ids)), 2)
        if (hashes[a] ^ hashes[b]).bit_count() <= MAX_DISTANCE
    }
    found = {frozenset((id, other)) for id, others in store.copies_of(ids).items() for other in others}
    assert found == expected
    assert len(expected) >= 40 * 4


def test_a_flood_of_equal_pictures_stays_bounded(database: Database) -> None:
    ids = [UUID(int=number + 1) for number in range(4 * MAX_COPIES)]
    insert(database, ids, [5] * len(ids))
    pair_all(database)
    with database.connection() as connection:
        rows = connection.execute("SELECT count(*) FROM copies").fetchone()
    assert rows is not None
    assert rows[0] <= MAX_COPIES * len(ids)


def test_a_turn_that_breaks_off_comes_again(database: Database, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [UUID(int=1), UUID(int=2)]
    insert(database, ids, [3, 3])
    with monkeypatch.context() as broken:
        broken.setattr("core.duplicates.near_copies.MAX_DISTANCE", "no number")
        with pytest.raises(Exception, match="no number"):
            pair(database)
    assert store.copies_of(ids) == {}
    pair_all(database)
    assert store.copies_of(ids) == {ids[0]: [ids[1]], ids[1]: [ids[0]]}


def test_many_at_once_miss_nothing(database: Database, store: Store) -> None:
    """Pictures keep coming while others pair them, each pair of copies in two transactions."""
    chance = random.Random(3)
    rows = [(UUID(int=chance.getrandbits(128)), signed(hash)) for hash in range(0, 6 * BATCH << 20, 1 << 20)]
    twins = [(UUID(int=chance.getrandbits(128)), hash ^ 1) for _, hash in rows]
    done = threading.Event()
    problems = list[BaseException]()

    def guarded(work: Callable[..., object], *arguments: object) -> threading.Thread:
        def run() -> None:
            try:
                work(*arguments)
            except BaseException as error:
                problems.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def bring(these: list[tuple[UUID, int]]) -> None:
        for start in range(0, len(these), 7):
            some = these[start : start + 7]
            insert(database, [id for id, _ in some], [hash for _, hash in some])

    def find() -> None:
        while not done.is_set():
            pair(database)

    finders = [guarded(find) for _ in range(3)]
    bringers = [guarded(bring, rows), guarded(bring, twins)]
    for thread in bringers:
        thread.join()
    done.set()
    for thread in finders:
        thread.join()
    pair_all(database)
    assert problems == []
    found = store.copies_of([id for id, _ in rows])
    assert all(twin in found[id] for (id, _), (twin, _) in zip(rows, twins, strict=True))


def test_copies_that_only_embeddings_find_are_proved_and_others_are_not(
    database: Database, store: Store, model: Model
) -> None:
    """The mirror of a photo, and another photo that is as near: of two dimensions all are near."""
    photo, other = (Image.open(path).convert("RGB") for path in some_photos(2))
    one, mirror, stranger = add(database, model, [jpeg(photo, 90), jpeg(ImageOps.mirror(photo), 80), jpeg(other, 90)])
    copy_model = store.use_model("test/copies", 2, purpose="copy")
    store.embed(copy_model, dict.fromkeys([one, mirror, stranger], np.array([1, 0], np.float32)))
    verifier = Verifier(store)
    while pair(database, prove=verifier.prove_pairs, copy_model=copy_model):
        pass
    verifier.close()
    assert store.copies_of([one, stranger]) == {one: [mirror]}
    [group] = Duplicates(database).copies(KeepRule())
    assert {id: relation_to_kept(proof) for id, proof in Duplicates(database).proofs([group]).items()} == {
        group.members[0].picture: "Mirrored"
    }
