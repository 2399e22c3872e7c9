"""Split and merged lesions reach the response rules."""

from __future__ import annotations

import numpy as np

from conftest import oblique_grid
from livervol.measure.visit import measure_visit
from livervol.response import assess, rules
from livervol.response.targets import propose_targets, roles_applied
from livervol.scan import Segmentation
from livervol.workflows.course import course_of
from livervol.workflows.visit_state import VisitOutput

GRID = oblique_grid((20, 50, 60), (3.0, 2.0, 2.0))


def visit(boxes, tracking=()):
    labels = np.zeros(GRID.shape_zyx, np.uint8)
    for number, box in boxes.items():
        labels[box] = number
    lesions = Segmentation(labels, GRID, {n: f"lesion {n}" for n in boxes})
    liver = Segmentation(np.ones(GRID.shape_zyx, np.uint8), GRID, {1: "liver"})
    document = {"mrecist_evaluable": True, "tracking": list(tracking)}
    return VisitOutput(None, document, measure_visit(liver, lesions, lesions), {"liver": liver, "lesions": lesions}, "")


def row_of_last_visit(outputs):
    course = course_of("phantom", outputs)
    row = assess(roles_applied(course, propose_targets(course.visits[0], rules("recist11"))), "recist11")[-1]
    return course, row


BIG = (slice(8, 12), slice(10, 20), slice(10, 40))
LEFT = (slice(8, 12), slice(10, 20), slice(10, 22))
RIGHT = (slice(8, 12), slice(10, 20), slice(28, 40))


def length(course, visit, number):
    return next(one.value("longest_mm") for one in course.visits[visit].lesions if one.number == number)


def test_parts_of_a_split_target_add_up():
    tracking = [{"number": 1, "state": "same", "others": []}, {"number": 2, "state": "split", "others": [1]}]
    course, row = row_of_last_visit([visit({1: BIG}), visit({1: LEFT, 2: RIGHT}, tracking)])
    assert row.sum_mm == length(course, 1, 1) + length(course, 1, 2)
    assert row.new_lesion == "no"


def test_without_the_tracking_the_part_would_be_refused_or_new():
    course = course_of("phantom", [visit({1: BIG}), visit({1: LEFT, 2: RIGHT})])
    row = assess(roles_applied(course, propose_targets(course.visits[0], rules("recist11"))), "recist11")[-1]
    assert row.overall == "PD"


def test_a_merged_target_counts_once():
    tracking = [{"number": 1, "state": "same", "others": []}, {"number": 2, "state": "merged", "others": [1]}]
    course, row = row_of_last_visit([visit({1: LEFT, 2: RIGHT}), visit({1: BIG}, tracking)])
    assert row.sum_mm == length(course, 1, 1)
    assert any("merged into lesion 1" in reason for reason in row.reasons)
