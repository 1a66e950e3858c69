from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from core.database.connection import Database
from core.errors import NotFoundError
from core.indexing.claims import GIVEN_UP_REASON, SUSPECT, Claims, Item, Outcome
from core.indexing.imports import CANCELLED, Imports, Wait
from core.media.urls import key_of

pytestmark = pytest.mark.pooled

LEASE = timedelta(seconds=30)


def addresses(count: int, host: str = "a.example") -> list[tuple[bytes, str]]:
    urls = [f"https://{host}/{number}.jpg" for number in range(count)]
    return [(key_of(url), url) for url in urls]


@pytest.fixture
def ledger(database: Database) -> Imports:
    return Imports(database)


@pytest.fixture
def claims(database: Database) -> Claims:
    return Claims(database)


def record(claims: Claims, database: Database, outcomes: list[Outcome]) -> None:
    with database.connection() as connection:
        claims.record(connection, outcomes)


def test_an_import_counts_its_items(ledger: Imports) -> None:
    created = ledger.read(ledger.submit("mine", addresses(5)).id)
    assert (created.name, created.total, created.waiting, created.done) == ("mine", 5, 5, False)


def test_a_repeated_address_is_one_item(ledger: Imports) -> None:
    assert ledger.read(ledger.submit("mine", addresses(3) * 2).id).total == 3


def test_an_unknown_import_is_said_to_be_unknown(ledger: Imports) -> None:
    with pytest.raises(NotFoundError, match="no import 404"):
        ledger.read(404)


def test_items_are_claimed_once_and_in_order(ledger: Imports, claims: Claims) -> None:
    import_id = ledger.submit("mine", addresses(5)).id
    first, second = claims.claim(import_id, 3, LEASE), claims.claim(import_id, 3, LEASE)
    assert {item.url for item in first} == {f"https://a.example/{n}.jpg" for n in range(3)}
    assert len(second) == 2
    assert claims.claim(import_id, 3, LEASE) == []


def test_a_lapsed_lease_gives_the_item_to_the_next(ledger: Imports, claims: Claims) -> None:
    import_id = ledger.submit("mine", addresses(1)).id
    (lost,) = claims.claim(import_id, 1, timedelta(0))
    (found,) = claims.claim(import_id, 1, LEASE)
    assert found.key == lost.key
    assert found.attempts == 1


def test_a_renewed_lease_holds(ledger: Imports, claims: Claims) -> None:
    import_id = ledger.submit("mine", addresses(1)).id
    items = claims.claim(import_id, 1, timedelta(0))
    claims.renew(items, LEASE)
    assert claims.claim(import_id, 1, LEASE) == []


def test_renewing_does_not_wait_for_items_that_are_being_recorded(
    database: Database, ledger: Imports, claims: Claims
) -> None:
    items = claims.claim(ledger.submit("mine", addresses(2)).id, 2, LEASE)
    with ThreadPoolExecutor(1) as threads, database.connection() as connection:
        claims.lock_waiting(connection, items)
        threads.submit(claims.renew, items, LEASE).result(5)


def test_renewing_brings_no_later_try_forward(database: Database, ledger: Imports, claims: Claims) -> None:
    import_id = ledger.submit("mine", addresses(1)).id
    (item,) = claims.claim(import_id, 1, LEASE)
    later = datetime.now(UTC) + timedelta(hours=1)
    record(claims, database, [Outcome(item, "waiting", reason="Slow.", next_try_at=later)])
    claims.renew([item], LEASE)
    assert list(ledger.read(import_id).waits) == [Wait("Slow.", 1, later)]


def test_a_released_item_is_as_if_never_claimed(ledger: Imports, claims: Claims) -> None:
    import_id = ledger.submit("mine", addresses(1)).id
    claims.release(claims.claim(import_id, 1, LEASE))
    (item,) = claims.claim(import_id, 1, LEASE)
    assert item.attempts == 1


