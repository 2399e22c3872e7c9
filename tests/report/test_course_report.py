from __future__ import annotations

import re

import pytest

from livervol.report.charts import Lane, Mark, Series, line_chart, timeline_chart
from livervol.report.course import CoursePage, course_html
from livervol.report.course_parts import weeks_between
from report_pages import Outline, course_page, text_of


@pytest.fixture
def page():
    return course_page()


def test_the_answer_its_certainty_and_the_item_that_fails_come_first(page):
    text = text_of(course_html(page))
    top = text[: text.index("Change of the sums over time")]
    assert "Response, mRECIST PR, partial response PR 91 %, SD 9 %" in top
    assert "within measurement error it could be another" in top
    assert "40.0 mm 95 % interval 35.0 to 45.0" in top
    assert "31.0 % 95 % interval 27.0 to 35.0" in top
    assert "fails or open: FLR, ECOG" in top


def test_changes_and_growth(page):
    text = text_of(course_html(page))
    assert "−50 % −58 to −42" in text
    # 10 weeks; remnant 250 to 310 ml, sFLR 30 to 37.2 %: eTLV 310 / 0.372 = 833.3 ml, hypertrophy 7.2 points
    assert "+24.0 % +7.2 0.72" in text


def test_pathology_beside_imaging(page):
    text = text_of(course_html(page))
    assert "residual viable tumour 40 % 15 %" in text
    assert "difference of necrosis, points −25" in text
    assert "Pathology" not in text_of(course_html(CoursePage(page.document, page.visits)))


def test_treatment_is_on_the_timeline_and_in_the_table(page):
    html = course_html(page)
    assert "&lt;hypertension&gt;" in html
    assert "<hypertension>" not in html
    assert "grade 3" in text_of(html)
    assert "8 Jan 2024 dose lenvatinib 12 mg" in text_of(html)


def test_chinese(page):
    text = text_of(course_html(page, "zh"))
    for words in ("部分缓解（PR）", "靶病灶", "转化成功核查表", "未达标", "右半肝切除术", "不良事件", "3 级"):
        assert words in text


@pytest.mark.parametrize("language", ["en", "zh"])
def test_headings_are_in_order(page, language):
    outline = Outline()
    outline.feed(course_html(page, language))
    assert outline.levels.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(outline.levels, outline.levels[1:], strict=False))
    assert outline.unscoped == 0


def test_a_course_of_one_visit_without_extras():
    document = {"subject": "P1", "visits": [{"number": 1, "date": "", "folder": "visit_1"}], "responses": []}
    assert "Course of P1" in course_html(CoursePage(document, [{"lesions": []}]))


def test_chart_places_are_to_scale():
    svg = line_chart([Series("a", [0, 10], [0, -30], [None, (-40, -20)])], label="l", x_name="x", y_name="y")
    x0, y0, x1, y1 = map(float, re.search(r'd="M([\d.]+) ([\d.]+)L([\d.]+) ([\d.]+)" fill="none"', svg).groups())
    low, high = map(float, re.search(r'd="M[\d.]+ ([\d.]+)V([\d.]+)M', svg).groups())
    assert (x0, x1) == (62.0, 736.0)
    # ten points of change have one height everywhere
    assert (low - y1) == pytest.approx((y1 - y0) / 3, abs=0.1)
    assert (y1 - high) == pytest.approx((y1 - y0) / 3, abs=0.1)
    assert line_chart([Series("a", [], [])], label="l", x_name="x", y_name="y") == ""
    assert timeline_chart([Lane("a", [])], label="l", x_name="x") == ""
    assert "<title>&lt;b&gt;</title>" in timeline_chart([Lane("a", [Mark(1, "t", "<b>")])], label="l", x_name="x")


def test_weeks():
    assert weeks_between("2024-01-01", "2024-03-11") == 10
    assert weeks_between("2024-01", "2024-03-11") is None
