"""`python -m bench [names]`: measure, print, and write build/bench.json. Without names, all but the long ones."""

from __future__ import annotations

import importlib
import logging
import signal
import sys
import time
from pathlib import Path

from bench.report import Report, machine
from core.process import keep_freed_memory

BENCHES = (
    *("builtin", "indexing", "both_embeddings", "queue", "memory", "people", "search", "query"),
    *("page", "retrieval", "browse", "duplicates", "same", "tuning", "curator", "cuts"),
)
"""Modules of this package with a function `run(report)`, each measuring for some minutes."""

LONG = ("million",)
"""Those that run only when they are named."""


def main(names: list[str]) -> int:
    """Run the named benchmarks. Returns 0 when every promise holds, 1 when one does not, 2 for an unknown name."""
    if unknown := [name for name in names if name not in BENCHES + LONG]:
        print(f"There is no benchmark {', '.join(unknown)}; there are {', '.join(BENCHES + LONG)}.", file=sys.stderr)
        return 2
    keep_freed_memory()  # as the app does
    logging.getLogger().setLevel(logging.ERROR)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers and folders go, too
    print(machine())
    report = Report()
    for name in names or BENCHES:
        begun = time.monotonic()
        print(f"\n{name}")
        importlib.import_module(f"bench.{name}").run(report)
        print(f"  ({time.monotonic() - begun:.0f} s)")
    report.write(Path("build/bench.json"))
    return 0 if all(row.holds for row in report.rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
