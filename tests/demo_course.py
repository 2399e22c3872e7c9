"""The sample course, run once for every test that looks at its output, whichever process asks first."""

from __future__ import annotations

import fcntl
import functools
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from livervol.workflows.course import run_demo


@dataclass(frozen=True)
class DemoCourse:
    """The folder ``livervol demo`` writes, its course.json, and measurements.json of each visit."""

    folder: Path
    document: dict[str, Any]
    visits: tuple[dict[str, Any], ...]


@functools.cache
def demo_course() -> DemoCourse:
    """What ``livervol demo`` writes; look at it, do not change it."""
    home = Path(os.environ["LIVERVOL_TEST_RUN"])
    out = home / "demo"
    with (home / "demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not out.exists():
            run_demo(out)
    visits = [json.loads((path / "measurements.json").read_bytes()) for path in sorted(out.glob("visit_*"))]
    return DemoCourse(out, json.loads((out / "course.json").read_bytes()), tuple(visits))
