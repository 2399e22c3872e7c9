"""The sample course, run once for every test that looks at its output."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

from livervol.workflows.course import CourseOutput, run_demo


@functools.cache
def demo_course() -> CourseOutput:
    """What ``livervol demo`` writes; look at it, do not change it."""
    folder = Path(tempfile.mkdtemp(prefix="livervol-demo-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return run_demo(folder / "out")
