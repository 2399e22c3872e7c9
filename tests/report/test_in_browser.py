"""The three reports in a real browser: no rule of WCAG AA broken (axe), nothing wider than the window, every glyph.

Everything is seen at 1280 and 390 px, in English and Chinese.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from livervol.report.cohort import cohort_html, plots_of
from livervol.report.course import course_html
from livervol.report.visit import visit_html
from report_pages import cohort_page, course_page, in_browser, need_package, visit_page
from tools import need_tool

WIDTHS = (1280, 390)
#: A page may weigh this much without the viewer.
MOST_BYTES = 3_000_000

#: What is wider than the window and not in a box that scrolls by itself; characters drawn like one that no font has.
LOOK = """
<script>
const wide = [...document.body.querySelectorAll('*')].filter(one => !one.closest('.scroll, .chartbox, .skip')
  && one.getBoundingClientRect().right > window.innerWidth + 1).map(one => one.tagName + '.' + one.className);
const canvas = document.createElement('canvas'); canvas.width = canvas.height = 40;
const paper = canvas.getContext('2d', {willReadFrequently: true});
paper.font = '24px ' + getComputedStyle(document.body).fontFamily;
function drawn(letter) {
  paper.clearRect(0, 0, 40, 40); paper.fillText(letter, 4, 30);
  return paper.getImageData(0, 0, 40, 40).data.join();
}
const none = drawn('\\uFFFF');
const letters = [...new Set(document.body.textContent)].filter(one => one.codePointAt(0) > 0x2E7F);
const missing = letters.filter(one => drawn(one) === none);
const look = {wide, missing, letters: letters.length, width: window.innerWidth,
  scroll: document.documentElement.scrollWidth};
</script>
"""

RUN_AXE = """
<script>
axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']}).then(found => done({...look,
  rules: found.passes.map(rule => rule.id),
  broken: found.violations.map(rule => rule.id + ': ' + rule.nodes.map(n => n.html.slice(0, 160)).join(' | ')),
}));
</script>
"""


def axe_source() -> str:
    origin = need_package("axe_core_python").origin
    assert origin is not None
    return (Path(origin).parent / "axe.min.js").read_text(encoding="utf-8")


def html_of(kind, language):
    if kind == "visit":
        return visit_html(visit_page(), language)
    if kind == "course":
        return course_html(course_page(), language)
    page = cohort_page()
    return cohort_html(page, plots_of(page, language), language)


@pytest.mark.parametrize("kind", ["visit", "course", "cohort"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_page_is_accessible_fits_and_has_its_glyphs(kind, language, tmp_path):
    need_tool("chromium")
    script = f"<script>{axe_source()}</script>" + RUN_AXE
    html = html_of(kind, language)
    assert len(html.encode("utf-8")) < MOST_BYTES
    for width, found in zip(WIDTHS, in_browser(html, LOOK + script, WIDTHS, tmp_path), strict=True):
        assert found["width"] == width
        assert (found["scroll"], found["wide"]) == (width, [])
        assert found["missing"] == []
        assert found["letters"] > 50 if language == "zh" else found["letters"] == 0
        assert {"color-contrast", "html-has-lang", "heading-order"} <= set(found["rules"])
        assert found["broken"] == []


def test_the_check_itself_finds_what_is_wrong(tmp_path):
    need_tool("chromium")
    html = (
        '<!doctype html><html lang="en"><head><title>t</title></head><body><main><h1>a</h1>'
        '<p style="color:#bbb;background:#fff">pale</p><div style="width:2000px">wide</div><p>\ufffe\uffff龥</p>'
        "<img src='data:,'></main></body></html>"
    )
    (found,) = in_browser(html, LOOK + f"<script>{axe_source()}</script>" + RUN_AXE, [390], tmp_path)
    broken = " ".join(found["broken"])
    assert "color-contrast" in broken
    assert "image-alt" in broken
    assert found["wide"] == ["DIV."]
    assert found["missing"] != []
    assert "龥" not in found["missing"]
