"""Measurements and promises, as a table and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch


@dataclass(frozen=True)
class Row:
    """One measurement. A row without a goal explains the others, and always holds."""

    row: str
    value: float
    unit: str
    goal: str
    holds: bool


class Report:
    """Collects rows and prints each at once."""

    def __init__(self) -> None:
        self.rows = list[Row]()

    def at_least(self, row: str, value: float, goal: float, unit: str = "×") -> None:
        """Promise that a value is no smaller than `goal`."""
        self._add(Row(row, round(value, 4), unit, f"≥ {goal:,g}", value >= goal))

    def at_most(self, row: str, value: float, goal: float, unit: str = "×") -> None:
        """Promise that a value is no larger than `goal`."""
        self._add(Row(row, round(value, 4), unit, f"≤ {goal:,g}", value <= goal))

    def note(self, row: str, value: float, unit: str) -> None:
        """A value without a promise."""
        self._add(Row(row, round(value, 4), unit, "", True))

    def write(self, path: Path) -> None:
        """Write all rows as a JSON list."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps([asdict(row) for row in self.rows], ensure_ascii=False, indent=1) + "\n")

    def _add(self, row: Row) -> None:
        self.rows.append(row)
        verdict = "" if not row.goal else "holds" if row.holds else "FAILS"
        print(f"  {row.row:<74} {row.value:>10,.2f} {row.unit:<9} {row.goal:<9} {verdict}", flush=True)


def machine() -> str:
    """The facts of this machine that the numbers depend on, in one line."""
    capabilities = torch.cpu.get_capabilities()
    native = [name for name in ("avx2", "avx512_f", "avx512_bf16", "amx_bf16", "bf16") if capabilities.get(name)]
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{torch.get_num_threads()} cores ({', '.join(native) or 'no vector extensions known'}), {device}"
