"""Counts what the conformance tests compare: rows of truth tables, published answers, independent programs."""

from __future__ import annotations

import csv
import gzip
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"

#: Tests that compare with published answers, what they compare with, and the files whose rows are the answers.
PUBLISHED = {
    "exact binomial intervals computed with R": ("endpoints/test_proportion.py", ("clopper_pearson/*.csv",)),
    "survival curves, medians, log-rank and follow-up computed with R": (
        "endpoints/test_survival.py", ("survival/reference_*",),
    ),
    "digital phantom of the IBSI and shape baselines of pyradiomics": (
        "measure/test_shape_oracles.py", ("ibsi/reference_*.csv", "pyradiomics/baseline_shape.csv"),
    ),
    "standard liver volume of real patients (Nawaratne 1998)": (
        "measure/test_standard_volume.py", ("liver_volume/*.csv",),
    ),
}  # fmt: skip

#: Tests in which programs that nobody here wrote read our files, or we theirs.
INDEPENDENT = {
    "DICOM SEG": ("io/test_dicom_seg.py", ("dciodvfy", "segimage2itkimage", "itkimage2segimage")),
    "DICOM SR": ("io/test_dicom_sr.py", ("dciodvfy", "tid1500reader", "tid1500writer")),
    "RTSTRUCT": ("io/test_rtstruct.py", ("dciodvfy", "plastimatch")),
    "archives": ("io/test_pacs.py", ("Orthanc",)),
}


def _module(name: str) -> Any:
    for folder in (str(TESTS), str(TESTS / "response")):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    return importlib.import_module(name)


def truth_tables() -> dict[str, Any]:
    """Lines of our own truth tables of the response rules, and how many come out as written."""
    tables = _module("truth_tables")
    from livervol.response.protocol import load_protocol
    from livervol.response.rulefiles import load_rulebook

    checks: list[tuple[Any, ...]] = [
        *tables.rule_checks(load_rulebook),
        *((("best response"), *check) for check in tables.bor_checks()),
        *((("Child-Pugh"), *check) for check in tables.child_pugh_checks()),
        *((("conversion"), *check) for check in tables.conversion_checks(load_protocol)),
    ]
    asked = Counter(str(check[0]) for check in checks)
    right = Counter(str(check[0]) for check in checks if check[-1] == check[-2])
    return {"rows": [{"of": name, "asked": asked[name], "right": right[name]} for name in asked]}


def oracles(shared: Path) -> dict[str, Any]:
    """Answers that nobody in this project made: rows compared, and rows that agree."""
    module = _module("test_response_oracles")
    counted: list[tuple[int, int]] = []
    original = module._count

    def count(results: list[tuple[Any, Any, Any]]) -> Any:
        counted.append((len(results), sum(expected == got for _, expected, got in results)))
        return original(results)

    module._count = count
    jobs = {
        "HCC-TACE-Seg: released responses from readers' sums, with and without the 5 mm floor": [
            ("test_hcc_tace_seg_responses", (0.0,)), ("test_hcc_tace_seg_responses", (5.0,)),
        ],
        "pharmaverse SDTM: overall response table": [("test_sdtm_overall_table", ())],
        "pharmaverse SDTM: RS derived from TU and TR": [("test_sdtm_time_points", ())],
        "thresholds at float edges and mRECIST time points": [("test_threshold_and_timepoint_cases", ())],
        "overall response tables": [("test_overall_tables", ())],
        "iRECIST sequences": [("test_irecist_cases", ())],
        "SDTMIG worked examples": [("test_sdtmig_examples", ())],
        "admiralonco: best response, confirmed and not": [("test_admiralonco_best_responses", ())],
        "Child-Pugh at every boundary": [("test_child_pugh_cases", ())],
        "body surface area by seven formulas": [("test_body_surface_area_cases", ())],
    }  # fmt: skip
    rows = []
    for title, calls in jobs.items():
        counted.clear()
        failed = 0
        for name, words in calls:
            try:
                getattr(module, name)(shared, *words)
            except AssertionError:
                failed += 1
        rows.append({"of": title, "asked": sum(c[0] for c in counted), "right": sum(c[1] for c in counted),
                     "tests_failed": failed})  # fmt: skip
    module._count = original
    published = []
    for title, (test, patterns) in PUBLISHED.items():
        answers = sum(_lines(path) for pattern in patterns for path in sorted((shared / "oracles").glob(pattern)))
        published.append({"of": title, "answers": answers, **_tests([test], shared)})
    return {"rows": rows, "published": published}


def _lines(path: Path) -> int:
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    # answers to a data set that is not there cannot be compared
    rows = [row for row in csv.reader(data.decode("utf-8").splitlines()) if row and "hcctace" not in "".join(row)]
    return len(rows) - 1


def programs(*, tiny: bool = False) -> dict[str, Any]:
    """Independent programs on our DICOM objects: tests passed, skipped where a program is absent."""
    rows = []
    for title, (test, needed) in list(INDEPENDENT.items())[: 1 if tiny else None]:
        chosen = ["-k", "not hypothesis"] if not tiny else ["-k", "dciodvfy"]
        rows.append(
            {"of": title, "programs": {name: _version(name) for name in needed}, **_tests([test], None, chosen)}
        )
    return {"rows": rows}


def _version(program: str) -> str:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin"])
    place = shutil.which(program, path=path)
    if place is None:
        return "absent"
    owner = subprocess.run(
        ["dpkg-query", "-S", str(Path(place).resolve())], capture_output=True, text=True, check=False
    )
    if owner.returncode:
        return "present"
    package = owner.stdout.partition(":")[0]
    asked = ["dpkg-query", "-W", "-f=${Version}", package]
    return f"{package} {subprocess.run(asked, capture_output=True, text=True, check=False).stdout}"


def _tests(files: Iterable[str], shared: Path | None, words: Iterable[str] = ()) -> dict[str, int]:
    """Tests passed, failed and skipped in some files."""
    environment = {**os.environ, **({"LIVERVOL_SHARED": str(shared)} if shared else {})}
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.xml"
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *words,
             *(str(TESTS / name) for name in files)],
            cwd=ROOT, capture_output=True, check=False, env=environment,
        )  # fmt: skip
        suite = ElementTree.parse(report).getroot().find("testsuite")
    assert suite is not None
    failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
    skipped = int(suite.get("skipped", 0))
    return {"passed": int(suite.get("tests", 0)) - failed - skipped, "failed": failed, "skipped": skipped}


if __name__ == "__main__":
    print(json.dumps(truth_tables(), indent=1))
