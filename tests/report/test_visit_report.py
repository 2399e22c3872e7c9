from __future__ import annotations

import base64
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from livervol.errors import LivervolError
from livervol.report.figures import Ruler, View, display_window, key_views, lesion_box, slice_svg
from livervol.report.pages import ReportSettings
from livervol.report.visit import VisitPage, visit_html, write_visit_report
from livervol.scan import Scan, Segmentation
from report_pages import GRID, Outline, ball, text_of, visit_page


@pytest.fixture
def page():
    return visit_page()


def test_page_shows_the_numbers_and_their_absence(page):
    text = text_of(visit_html(page))
    assert "Visit of 4 Mar 2024" in text
    assert "71 ml" in text
    assert "68 ml without tumour" in text
    assert "18.2 15.0 to 21.5" in text
    assert "mRECIST cannot be assessed : no arterial phase" in text
    assert "Sum of longest diameters 18.2 mm; of viable diameters not complete" in text


def test_warnings_come_first_and_provenance_last(page):
    html = visit_html(page)
    parts = ("quality", "key", "anatomy", "flr", "lesions", "viability", "segments", "images", "provenance")
    places = [html.index(f' id="{name}"') for name in parts]
    assert places == sorted(places)


def test_the_remnant_is_judged_with_its_interval(page):
    text = text_of(visit_html(page))
    assert "FLR, left hepatectomy 44.1 % 95 % interval 36.0 to 52.0" in text
    assert "✓ at least 35 %: met" in text  # 36.0 to 52.0
    assert "≈ below 35 %, but the interval reaches it" in text  # 32.4, 25.0 to 40.0
    assert "✗ at least 35 %: not met" in text  # 17.6, 12.0 to 24.0
    assert "resection of segments V, VI" in text
    assert "0.99" in text


def test_chinese_page(page):
    text = text_of(visit_html(page, "zh"))
    for words in (
        "2024年3月4日 检查",
        "请先阅读",
        "未来肝残余（FLR）",
        "左半肝切除术",
        "门静脉期",
        "不可按 mRECIST 评估",
    ):
        assert words in text
    assert 'lang="zh-Hans"' in visit_html(page, "zh")


def test_words_from_the_data_are_text_not_markup(page):
    html = visit_html(replace(page, title="visit <2>", subject='"><img src=x onerror=alert(1)>'))
    assert "<script>" not in html
    assert "&lt;script&gt;alert(1)" in html
    assert "<h1>visit &lt;2&gt;</h1>" in html
    assert "<b>no arterial" not in html
    assert "<img" not in html


def test_every_picture_is_embedded_and_named(page):
    html = visit_html(page)
    uris = re.findall(r'<image href="data:image/jpeg;base64,([^"]+)"', html)
    assert len(uris) == 8 + 8 + 1  # solids, key slices, the lesion
    for uri in uris:
        assert min(Image.open(io.BytesIO(base64.b64decode(uri))).size) > 100
    labels = re.findall(
        r'<svg [^>]*role="img"[^>]*aria-label="([^"]*)"|<svg [^>]*aria-label="([^"]*)"[^>]*role="img"', html
    )
    assert len([one for pair in labels for one in pair if one]) >= len(uris)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_headings_are_in_order_and_heads_have_a_scope(page, language):
    outline = Outline()
    outline.feed(visit_html(page, language))
    assert outline.levels[0] == 1
    assert outline.levels.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(outline.levels, outline.levels[1:], strict=False))
    assert outline.unscoped == 0


def test_line_is_drawn_only_on_its_plane(page):
    scan, box = page.scans["portal_venous"], lesion_box(page.masks["lesions"], 1)
    ends = [GRID.index_to_lps((11, 20, 15)), GRID.index_to_lps((11, 20, 29))]
    on, off = (
        slice_svg(View(0, plane, box), scan, page.outlined, "a", rulers=[Ruler("longest", ends)]) for plane in (11, 13)
    )
    assert 'class="ruler"' in on
    assert 'class="ruler"' not in off
    # 14 voxels of 1.3 mm on a picture of 360 pixels
    x = [float(v) for v in re.search(r'class="ruler" d="M([\d.]+) [\d.]+L([\d.]+)', on).groups()]
    scale = 360 / (box[2][1] - box[2][0] + 1)
    assert x[1] - x[0] == pytest.approx(14 * scale, abs=0.11)
    assert x[0] == pytest.approx((15 - box[2][0] + 0.5) * scale, abs=0.06)


def test_views_have_right_on_the_left_and_head_up():
    # one bright voxel row on the patient's right (low axis 2), high up (high axis 0)
    liver = ball((10, 22, 25), 26)
    voxels = np.full(GRID.shape_zyx, -100, np.int16)
    voxels[15:17, :, 12:16] = 240
    scan, mask = Scan(voxels, GRID), {"liver": Segmentation(liver, GRID, {1: "liver"})}
    views = key_views(mask["liver"], 3)
    assert [view.axis for view in views] == [0, 0, 0, 1, 2]
    assert [view.index for view in views[:3]] == sorted((view.index for view in views[:3]), reverse=True)
    svg = slice_svg(views[3], scan, mask, "coronal")
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(re.search(r'base64,([^"]+)"', svg)[1]))))
    y, x = np.nonzero(pixels > 200)
    assert x.mean() < pixels.shape[1] / 2
    assert y.mean() < pixels.shape[0] / 2
    assert [re.sub("<.*", "", t) for t in re.findall(r'middle">([A-Z])<', svg)] == ["R", "L", "H", "F"]


def test_masks_alone_make_a_page(page):
    text = text_of(visit_html(VisitPage("masks", page.document, page.masks)))
    assert "Outlines of the masks alone" in text


def test_same_page_twice(page):
    assert visit_html(page) == visit_html(page)


def test_mr_window_follows_the_image():
    voxels = np.zeros(GRID.shape_zyx, np.int16)
    voxels[5:15, 5:40, 5:40] = np.linspace(100, 900, 35).astype(np.int16)
    low, high = display_window(Scan(voxels, GRID, modality="MR", sequence="T1"))
    assert 100 <= low < 150
    assert 850 < high <= 900


def test_what_is_not_installed_is_refused_before_any_work(monkeypatch):
    monkeypatch.setattr("livervol.report.pages.find_spec", lambda name: None)
    for settings, extra in (
        (ReportSettings(pdf=True), "livervol[pdf]"),
        (ReportSettings(viewer=True), "livervol[viewer]"),
    ):
        with pytest.raises(LivervolError, match=re.escape(extra)):
            settings.check()
    with pytest.raises(LivervolError, match="en or zh"):
        ReportSettings("fr").check()


def test_report_is_written_once(page, tmp_path):
    path = tmp_path / "report.html"
    assert write_visit_report(path, page, ReportSettings()) == (path,)
    with pytest.raises(LivervolError, match="already exists"):
        write_visit_report(path, page, ReportSettings("zh"))
    write_visit_report(path, page, ReportSettings("zh"), overwrite=True)
    assert "检查" in path.read_text(encoding="utf-8")
