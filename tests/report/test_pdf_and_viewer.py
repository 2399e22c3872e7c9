"""PDF pages with every glyph and nothing read from outside; the viewer inside a page, from its own package."""

from __future__ import annotations

import re
import sys
from dataclasses import replace

import pytest

from livervol.errors import LivervolError
from livervol.report.cohort import cohort_html, plots_of
from livervol.report.course import course_html
from livervol.report.pages import ReportSettings, write_report
from livervol.report.viewer import viewer_of
from livervol.report.visit import visit_html, write_visit_report
from livervol.report.words import words_of
from report_pages import cohort_page, course_page, need_package, visit_page
from tools import need_tool, run_tool

BUNDLE = (
    "var vA;class t2{{}}function f(C){{vA=new t2(C)}}"
    "vA.attachToCanvas(g,{first}.opts.isAntiAlias);export{{Ih as default}};"
)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_pdf_of_each_report(language, tmp_path):
    need_package("weasyprint")
    need_tool("pdftotext")
    pages = {
        "visit": (visit_html(visit_page(), language), {"en": "Future liver remnant", "zh": "未来肝残余"}),
        "course": (course_html(course_page(), language), {"en": "Conversion checklist", "zh": "转化成功核查表"}),
        "cohort": (cohort_html(cohort_page(), plots_of(cohort_page(), language), language),
                   {"en": "Disease control rate", "zh": "疾病控制率"}),
    }  # fmt: skip
    for name, (html, told) in pages.items():
        written = write_report(tmp_path / f"{name}.html", html, ReportSettings(language, pdf=True))
        assert [path.suffix for path in written] == [".html", ".pdf"]
        text = run_tool("pdftotext", "-layout", written[1], "-").stdout
        assert told[language] in text
        assert "\ufffd" not in text
        fonts = run_tool("pdffonts", written[1]).stdout
        assert "CJK" in fonts or language == "en"
        size = run_tool("pdfinfo", written[1]).stdout
        assert "A4" in size


def test_pdf_reads_nothing_from_outside(tmp_path):
    need_package("weasyprint")
    secret = tmp_path / "secret.svg"
    secret.write_text(
        '<svg xmlns="http://www.w3.org/2000/svg"><text y="20">hidden words</text></svg>', encoding="utf-8"
    )
    html = f'<html lang="en"><body><p>shown</p><img src="{secret.as_uri()}" alt="not loaded"></body></html>'
    written = write_report(tmp_path / "a.html", html, ReportSettings(pdf=True))
    text = run_tool("pdftotext", written[1], "-").stdout
    assert "shown" in text
    assert "hidden" not in text


@pytest.fixture
def bundle(tmp_path, monkeypatch):
    """A package of the viewer's name with a bundle of the known shape; the test may write another."""
    place = tmp_path / "packages" / "ipyniivue"
    (place / "static").mkdir(parents=True)
    (place / "__init__.py").write_text("")
    (place / "static" / "widget.js").write_text(BUNDLE.format(first="vA") + "\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(place.parent))
    monkeypatch.delitem(sys.modules, "ipyniivue", raising=False)
    return place / "static" / "widget.js"


def test_viewer_stands_in_the_page_alone_and_ends_no_script_early(bundle, tmp_path):
    bundle.write_text('var s="</script><!--";' + BUNDLE.format(first="vA"), encoding="utf-8")
    page = visit_page()
    path = tmp_path / "report.html"
    write_visit_report(path, page, ReportSettings(viewer=True))
    html = path.read_text(encoding="utf-8")
    assert "const Viewer = t2;" in html
    assert "export{" not in html
    assert html.count("</script>") == 2
    assert len(re.findall(r'"name": "(\w+)"', html)) == 3  # scan, segments, lesions
    assert "<script" not in visit_html(page)


def test_another_bundle_is_refused(bundle):
    bundle.write_text(BUNDLE.format(first="other"), encoding="utf-8")
    with pytest.raises(LivervolError, match=r"livervol\[viewer\]"):
        viewer_of(visit_page().masks, None, words_of("en"))


def test_the_real_viewer_shows_every_volume(tmp_path):
    need_package("ipyniivue")
    page, path = visit_page(), tmp_path / "report.html"
    write_visit_report(path, replace(page, title="viewer"), ReportSettings(viewer=True))
    said = run_tool(
        "chromium", "--headless", "--no-sandbox", "--enable-unsafe-swiftshader", "--use-angle=swiftshader",
        f"--user-data-dir={tmp_path / 'profile'}", "--window-size=500,400",
        "--virtual-time-budget=4000", "--dump-dom", path.as_uri(),
    )  # fmt: skip
    assert re.search(r'<canvas id="viewer-canvas"[^>]* data-volumes="3"', said.stdout)
