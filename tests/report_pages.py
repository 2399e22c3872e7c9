"""Pages for the tests of reports: a visit's and a course's, and what a reader's program sees of a page."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest

from livervol.grid import Grid
from livervol.report.cohort import CohortPage, Curves
from livervol.report.cohort_plots import Bar, Lane, Step, Thread
from livervol.report.course import CoursePage
from livervol.report.visit import VisitPage
from livervol.scan import Scan, Segmentation
from tools import run_tool

__all__ = [
    "GRID", "Outline", "ball", "cohort_page", "course_page", "in_browser", "need_package", "text_of", "visit_page",
]  # fmt: skip

GRID = Grid.from_parts((20, 44, 52), (4.0, 1.5, 1.3), (-30.0, -40.0, 100.0))


def ball(centre, radius_mm):
    index = np.stack(np.meshgrid(*map(np.arange, GRID.shape_zyx), indexing="ij"), axis=-1)
    return (((index - np.array(centre)) * GRID.spacing_mm) ** 2).sum(axis=-1) <= radius_mm**2


def segments_of(liver):
    """Right (low x) is segment 6, left is segment 3."""
    x = np.arange(GRID.shape_zyx[2])
    return Segmentation(np.where(liver, np.where(x < 22, 6, 3), 0).astype(np.uint8), GRID, {3: "III", 6: "VI"})


def visit_page() -> VisitPage:
    """A small visit with three operations, one lesion and a hostile warning."""
    liver, lesion = ball((10, 22, 20), 26), ball((11, 20, 22), 9)
    voxels = np.where(lesion, 40, np.where(liver, 110, -80)).astype(np.int16)
    scan = Scan(voxels, GRID)
    start, end = GRID.index_to_lps((11, 20, 15)), GRID.index_to_lps((11, 20, 29))
    document = {
        "liver": {"volume_ml": 71.25, "functional_volume_ml": 68.0},
        "tumor": {"volume_ml": 3.25, "necrosis_percent": None, "necrosis_percent_reason": "no arterial phase"},
        "segments": {"3": {"volume_ml": 40.0}, "6": {"volume_ml": 31.25}},
        "remnant": {
            "left_hepatectomy": {
                "volume_ml": 30.0, "flr_of_functional_percent": 44.1,
                "flr_of_functional_percent_interval": [36.0, 52.0], "flr_of_total_percent": 42.1,
                "sflr_percent": None, "sflr_percent_reason": "height and weight were not given",
                "probability_at_least_threshold": 0.986, "margin_mm": None, "lesions_remaining": 1.0,
            },
            "segments:5,6": {"volume_ml": 22.0, "flr_of_functional_percent": 32.4,
                             "flr_of_functional_percent_interval": [25.0, 40.0]},
            "right_hepatectomy": {"volume_ml": 12.0, "flr_of_functional_percent": 17.6,
                                  "flr_of_functional_percent_interval": [12.0, 24.0]},
        },
        "lesions": [
            {
                "number": 1, "site": "liver", "site_segment": "6", "state": "measured", "volume_ml": 3.25,
                "longest_mm": 18.2, "longest_mm_interval": [15.0, 21.5],
                "plane_index": 11, "endpoints_lps_mm": [start.tolist(), end.tolist()],
                "viable_longest_mm": None, "viable_longest_mm_reason": "<b>no arterial phase</b>",
            }
        ],
        "phases": [{"phase": "portal_venous", "modality": "CT", "date": "2024-03-04", "voxels": "20x44x52"}],
        "mrecist_evaluable": False,
        "mrecist_reason": "no arterial phase",
        "quality": ["<script>alert(1)</script> liver touches the last slice"],
        "provenance": {"version": "0.1.0", "inputs": [{"sha256": "abc"}]},
    }  # fmt: skip
    masks = {
        "liver": Segmentation(liver, GRID, {1: "liver"}),
        "lesions": Segmentation(lesion.astype(np.uint8), GRID, {1: "lesion 1"}),
        "segments": segments_of(liver),
    }
    return VisitPage("", document, masks, {"portal_venous": scan}, "portal_venous")


def row(criterion, visit, date, **more):
    given = {
        "patient": "P1", "reader": "livervol", "visit": visit, "date": date, "criterion": criterion, "target": "",
        "non_target": "", "new_lesion": "no", "overall": "", "sum_mm": 80.0, "baseline_sum_mm": 80.0,
        "nadir_sum_mm": None, "change_from_baseline_percent": None, "change_from_nadir_percent": None,
        "reasons": [f"visit {visit}: baseline, target lesions 1"], "sum_mm_interval": [72.0, 88.0],
    }  # fmt: skip
    return {**given, **more}


def visit(date, flr, sflr=None):
    lesion = {"number": 1, "site": "liver", "site_segment": "8", "state": "measured", "viable_longest_mm": 40.0,
              "viable_longest_mm_interval": [35.0, 45.0], "longest_mm": 41.0, "viable_volume_ml": 30.0,
              "necrosis_percent": 60.0}  # fmt: skip
    values = {"volume_ml": 10 * flr, "flr_of_functional_percent": flr,
              "flr_of_functional_percent_interval": [flr - 4, flr + 4], "sflr_percent": sflr}  # fmt: skip
    return {
        "lesions": [lesion],
        "remnant": {"right_hepatectomy": values},
        "tumor": {"necrosis_percent": 60.0, "viable_volume_ml": 30.0},
        "phases": [{"date": date}],
        "quality": [],
    }


def course_page() -> CoursePage:
    """Two visits with a partial response that could flip, a checklist that fails, pathology and events."""
    document = {
        "subject": "P1",
        "visits": [{"number": 1, "date": "2024-01-01", "folder": "visit_1"},
                   {"number": 2, "date": "2024-03-11", "folder": "visit_2"}],
        "proposed_roles": {"mrecist": [{"number": 1, "role": "target", "reason": "x"}]},
        "responses": [
            row("mrecist", 1, "2024-01-01"),
            row("mrecist", 2, "2024-03-11", target="PR", overall="PR", sum_mm=40.0, change_from_baseline_percent=-50.0,
                change_from_nadir_percent=-50.0, sum_mm_interval=[35.0, 45.0]),
        ],
        "response_probability": [
            {"visit": 2, "criterion": "mrecist", "category": "PR", "flips": True,
             "probabilities": {"CR": 0.0, "PR": 0.91, "SD": 0.09, "PD": 0.0, "NE": 0.0},
             "change_interval_percent": [-58.0, -42.0]}
        ],
        "conversion": {
            "met": False, "protocol": "trial 1.0",
            "items": [
                {"name": "flr", "met": False, "reason": "FLR 31.0 %, at least 35 % asked", "borderline": False,
                 "would_change": "4.0 points more FLR"},
                {"name": "ecog", "met": None, "reason": "ECOG was not assessed", "would_change": "an ECOG of at most 1",
                 "borderline": False},
            ],
        },
        "quality": [],
        "provenance": {"program": "livervol", "version": "0.1.0"},
    }  # fmt: skip
    events = [
        {"date": "2024-01-08", "kind": "dose", "name": "lenvatinib", "text": "12", "unit": "mg"},
        {"date": "2024-02-05", "kind": "adverse_event", "name": "<hypertension>", "text": "3", "unit": ""},
    ]
    return CoursePage(document, [visit("2024-01-01", 25.0, 30.0), visit("2024-03-11", 31.0, 37.2)], events,
                      "2024-04-01", 85.0)  # fmt: skip


def text_of(html):
    """The page's words, tags and styles taken out."""
    body = re.sub(r"<style>.*?</style>", " ", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body)).replace("\u00a0", " ")


