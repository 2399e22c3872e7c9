"""Pages for the tests of reports: a visit's and a course's, and what a reader's program sees of a page."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np

from livervol.grid import Grid
from livervol.report.course import CoursePage
from livervol.report.visit import VisitPage
from livervol.scan import Scan, Segmentation

__all__ = ["GRID", "Outline", "ball", "course_page", "text_of", "visit_page"]

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
