"""Every kernel benchmark runs once on tiny input; each checks its result against its peers before timing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.py") if "from bench import" in path.read_text(encoding="utf-8"))


def test_there_is_a_benchmark_for_every_kernel_family():
    assert {"components", "diameter", "distance", "fill", "front", "morphology", "smooth", "tally", "tubeness"} <= set(
        SCRIPTS
    )


@pytest.mark.parametrize("name", SCRIPTS)
def test_benchmark_agrees_with_its_peers(name):
    done = subprocess.run(
        [sys.executable, str(FOLDER / f"{name}.py"), "--tiny"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-800:] + done.stderr[-800:]