class Outline(HTMLParser):
    """Heading levels and the table heads without a scope."""

    def __init__(self):
        super().__init__()
        self.levels, self.unscoped = [], 0

    def handle_starttag(self, tag, attrs):
        if re.fullmatch(r"h[1-6]", tag):
            self.levels.append(int(tag[1]))
        if tag == "th" and dict(attrs).get("scope") not in ("col", "row"):
            self.unscoped += 1


def cohort_page() -> CohortPage:
    """A small cohort with every section filled."""
    rows = [
        {"endpoint": name, "variant": "primary", "group": "", "measure": measure, "n": 3, "events": 1,
         "estimate": value, "low": low, "high": high, "unit": unit, "method": method}
        for name, measure, value, low, high, unit, method in (
            ("ORR", "rate", 33.3, 0.8, 90.6, "%", "CR or PR maintained 28 days, mrecist; Clopper-Pearson"),
            ("DCR", "rate", 66.7, 9.4, 99.2, "%", "x"),
            ("conversion", "rate", 33.3, 0.8, 90.6, "%", "x"),
            ("PFS", "median", 7.2, 5.0, None, "months", "x"),
            ("OS", "median", None, None, None, "months", "x"),
        )
    ]  # fmt: skip
    step = Step("", [2.0, 5.0], [0.5, 0.0], [0.1, float("nan")], [0.8, float("nan")], [2.0], [0.0, 5.0], [3, 1])
    agreement = {"criterion": "mrecist", "names": ["R1", "R2"], "readers": 2, "visits": 9, "observed": 0.89,
                 "kappa": 0.8, "kappa_low": 0.5, "kappa_high": 1.0, "ac1": 0.85, "ac1_low": 0.6, "ac1_high": 1.0,
                 "icc": 0.97, "icc_low": 0.9, "icc_high": 0.99}  # fmt: skip
    return CohortPage(
        title="Trial",
        protocol={"name": "trial", "version": "1"},
        patients={"subjects": 4, "population": 3},
        rows=rows,
        best={"CR": 0, "PR": 1, "SD": 1, "PD": 1},
        notes=["1 of 4: patients have no first dose and are in no denominator"],
        bars=[Bar("P1", -45.0, "PR"), Bar("P2", 30.0, "PD", True), Bar("P3", 3.0, "SD")],
        threads=[Thread("P1", "PR", (2.0, 4.0), (-20.0, -45.0)), Thread("P2", "PD", (2.0,), (30.0,))],
        lanes=[
            Lane("P1", "PR", 9.5, True, (("PR", 4.0), ("surgery", 6.0), ("tace", 1.0), ("dose", 0.0))),
            Lane("P2", "PD", 12.0, False, (("PD", 2.0), ("death", 12.0), ("adverse_event_severe", 1.5))),
        ],
        curves=[Curves("PFS", [step], [rows[3]]), Curves("OS", [], [])],
        conversion={"flr": {"met": 1, "unmet": 1, "open": 1}},
        agreement=[agreement],
        pathology=[{"patient": "P1", "imaging": 80.0, "pathology": 92.0, "viable_ml": 4.0}],
        pathology_summary={
            "n": 3,
            "bias": -4.0,
            "low": -20.0,
            "high": 12.0,
            "icc": 0.7,
            "icc_low": 0.2,
            "icc_high": 0.9,
        },
        treatment={"dose": 3, "tace": 2},
        adverse_events=[{"name": "hypertension", "any": 2, "severe": 1}],
        failed=[{"patient": "P4", "visit": 2, "kind": "refused", "sentence": "slice spacing is not uniform"}],
        provenance={"version": "0.1.0", "program": "livervol 0.1.0"},
    )


