from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from livervol.errors import LivervolError
from livervol.grid import Grid
from livervol.report.figures import Ruler, View, display_window, key_views, lesion_box, slice_svg
from livervol.report.pages import ReportSettings
from livervol.report.visit import VisitPage, visit_html, write_visit_report
from livervol.scan import Scan, Segmentation

GRID = Grid.from_parts((20, 44, 52), (4.0, 1.5, 1.3), (-30.0, -40.0, 100.0))


def ball(centre, radius_mm):
    index = np.stack(np.meshgrid(*map(np.arange, GRID.shape_zyx), indexing="ij"), axis=-1)
    return (((index - np.array(centre)) * GRID.spacing_mm) ** 2).sum(axis=-1) <= radius_mm**2


def segments_of(liver):
    """Right (low x) is segment 6, left is segment 3."""
    x = np.arange(GRID.shape_zyx[2])
    return Segmentation(np.where(liver, np.where(x < 22, 6, 3), 0).astype(np.uint8), GRID, {3: "III", 6: "VI"})


@pytest.fixture
def page():
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


def text_of(html):
    """The page's words, tags and styles taken out."""
    body = re.sub(r"<style>.*?</style>", " ", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body)).replace("\u00a0", " ")


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