def test_items_lost_again_and_again_are_claimed_alone_and_in_the_end_given_up(ledger: Imports, claims: Claims) -> None:
    import_id = ledger.submit("mine", addresses(3)).id
    for _ in range(SUSPECT):
        assert len(claims.claim(import_id, 3, timedelta(0))) == 3
    assert claims.claim(import_id, 3, timedelta(0)) == []
    assert claims.due() == [import_id]
    order = [item.url for _ in range(3) for item in claims.claim_suspect(import_id, timedelta(0))]
    assert order == [url for _, url in addresses(3)], "the one lost last comes last"
    (first,) = claims.claim_suspect(import_id, timedelta(0))
    claims.release([first])
    assert [claims.claim_suspect(import_id, timedelta(0))[0].url for _ in range(3)] == order
    assert claims.claim_suspect(import_id, timedelta(0)) == []
    assert [failure.reason for failure in ledger.failures(import_id)] == [GIVEN_UP_REASON] * 3


def test_of_the_suspects_of_an_import_one_is_in_hand_at_a_time(ledger: Imports, claims: Claims) -> None:
    import_id = ledger.submit("mine", addresses(2)).id
    for _ in range(SUSPECT):
        claims.claim(import_id, 2, timedelta(0))
    (first,) = claims.claim_suspect(import_id, LEASE)
    assert claims.claim_suspect(import_id, LEASE) == []
    claims.release([first])
    assert len(claims.claim_suspect(import_id, LEASE)) == 1


def test_an_item_that_comes_to_an_outcome_is_no_suspect(database: Database, ledger: Imports, claims: Claims) -> None:
    import_id = ledger.submit("mine", addresses(1)).id
    for _ in range(SUSPECT):
        (item,) = claims.claim(import_id, 1, timedelta(0))
    record(claims, database, [Outcome(item, "waiting", reason="Slow.", next_try_at=datetime.now(UTC))])
    assert len(claims.claim(import_id, 1, LEASE)) == 1


def test_items_of_full_hosts_are_left(ledger: Imports, claims: Claims) -> None:
    import_id = ledger.submit("mine", addresses(4, "slow.example") + addresses(2, "quick.example")).id
    items = claims.claim(import_id, 10, LEASE, full_hosts=["slow.example"])
    assert {item.host for item in items} == {"quick.example"}
    assert len(items) == 2


def test_a_final_state_stays(database: Database, ledger: Imports, claims: Claims) -> None:
    import_id = ledger.submit("mine", addresses(1)).id
    (item,) = claims.claim(import_id, 1, LEASE)
    record(claims, database, [Outcome(item, "failed", reason="Gone.")])
    record(claims, database, [Outcome(item, "indexed")])
    assert ledger.read(import_id).counts == {"waiting": 0, "indexed": 0, "already_there": 0, "failed": 1}


def test_failures_come_in_the_order_given_and_can_be_retried(
    database: Database, ledger: Imports, claims: Claims
) -> None:
    import_id = ledger.submit("mine", addresses(3)).id
    items = claims.claim(import_id, 3, LEASE)
    record(claims, database, [Outcome(item, "failed", reason="Gone.") for item in items])
    assert [failure.url for failure in ledger.failures(import_id)] == [url for _, url in addresses(3)]
    assert ledger.retry_failed(import_id) == 3
    assert ledger.read(import_id).waiting == 3
    assert len(claims.claim(import_id, 3, LEASE)) == 3


def test_an_item_to_be_tried_later_is_due_only_then(database: Database, ledger: Imports, claims: Claims) -> None:
    import_id = ledger.submit("mine", addresses(1)).id
    (item,) = claims.claim(import_id, 1, LEASE)
    later = datetime.now(UTC) + timedelta(minutes=5)
    record(claims, database, [Outcome(item, "waiting", reason="Slow.", next_try_at=later)])
    assert claims.due() == []
    assert ledger.read(import_id).retrying == 1
    record(claims, database, [Outcome(item, "waiting", reason="Slow.", next_try_at=datetime.now(UTC))])
    assert claims.due() == [import_id]


def test_the_newest_imports_come_first(ledger: Imports) -> None:
    ids = [ledger.submit(f"list {n}", addresses(1, f"{n}.example")).id for n in range(3)]
    assert [entry.id for entry in ledger.latest(2)] == [ids[2], ids[1]]


