"""Hostile words in pseudonyms, labels, reasons and file names are shown as text in all three reports."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from html.parser import HTMLParser
from typing import Any

import pytest
from markupsafe import escape

from livervol.report.cohort import cohort_html, page_document, page_from, plots_of
from livervol.report.course import course_html
from livervol.report.plots import svg_of
from livervol.report.visit import VisitPage, visit_html
from report_pages import cohort_page, course_page, in_browser, visit_page
from tools import need_tool

#: Markup, script, attribute, style, SVG, URL, template, comment, mathtext and entity.
ATTACKS = (
    "<script>window.hurt=1</script>",
    '"><img src=x onerror="window.hurt=1">',
    "' onmouseover='window.hurt=1",
    "</style><style>body{display:none}</style>",
    "</svg><svg onload='window.hurt=1'>",
    "<svg/onload=window.hurt=1>",
    "javascript:window.hurt=1",
    "{{ 7 * 7 }}{% raw %}",
    "--><!-- ]]>",
    "$\\frac{1$ _x ^y \\",
    "&lt;b&gt; &#60;i&#62;",
    "../../etc/passwd\u202e",
)


def spoiled(value: Any, word: str) -> Any:
    """A document whose every free text is the word."""
    if isinstance(value, dict):
        return {key: one if key in KEPT else spoiled(one, word) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [spoiled(one, word) for one in value]
    return word if isinstance(value, str) else value


#: Words that are no free text: the program's own codes and what must stay a date.
KEPT = {"criterion", "unit", "variant", "measure", "endpoint", "date", "category", "group", "provenance_key"}


def pages(word: str) -> dict[str, str]:
    visit, course = visit_page(), course_page()
    remnant = {word: {"volume_ml": 1.0, "flr_of_functional_percent": 20.0}}
    document = {**spoiled(dict(visit.document), word), "remnant": remnant, "segments": {word: {"volume_ml": 1.0}}}
    document["provenance"] = {"version": word, word: [word]}
    cohort = cohort_page()
    spoilt = page_from(json.loads(json.dumps(spoiled(page_document(cohort), word))))
    # lanes keep the kinds of their marks, which choose the marker
    lanes = [
        replace(lane, marks=old.marks, patient=f"{n}{word}")
        for n, (lane, old) in enumerate(zip(spoilt.lanes, cohort.lanes, strict=True))
    ]
    spoilt = replace(spoilt, lanes=lanes, rows=[{**row, "group": word} for row in spoilt.rows])
    course = replace(
        course,
        document=spoiled(dict(course.document), word),
        visits=spoiled(list(course.visits), word),
        events=spoiled(list(course.events), word),
    )
    return {
        "visit": visit_html(VisitPage(word, document, visit.masks, visit.scans, visit.reference, word)),
        "course": course_html(course),
        "cohort": cohort_html(spoilt, plots_of(spoilt)),
    }


class Skeleton(HTMLParser):
    """Tags and the names of their attributes, without what they say."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.bones: list[Any] = []
        self.links: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.bones.append((tag, sorted(name for name, _ in attrs)))
        self.links += [str(value) for name, value in attrs if name in ("href", "src", "action")]

    def handle_endtag(self, tag: str) -> None:
        self.bones.append(tag)


@pytest.mark.parametrize("word", ATTACKS)
def test_a_hostile_page_has_the_tags_of_a_plain_one(word, plain):
    for name, html in pages(word).items():
        hostile = Skeleton(html)
        assert hostile.bones == plain[name], name
        assert not any(link.strip().lower().startswith(("javascript:", "http", "file")) for link in hostile.links)
        assert str(escape(word)) in html


@pytest.fixture(scope="module")
def plain():
    return {name: Skeleton(html).bones for name, html in pages("plain word").items()}


def test_nothing_runs_and_nothing_hides_in_a_browser(tmp_path):
    need_tool("chromium")
    script = (
        "<script>done({hurt: window.hurt === 1, shown: getComputedStyle(document.body).display, "
        "scripts: document.scripts.length, text: document.body.innerText.length});</script>"
    )
    joined = "".join(ATTACKS)
    for name, html in pages(joined).items():
        (tmp_path / name).mkdir()
        (found,) = in_browser(html, script, [1280], tmp_path / name)
        # the two scripts are the test's own
        assert (found["hurt"], found["shown"], found["scripts"]) == (False, "block", 2), name
        assert found["text"] > 500


def test_a_dollar_sign_is_no_formula_in_a_figure():
    page = cohort_page()
    bars = [replace(bar, patient="$\\frac{1$") for bar in page.bars]
    svg = svg_of(plots_of(replace(page, bars=bars))["waterfall"])
    assert "$\\frac{1$" in svg
    assert asdict(bars[0])["patient"] == "$\\frac{1$"
