"""Killed while editing: at most the stroke in progress is missing, and no file is corrupt."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from reading_visit import make_visit

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
from kill_editing import one_kill


@pytest.fixture(scope="module")
def visit(tmp_path_factory):
    return make_visit(tmp_path_factory.mktemp("crash") / "visit")


def test_ten_kills_lose_at_most_the_stroke_in_progress(visit):
    # one folder for all: each session goes on from what the last one left
    assert [found for seed in range(10) if (found := one_kill(visit, seed, 0.5))] == []