def test_two_workers_never_claim_the_same_item(ledger: Imports, claims: Claims) -> None:
    from concurrent.futures import ThreadPoolExecutor

    import_id = ledger.submit("mine", addresses(200)).id

    def take_all() -> list[Item]:
        taken: list[Item] = []
        while items := claims.claim(import_id, 7, LEASE):
            taken += items
        return taken

    with ThreadPoolExecutor(4) as threads:
        taken = [item.key for future in [threads.submit(take_all) for _ in range(4)] for item in future.result()]
    assert len(taken) == len(set(taken)) == 200


def test_a_paused_import_hands_out_nothing_until_resumed(ledger: Imports, claims: Claims) -> None:
    import_id = ledger.submit("mine", addresses(2)).id
    ledger.pause(import_id)
    assert claims.due() == []
    assert claims.claim(import_id, 2, LEASE) == []
    ledger.resume(import_id)
    assert claims.due() == [import_id]
    assert len(claims.claim(import_id, 2, LEASE)) == 2


def test_a_cancelled_import_is_done_and_can_be_taken_up_again(ledger: Imports) -> None:
    import_id = ledger.submit("mine", addresses(2)).id
    assert ledger.cancel(import_id) == 2
    assert ledger.read(import_id).done
    assert {failure.reason for failure in ledger.failures(import_id)} == {CANCELLED}
    ledger.retry_failed(import_id)
    assert ledger.read(import_id).waiting == 2


def test_items_in_hand_when_cancelled_do_not_come_back(database: Database, ledger: Imports, claims: Claims) -> None:
    import_id = ledger.submit("mine", addresses(2)).id
    items = claims.claim(import_id, 2, LEASE)
    ledger.cancel(import_id)
    with database.connection() as connection:
        assert claims.lock_waiting(connection, items) == set()


def test_failures_are_grouped_by_reason(database: Database, ledger: Imports, claims: Claims) -> None:
    import_id = ledger.submit("mine", addresses(3)).id
    items = sorted(claims.claim(import_id, 3, LEASE), key=lambda item: item.url)
    record(claims, database, [Outcome(item, "failed", reason=r) for item, r in zip(items, "abb", strict=True)])
    assert [(group.reason, group.count, group.example[-5:]) for group in ledger.failure_groups(import_id)] == [
        ("b", 2, "1.jpg"),
        ("a", 1, "0.jpg"),
    ]


def test_a_host_that_asks_for_rest_is_left_alone_and_its_imports_say_why(ledger: Imports, claims: Claims) -> None:
    import_id = ledger.submit("mine", addresses(2, "busy.example") + addresses(1, "idle.example")).id
    other = ledger.submit("later", addresses(3, "busy.example")).id
    until = datetime.now(UTC) + timedelta(minutes=1)
    claims.back_off("busy.example", until, "busy.example answered 429.")
    assert [item.host for item in claims.claim(import_id, 9, LEASE)] == ["idle.example"]
    assert list(ledger.read(import_id).waits) == [Wait("busy.example answered 429.", 2, until)]
    assert list(ledger.read(other).waits) == [Wait("busy.example answered 429.", 3, until)]


def test_an_item_released_for_later_keeps_its_attempts_and_says_why(ledger: Imports, claims: Claims) -> None:
    import_id = ledger.submit("mine", addresses(1)).id
    items = claims.claim(import_id, 1, LEASE)
    assert ledger.read(import_id).waits == ()  # a lease is no wait
    until = datetime.now(UTC) + timedelta(minutes=1)
    claims.release(items, until, "Busy.")
    assert list(ledger.read(import_id).waits) == [Wait("Busy.", 1, until)]


def test_an_outcome_that_does_not_count_is_no_attempt(database: Database, ledger: Imports, claims: Claims) -> None:
    import_id = ledger.submit("mine", addresses(1)).id
    for counts, attempts in ((False, 1), (True, 1), (False, 2)):
        (item,) = claims.claim(import_id, 1, LEASE)
        assert item.attempts == attempts
        again = Outcome(item, "waiting", reason="Busy.", next_try_at=datetime.now(UTC), counts=counts)
        record(claims, database, [again])
