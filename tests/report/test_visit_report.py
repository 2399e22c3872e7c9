from __future__ import annotations

import base64
import re
import struct

import numpy as np
import pytest

from livervol.grid import Grid
from livervol.report.figures import display_window, lesion_figure, overview_figure, png_data_uri
from livervol.report.visit import VisitPage, visit_html
from livervol.scan import Scan, Segmentation

GRID = Grid.from_parts((20, 44, 52), (4.0, 1.5, 1.3), (-30.0, -40.0, 100.0))


def ball(centre, radius_mm):
    index = np.stack(np.meshgrid(*map(np.arange, GRID.shape_zyx), indexing="ij"), axis=-1)
    return (((index - np.array(centre)) * GRID.spacing_mm) ** 2).sum(axis=-1) <= radius_mm**2


@pytest.fixture
def page():
    liver, lesion = ball((10, 22, 20), 26), ball((11, 20, 22), 9)
    voxels = np.where(lesion, 40, np.where(liver, 110, -80)).astype(np.int16)
    scan = Scan(voxels, GRID)
    start, end = GRID.index_to_lps((11, 20, 15)), GRID.index_to_lps((11, 20, 29))
    document = {
        "liver": {"volume_ml": 71.25, "functional_volume_ml": 68.0},
        "tumor": {"volume_ml": 3.25, "necrosis_percent": None, "necrosis_percent_reason": "no arterial phase"},
        "lesions": [
            {
                "number": 1, "site": "liver", "state": "measured", "volume_ml": 3.25, "longest_mm": 18.2,
                "plane_index": 11, "endpoints_lps_mm": [start.tolist(), end.tolist()],
                "viable_longest_mm": None, "viable_longest_mm_reason": "<b>no arterial phase</b>",
            }
        ],
        "phases": [{"phase": "portal_venous", "modality": "CT", "voxels": "20x44x52", "reason": "x"}],
        "mrecist_evaluable": False,
        "mrecist_reason": "no arterial phase",
        "quality": ["<script>alert(1)</script> liver touches the last slice"],
        "provenance": {"version": "0.1.0", "inputs": [{"sha256": "abc"}]},
    }  # fmt: skip
    masks = {
        "liver": Segmentation(liver, GRID, {1: "liver"}),
        "lesions": Segmentation(lesion.astype(np.uint8), GRID, {1: "lesion 1"}),
    }
    return VisitPage("visit <2>", document, masks, {"portal_venous": scan}, "portal_venous")


def test_page_shows_the_numbers_and_their_absence(page):
    html = visit_html(page)
    assert "71.2 ml" in html
    assert "68.0 ml" in html
    assert "– (no arterial phase)" in html
    assert ">18.2<" in html
    assert "mRECIST evaluable: no (no arterial phase)" in html
    assert "Sum of longest diameters 18.2 mm; of viable diameters not complete" in html


def test_words_from_the_data_are_text_not_markup(page):
    html = visit_html(page)
    assert "<script>" not in html
    assert "&lt;script&gt;alert(1)" in html
    assert "visit &lt;2&gt;" in html
    assert "<b>no arterial" not in html


def test_pictures_are_embedded_pngs(page):
    images = re.findall(r'src="data:image/png;base64,([^"]+)"', visit_html(page))
    assert len(images) == 2
    for image in images:
        data = base64.b64decode(image)
        assert data[:8] == b"\x89PNG\r\n\x1a\n"
        width, height = struct.unpack(">II", data[16:24])
        assert width > 300
        assert height > 300


def test_line_is_drawn_only_on_its_plane(page):
    start, end = GRID.index_to_lps((11, 20, 15)), GRID.index_to_lps((11, 20, 29))
    scan = page.scans["portal_venous"]
    figure = lesion_figure([("a", scan, 11), ("b", scan, 13)], page.masks, 1, [("longest", "yellow", start, end)])
    labels = [[line.get_label() for line in axes.get_lines()].count("longest") for axes in figure.axes]
    assert labels == [1, 0]
    drawn = next(line for line in figure.axes[0].get_lines() if line.get_label() == "longest")
    assert np.allclose(drawn.get_xdata(), [15, 29])
    assert np.allclose(drawn.get_ydata(), [20, 20])


def test_views_have_right_on_the_left_and_head_up(page):
    figure = overview_figure(page.scans["portal_venous"], page.masks, slices=3)
    assert len(figure.axes) == 5
    axial, coronal, sagittal = figure.axes[0], figure.axes[-2], figure.axes[-1]
    # canonical axis 2 runs from the patient's right to left, axis 1 from front to back, axis 0 from feet to head
    assert axial.get_xlim()[0] < axial.get_xlim()[1]
    assert axial.get_ylim()[0] > axial.get_ylim()[1]
    for view in (coronal, sagittal):
        assert view.get_ylim()[0] < view.get_ylim()[1]
    assert [t.get_text() for t in coronal.texts] == ["R", "L", "H", "F"]
    assert [t.get_text() for t in sagittal.texts] == ["A", "P", "H", "F"]
    planes = [int(axes.get_title().split()[1]) for axes in figure.axes[:3]]
    assert planes == sorted(planes, reverse=True)


def test_masks_alone_make_a_page(page):
    html = visit_html(VisitPage("masks", page.document, page.masks))
    assert "Outlines on the masks alone" in html


def test_same_picture_twice(page):
    one, two = (png_data_uri(overview_figure(page.scans["portal_venous"], page.masks)) for _ in range(2))
    assert one == two


def test_mr_window_follows_the_image():
    voxels = np.zeros(GRID.shape_zyx, np.int16)
    voxels[5:15, 5:40, 5:40] = np.linspace(100, 900, 35).astype(np.int16)
    low, high = display_window(Scan(voxels, GRID, modality="MR", sequence="T1"))
    assert 100 <= low < 150
    assert 850 < high <= 900
