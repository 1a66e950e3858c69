"""Shorter waits for the processes of tests in which something dies: what is tested is who notices, not how late."""

from datetime import timedelta

HASTE: dict[str, object] = {
    "core.indexing.pipeline.LEASE": timedelta(seconds=5),
    "core.background.worker.IMPORTS_POLL_SECONDS": 0.1,
    "core.background.worker.UPKEEP_POLL_SECONDS": 0.2,
    "core.background.worker.SWEEP_SECONDS": 0.5,
    "core.background.worker.RESTART_SECONDS": 0.5,
}
