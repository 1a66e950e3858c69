"""Shorter waits for the app and workers of tests: who notices something is tested, not how late."""

from datetime import timedelta

HASTE: dict[str, object] = {
    "core.background.worker.IMPORTS_POLL_SECONDS": 0.1,
    "core.background.worker.UPKEEP_POLL_SECONDS": 0.2,
    "core.background.worker.SWEEP_SECONDS": 0.5,
    "core.background.worker.RESTART_SECONDS": 0.5,
}

SHORT_LEASES: dict[str, object] = {
    **HASTE,
    "core.background.worker.HEARTBEAT_SECONDS": 1.0,
    "core.background.worker.SILENCE": timedelta(seconds=5),
    "core.indexing.pipeline.LEASE": timedelta(seconds=5),
}
"""Where something dies. On a busy machine the living may seem dead for so short a time, and an item is then fetched
again."""