def need_package(name: str) -> ModuleSpec:
    """A package's place; absent, the test skips, with ``LIVERVOL_CI=1`` it fails."""
    found = find_spec(name)
    if found is not None:
        return found
    if os.environ.get("LIVERVOL_CI", "") not in ("", "0"):
        pytest.fail(f"{name} is not installed")
    pytest.skip(f"{name} is not installed")


def in_browser(html: str, script: str, widths: Sequence[int], folder: Path) -> list[dict[str, Any]]:
    """What a script finds on a page in Chromium, once per width of the page in pixels: it calls ``done(value)``.

    A window is at least 500 pixels wide; a frame is as narrow as it is told, so the page is shown in frames.
    """
    inner, outer = folder / "page.html", folder / "frames.html"
    told = "<script>window.done = value => parent.postMessage({value, width: innerWidth}, '*');</script>"
    inner.write_text(html.replace("</body>", told + script + "</body>"), encoding="utf-8")
    frames = "".join(
        f"<iframe src='{inner.as_uri()}' style='width:{width}px;height:1500px;border:0'></iframe>" for width in widths
    )
    outer.write_text(
        "<!doctype html><body style='margin:0'><script>const all = {}; addEventListener('message', event => {"
        f"all[event.data.width] = event.data.value; if (Object.keys(all).length < {len(widths)}) return;"
        "const out = document.createElement('pre'); out.id = 'found';"
        "out.textContent = btoa(encodeURIComponent(JSON.stringify(all))); document.body.append(out); });</script>"
        f"{frames}</body>",
        encoding="utf-8",
    )
    said = run_tool(
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1800,1600",
        f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=20000", "--dump-dom", outer.as_uri(),
    )  # fmt: skip
    found = re.search(r'<pre id="found">([^<]*)</pre>', said.stdout)
    assert found is not None, said.stderr[-2000:]
    values = json.loads(unquote(base64.b64decode(found[1]).decode("ascii")))
    return [values[str(width)] for width in widths]
