"""What livervol has been compared with, and how it did: measures it, records it, and writes the validation page.

    python benchmarks/validation.py [--shared DIR] [--only SECTION ...] [--page] [--tiny] [--demo DIR] [--out FOLDER]

Each section is computed and recorded in ``validation.json`` with date, version and commit; ``docs/validation.md`` is
then made from that record and from the models' ``scores.json`` alone. Sections on real scans need the shared evaluation
data (``--shared``, LIVERVOL_SHARED, or ``shared`` beside the checkout); where they are absent the recorded figures
stay, with their dates. ``--page`` measures nothing and only writes the page. ``--tiny`` measures as little as
possible, for the tests; ``--demo`` takes a folder that ``livervol demo`` has written.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import validation_conformance as conformance
import validation_generated as generated
from validation_page import page

from livervol import __version__

ROOT = Path(__file__).resolve().parent.parent
RECORD = Path(__file__).resolve().parent / "validation.json"
PAGE = ROOT / "docs" / "validation.md"


@dataclass(frozen=True)
class Given:
    """Where the evaluation data and a finished demo lie (None: absent), and whether to measure little."""

    shared: Path | None
    demo: Path | None
    tiny: bool

    @property
    def evaluation_data(self) -> Path:
        """The shared evaluation data; ask only where they are present."""
        assert self.shared is not None
        return self.shared


def _scans() -> Any:
    # needs the evaluation data's readers only where there is something to read
    import validation_scans

    return validation_scans


SECTIONS: dict[str, Callable[[Given], dict[str, Any]]] = {
    "shapes": lambda given: generated.shapes(tiny=given.tiny),
    "course": lambda given: generated.course(given.demo),
    "repeatability": lambda given: generated.repeatability(tiny=given.tiny),
    "truth_tables": lambda given: conformance.truth_tables(),
    "independent_programs": lambda given: conformance.programs(tiny=given.tiny),
    "oracles": lambda given: conformance.oracles(given.evaluation_data),
    "held_out": lambda given: _scans().held_out(given.evaluation_data),
    "phases": lambda given: _scans().phases(given.evaluation_data),
    "lesions": lambda given: _scans().lesions(given.evaluation_data),
    "vessels": lambda given: _scans().vessels(given.evaluation_data),
    "readers": lambda given: _scans().readers(given.evaluation_data),
}
NEEDS_SHARED = ("oracles", "held_out", "phases", "lesions", "vessels", "readers")


def stamp() -> dict[str, str]:
    """Date, version and commit of a measurement, and what it ran on."""
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "version": __version__,
        "commit": found.stdout.strip() if found.returncode == 0 else "",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    }


def shared_folder(asked: Path | None) -> Path | None:
    """The evaluation data, where present."""
    folder = asked or Path(os.environ.get("LIVERVOL_SHARED", ROOT.parent / "shared"))
    return folder if (folder / "scans").is_dir() else None


def main() -> None:
    """Measure, record, write the page."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--shared", type=Path)
    words.add_argument("--only", nargs="*", choices=list(SECTIONS), default=list(SECTIONS))
    words.add_argument("--page", action="store_true")
    words.add_argument("--tiny", action="store_true")
    words.add_argument("--demo", type=Path)
    words.add_argument("--out", type=Path, help="folder for validation.json and validation.md instead of their places")
    asked = words.parse_args()
    given = Given(shared_folder(asked.shared), asked.demo, asked.tiny)
    record_path = asked.out / "validation.json" if asked.out else RECORD
    record: dict[str, Any] = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.is_file() else {}
    for name in () if asked.page else asked.only:
        if name in NEEDS_SHARED and given.shared is None:
            print(f"{name}: the evaluation data is absent, the recorded figures stay")
            continue
        started = time.process_time()
        record[name] = {**stamp(), "values": SECTIONS[name](given)}
        print(f"{name}: {time.process_time() - started:.0f} s of CPU", flush=True)
        record_path.parent.mkdir(parents=True, exist_ok=True)
        record_path.write_text(json.dumps(record, indent=1, default=float) + "\n", encoding="utf-8")
    (asked.out / "validation.md" if asked.out else PAGE).write_text(page(record), encoding="utf-8")


if __name__ == "__main__":
    main()
