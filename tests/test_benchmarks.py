"""Every kernel benchmark runs once on tiny input; each checks its result against its peers before timing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.py") if "from bench import" in path.read_text(encoding="utf-8"))


def run(name, *words):
    command = [sys.executable, str(FOLDER / f"{name}.py"), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_there_is_a_benchmark_for_every_kernel_family():
    families = "components diameter distance fill front morphology resample smooth surface tally tubeness"
    assert set(families.split()) <= set(SCRIPTS)


@pytest.mark.parametrize("name", SCRIPTS)
def test_benchmark_agrees_with_its_peers(name):
    done = run(name, "--tiny")
    assert done.returncode == 0, done.stdout[-800:] + done.stderr[-800:]


def test_page_of_performance_holds_every_row(tmp_path):
    done = run("performance", "--tiny", "--only", "tally", "--keep", tmp_path / "rows", "--out", tmp_path)
    assert done.returncode == 0, done.stderr[-800:]
    rows = json.loads((tmp_path / "rows" / "tally.json").read_text())
    page = (tmp_path / "performance.md").read_text()
    lines = [line for line in page.splitlines() if line.startswith("| ")]
    assert len(rows) == 7
    for row in rows:
        (line,) = (line for line in lines if line.startswith(f"| {row['title']} |"))
        assert f"| {row['ratio']:.1f}x |" in line
        assert ("| yes |" in line) == (row["equal"] is True)
    assert (tmp_path / "images" / "performance.png").read_bytes().startswith(b"\x89PNG")


def test_a_difference_ends_a_benchmark_with_an_error_and_no_page(tmp_path):
    folder = tmp_path / "benchmarks"
    shutil.copytree(FOLDER, folder)
    script = folder / "tally.py"
    script.write_text(script.read_text().replace("np.bincount(labels.ravel()),", "np.bincount(labels.ravel()) + 1,"))
    done = subprocess.run(
        [sys.executable, str(folder / "performance.py"), "--tiny", "--only", "tally", "--out", str(tmp_path / "docs")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "different results: voxels of each label: numpy" in done.stderr
    assert not (tmp_path / "docs").exists()
