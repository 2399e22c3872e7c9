"""The validation page: measured little, made again from the record, and no figure that the record does not hold."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from demo_course import demo_course

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "benchmarks" / "validation.py"
PAGE = ROOT / "docs" / "validation.md"


def ran(*words):
    done = subprocess.run([sys.executable, str(SCRIPT), *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-800:] + done.stderr[-1500:]
    return done.stdout


def dateless(text):
    # when a file was last committed is known only where the history is
    return re.sub(r", recorded \d{4}-\d{2}-\d{2}", "", text)


def test_page_is_what_the_record_says(tmp_path):
    ran("--page", "--out", str(tmp_path))
    made = (tmp_path / "validation.md").read_text(encoding="utf-8")
    assert dateless(made) == dateless(PAGE.read_text(encoding="utf-8")), "run python benchmarks/validation.py --page"


def test_little_is_measured_and_shown(tmp_path):
    sections = ("shapes", "course", "truth_tables")
    ran("--tiny", "--demo", str(demo_course().folder), "--only", *sections, "--out", str(tmp_path))
    record = json.loads((tmp_path / "validation.json").read_text(encoding="utf-8"))
    for name in sections:
        assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", record[name]["date"])
    rows = record["shapes"]["values"]["rows"]
    # a ball of 20 mm: voxels of its rim are right or wrong by half of themselves; diameters end at outer edges
    assert all(abs(row["volume_error_percent"]) < 3 for row in rows)
    assert all(-row["in_plane_diagonal_mm"] <= row["longest_error_mm"] <= row["in_plane_diagonal_mm"] for row in rows)
    tables = record["truth_tables"]["values"]["rows"]
    assert sum(row["asked"] for row in tables) > 1000
    assert all(row["right"] == row["asked"] for row in tables)
    answers = record["course"]["values"]["responses"]
    assert answers["right"] == answers["asked"] == 4
    text = (tmp_path / "validation.md").read_text(encoding="utf-8")
    assert record["course"]["date"] in text


def test_what_was_not_validated_comes_first():
    text = PAGE.read_text(encoding="utf-8")
    assert text.index("## What was not validated") < text.index("## Liver")
    for word in ("hepatobiliary", "3.12", "3.13", "Windows", "pathology"):
        assert word in text


def test_every_model_card_is_linked():
    text = PAGE.read_text(encoding="utf-8")
    for card in ROOT.glob("models/*/card.md"):
        assert f"(../models/{card.parent.name}/card.md)" in text
