"""Pages made by programs are current, and every number the toolkit writes is defined."""

from __future__ import annotations

import csv
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from demo_course import demo_course
from livervol.cli import main

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


def loaded(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_references_are_what_the_program_says():
    reference = loaded(DOCS / "make_reference.py")
    assert reference.outdated() == [], "run python docs/make_reference.py"


def test_an_old_reference_is_noticed(tmp_path):
    reference = loaded(DOCS / "make_reference.py")
    for name, text in reference.pages():
        (tmp_path / name).write_text(text + "more" if name == "cli.md" else text, encoding="utf-8")
    assert reference.outdated(tmp_path) == ["cli.md"]


def test_every_figure_is_drawn_and_shown():
    text = (DOCS / "make_figures.py").read_text(encoding="utf-8")
    names = set(re.findall(r'"(\w+)": (?=\1[,\n}])', text))
    assert len(names) >= 15
    committed = {path.stem.removeprefix("concept_") for path in (DOCS / "images").glob("concept_*.png")}
    assert committed == names
    pages = "".join(path.read_text(encoding="utf-8") for path in (DOCS / "concepts").glob("*.md"))
    assert [name for name in names if f"concept_{name}.png" not in pages] == []


def test_figures_can_be_drawn_again(tmp_path):
    done = subprocess.run(
        [sys.executable, str(DOCS / "make_figures.py"), "--out", str(tmp_path), "--only", "diameters", "response"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-800:]
    assert {path.name for path in tmp_path.iterdir()} == {"concept_diameters.png", "concept_response.png"}


# -- definitions -------------------------------------------------------------------------------------------------------


def defined():
    """Every word in code type on the concept pages and in the reference of files."""
    pages = [*sorted((DOCS / "concepts").glob("*.md")), DOCS / "reference" / "files.md"]
    text = "".join(path.read_text(encoding="utf-8") for path in pages)
    return {word for code in re.findall(r"`([^`\n]+)`", text) for word in re.findall(r"\w+", code)}


def names_in(document, path=()):
    """Names of the keys of a document, without numbers of lesions and segments, vessels, settings and methods."""
    if isinstance(document, list):
        for value in document:
            yield from names_in(value, path)
    if not isinstance(document, dict):
        return
    for key, value in document.items():
        if path[-1:] == ("main",) and not isinstance(document, list) and "kept_percent" not in document:
            continue
        if not key.isdigit():
            yield key
        if key not in ("settings", "methods", "lesion_spread"):
            yield from names_in(value, (*path, key))


def undefined(names):
    known = defined()
    ends = ("_interval", "_reason", "_plane_index", "_endpoints_lps_mm")
    missing = set()
    for name in names:
        stem = name
        for end in ends:
            stem = stem.removesuffix(end)
        # the line of longest_mm stands under longest_endpoints_lps_mm
        if not {name, stem, f"{stem}_mm", f"{stem}_longest_mm"} & known:
            missing.add(stem)
    return sorted(missing)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_every_number_of_a_visit_is_defined(number):
    folder = demo_course().folder / f"visit_{number}"
    document = json.loads((folder / "measurements.json").read_text(encoding="utf-8"))
    table = csv.DictReader((folder / "measurements.csv").read_text(encoding="utf-8").splitlines())
    assert undefined(names_in(document)) == []
    assert undefined({row["name"].rpartition(".")[2] for row in table}) == []


def test_every_number_of_a_response_is_defined():
    document = json.loads((demo_course().folder / "course.json").read_text(encoding="utf-8"))
    words = {"patient", "reader", "visit", "date", "criterion"}
    names = {name for row in document["responses"] for name in row} - words
    assert undefined(names) == []


def test_an_undefined_number_is_noticed():
    assert undefined({"volume_ml", "longest_mm_interval", "phase_of_the_moon"}) == ["phase_of_the_moon"]


def test_every_number_of_a_plan_is_defined(tmp_path):
    folder = shutil.copytree(demo_course().folder / "visit_1", tmp_path / "visit_1")
    assert main(["plan", str(folder), "--vessels", "--height-cm", "170", "--weight-kg", "65"]) == 0
    document = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    for one in (*document["operations"], *document["rejected"]):
        one["vessels"] = {key: value for key, value in one["vessels"].items() if not isinstance(value, dict)} | {
            "main": [value for value in one["vessels"].values() if isinstance(value, dict)]
        }
        one["sflr_by"] = None
    assert undefined(names_in(document)) == []


def test_every_number_of_a_cohort_is_defined(tmp_path):
    (tmp_path / "responses.csv").write_text(
        "patient,reader,visit,date,criterion,target,overall,change_from_baseline_percent\n"
        "P1,R1,1,2024-03-01,mrecist,,,\nP1,R1,2,2024-05-20,mrecist,PR,PR,-42\n", encoding="utf-8",
    )  # fmt: skip
    (tmp_path / "subjects.csv").write_text("patient,first_dose\nP1,2024-03-05\n", encoding="utf-8")
    words = [str(tmp_path / "responses.csv"), "--subjects", str(tmp_path / "subjects.csv"), "--no-plots"]
    assert main(["endpoints", *words, "--out", str(tmp_path / "out")]) == 0
    for name in ("per_patient.csv", "endpoints.csv"):
        header = (tmp_path / "out" / name).read_text(encoding="utf-8").splitlines()[0].split(",")
        # the columns of every time to event are named alike
        assert undefined({re.sub("^(os|dor|ttr|ttp|efs)_", "pfs_", column) for column in header}) == []
