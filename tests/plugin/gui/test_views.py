"""What is seen: orientation proven by a picture of a lopsided phantom, linked panes, keys, two-click measuring."""

from __future__ import annotations

import numpy as np
import pytest

from livervol.edit.brush import Brush, paint
from livervol.grid import Grid
from livervol.io.nifti import write_nifti_labels, write_nifti_scan
from livervol.scan import Scan, Segmentation
from livervol.workflows.reading import Reading
from livervol.workflows.reading_save import sign_off
from livervol.workflows.visit import GivenMasks, measure_masks

pytestmark = pytest.mark.filterwarnings("ignore")

GRID = Grid.from_parts((40, 56, 64), (4.0, 3.0, 3.0), (-96.0, -84.0, -80.0))


@pytest.fixture(scope="module")
def lopsided(tmp_path_factory):
    """A visit whose scan has a bright block each at the patient's right, front and head end; a liver with a tumour."""
    folder = tmp_path_factory.mktemp("lopsided")
    voxels = np.full(GRID.shape_zyx, -900, np.int16)
    voxels[4:36, 8:48, 8:56] = 40
    voxels[18:22, 26:30, 10:16] = 900  # right: low x
    voxels[18:22, 9:14, 30:34] = 700  # front: low y
    voxels[33:36, 26:30, 30:34] = 500  # head: high z
    z, y, x = np.indices(GRID.shape_zyx)
    liver = (((z - 20) / 10.0) ** 2 + ((y - 28) / 12.0) ** 2 + ((x - 24) / 12.0) ** 2 < 1).astype(np.uint8)
    lesions = (((z - 20) * 4.0) ** 2 + ((y - 28) * 3.0) ** 2 + ((x - 24) * 3.0) ** 2 < 12.0**2).astype(np.uint8)
    voxels[(liver == 1) & (voxels == 40)] = 110
    voxels[lesions == 1] = 70
    write_nifti_scan(folder / "p.nii.gz", Scan(voxels, GRID))
    later = np.where(voxels == 110, 90, voxels).astype(np.int16)
    write_nifti_scan(folder / "d.nii.gz", Scan(later, GRID))
    for name, labels in (("liver", liver), ("lesions", lesions)):
        write_nifti_labels(folder / f"{name}.nii.gz", Segmentation(labels, GRID, {1: name}))
    given = GivenMasks(liver=folder / "liver.nii.gz", lesions=folder / "lesions.nii.gz")
    words = [f"portal_venous={folder / 'p.nii.gz'}", f"delayed={folder / 'd.nii.gz'}"]
    measure_masks(given, words, folder / "visit")
    return folder / "visit"


def picture(hand, widget):
    """What the screen shows of a widget, grey, shape (rows, columns)."""
    from qtpy.QtCore import QPoint

    at = widget.mapToGlobal(QPoint(0, 0))
    hand.spin(0.1)
    image = hand.app.primaryScreen().grabWindow(0, at.x(), at.y(), widget.width(), widget.height())
    image = image.toImage().convertToFormat(image.toImage().Format.Format_Grayscale8)
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    return rows[:, : image.width()].astype(int)


def white_middle(grey):
    """Middle of what is brightest, as shares of height and width, letters at the rim left out."""
    height, width = grey.shape
    inner = grey[height // 8 : -height // 8, width // 8 : -width // 8]
    spots = np.argwhere(inner >= 250)
    assert len(spots) > 20
    return (spots.mean(axis=0) + np.array([height // 8, width // 8])) / grey.shape


def opened(hand, visit, reader):
    """A reader's desk: the one that is open, as on the first day but for its edits, or a new one."""

    def is_open():
        return hand.window.desk is not None and hand.window.desk.reading.reader == reader

    if not is_open():
        hand.window.open_visit(visit, reader)
        hand.until(is_open, 240)
    hand.window.views.close()
    hand.window.desk.take(tool="move")
    hand.viewer.dims.order = (0, 1, 2)
    hand.window.desk.go_to(hand.window.desk.middle_lps(), centre=False)
    hand.viewer.reset_view()
    hand.settled()
    for layer in hand.window.desk.layers.values():
        layer.visible = False
    hand.window.desk.images[hand.window.desk.phase()].contrast_limits = (400, 450)
    return hand.window.desk


def test_head_up_and_right_on_the_left_in_the_picture(hand, lopsided):
    desk = opened(hand, lopsided, "R1")
    letters = hand.viewer.canvas.overlays
    expected = {
        # order of axes, slice to look at (z, y, x), where the block is bright, letters left right top bottom
        (0, 1, 2): ((20, 28, 32), [("right", lambda m: m[1] < 0.45), ("front", lambda m: m[0] < 0.45)], "RLAP"),
        (1, 0, 2): ((20, 28, 32), [("head", lambda m: m[0] < 0.45), ("right", lambda m: m[1] < 0.45)], "RLHF"),
        (2, 0, 1): ((20, 28, 32), [("head", lambda m: m[0] < 0.45), ("front", lambda m: m[1] < 0.45)], "APHF"),
    }
    edges = ("middle_left", "middle_right", "top_center", "bottom_center")
    for order, (index, wanted, word) in expected.items():
        hand.viewer.dims.order = order
        desk.go_to(GRID.index_to_lps(index), centre=False)
        hand.viewer.reset_view()
        assert "".join(letters[f"livervol_{edge}"].text for edge in edges) == word
        middle = white_middle(picture(hand, hand.canvas()))
        assert all(holds(middle) for _, holds in wanted), (order, middle)
        hand.shot(f"20_{word}")


def test_planes_phases_measuring_and_keys(hand, lopsided):
    desk = opened(hand, lopsided, "R1")
    for layer in desk.layers.values():
        layer.visible = True
    hand.key("e")
    desk.go_to(GRID.index_to_lps((20, 28, 28)), centre=False)
    hand.move(hand.spot((20, 28, 20)))
    hand.until(lambda: "\nR 36 " in hand.viewer.canvas.overlays.text.text)
    text = hand.viewer.canvas.overlays.text.text
    assert text.splitlines()[:2] == ["axial 21 of 40", "portal venous"]
    assert "HU" in text
    assert hand.viewer.layers["portal venous"].contrast_limits == [-160, 240]

    hand.key("o")
    hand.until(lambda: len(hand.window.row.panes) == 2)
    # the panes take half of the window, and fit what they show to it
    hand.spin(0.3)
    hand.move(hand.spot((20, 28, 20)))
    zoom = hand.viewer.scene.camera.zoom
    hand.x("click", 4)
    hand.until(lambda: desk.plane_index() == 21)
    assert hand.viewer.scene.camera.zoom == zoom
    coronal = hand.window.row.panes[0][0]
    assert round(coronal.model.dims.point[0]) == round(hand.viewer.dims.point[0])
    hand.shot("21_orthogonal")
    hand.key("shift+p")
    hand.until(lambda: [p.model.title for p, _, _ in hand.window.row.panes] == ["delayed"])
    hand.shot("22_phases")
    hand.key("shift+p")
    hand.until(lambda: not hand.window.row.panes)

    hand.window.choose_lesion(1)
    hand.settled()
    hand.key("d")
    hand.click(hand.spot((20, 28, 21)))
    hand.click(hand.spot((20, 28, 27)))
    hand.until(lambda: any(line.by == "manual" for line in hand.window.dock.numbers.table[0].lines))
    hand.settled()
    (row,) = hand.window.dock.numbers.table
    by_hand = next(line for line in row.lines if line.by == "manual")
    assert by_hand.chosen
    assert by_hand.value_mm == pytest.approx(18.0, abs=3.0)  # a screen pixel at either end is under 1.5 mm
    assert row.longest_mm == by_hand.value_mm
    hand.shot("23_measured")

    hand.x("key", "question")
    hand.until(lambda: hasattr(hand.window, "help") and hand.window.help.isVisible(), 20)
    assert "smart brush" in hand.window.help.text()
    hand.shot("24_keys")
    hand.window.help.close()


def test_a_plane_of_ones_own_and_ranked_operations(hand, lopsided):
    desk = opened(hand, lopsided, "R1")
    hand.press("step_remnant")
    hand.press("draw_plane")
    hand.drag([hand.spot((desk.plane_index(), 12, 30)), hand.spot((desk.plane_index(), 44, 30))])
    hand.until(lambda: "FLR" in hand.window.remnant.cut.says.text())
    assert "resection" in [layer.name for layer in hand.viewer.layers]
    first = hand.window.remnant.cut.says.text()
    # the plane follows its end
    hand.drag([hand.spot((desk.plane_index(), 44, 30)), hand.spot((desk.plane_index(), 44, 26))])
    hand.until(lambda: "FLR" in hand.window.remnant.cut.says.text() and hand.window.remnant.cut.says.text() != first)
    hand.shot("25_plane")
    # a stroke on the liver: the remnant follows it
    first = hand.window.remnant.cut.says.text()
    desk.apply(paint(desk.canvas("liver"), [(20, 28, 38)], Brush(12.0, None), 1))
    hand.until(lambda: "FLR" in hand.window.remnant.cut.says.text() and hand.window.remnant.cut.says.text() != first)
    hand.press("rank")
    hand.until(lambda: hand.window.remnant.table.rowCount() > 5)
    assert (desk.reading.folder / "plan.json").is_file()
    hand.shot("26_ranked")


def test_a_curved_cut_follows_its_handles(hand, lopsided):
    desk = opened(hand, lopsided, "R1")
    z = desk.plane_index()
    hand.press("step_remnant")
    hand.press("draw_surface")
    cut = hand.window.remnant.cut
    hand.drag([hand.spot((z, y, x)) for y, x in ((12, 28), (20, 22), (30, 30), (44, 24))])
    hand.until(lambda: "FLR" in cut.says.text())
    hand.settled()
    assert "your surface: FLR" in cut.says.text()
    (line,) = cut._lines.values()
    assert len(line) == 5
    # curved: its middle lies off the straight line between its ends
    assert np.linalg.norm(line[1] - (3 * line[0] + line[4]) / 4) > 2.0
    first, parts = cut.says.text(), cut.preview.layer.data.copy()
    hand.drag([hand.spot(line[2]), hand.spot(line[2] + (0, 0, 5))])
    hand.until(lambda: "FLR" in cut.says.text() and cut.says.text() != first)
    moved = cut.says.text()
    assert not np.array_equal(cut.preview.layer.data, parts)
    hand.shot("28_surface")
    hand.press("flip_plane")
    hand.until(lambda: "FLR" in cut.says.text() and cut.says.text() != moved)
    percent = [float(text.split("<b>")[1].split()[0]) for text in (moved, cut.says.text())]
    # one part or the other; both shown with one decimal
    assert sum(percent) == pytest.approx(100.0, abs=0.11)
    hand.press("clear_plane")
    hand.until(lambda: cut.says.text() == "")
    assert "resection" not in [layer.name for layer in hand.viewer.layers]


def test_two_blinded_readers_and_the_one_that_stands(hand, lopsided):
    for reader, at in (("R7", None), ("R8", (20, 28, 38))):
        with Reading.open(lopsided, reader) as reading:
            if at is not None:
                reading.apply(paint(reading.canvas("liver"), [at], Brush(9.0, None), 1))
            theirs = reading.masks["liver"].copy()
            sign_off(reading)
    opened(hand, lopsided, "R9")
    hand.press("step_report")
    hand.press("adjudicate")
    hand.press("compare")
    hand.until(lambda: "stay blinded" in hand.window.guide.status.text())
    opened(hand, lopsided, "R7")
    hand.press("step_report")
    hand.press("adjudicate")
    hand.press("compare")
    hand.until(lambda: "Dice" in hand.window.adjudication.says.text())
    assert "readers differ" in [layer.name for layer in hand.viewer.layers]
    hand.shot("27_differences")
    hand.choose("pick_liver", "R8")
    assert hand.window.adjudication.picks["liver"].currentText() == "R8"
    hand.press("open_adjudicated")
    hand.until(lambda: hand.window.desk is not None and hand.window.desk.reading.reader == "adjudicated")
    hand.settled()
    assert np.array_equal(hand.window.desk.reading.masks["liver"], theirs)


def test_layout_size_and_theme_are_there_again_in_the_next_window(hand):
    from qtpy.QtCore import QSettings, Qt
    from qtpy.QtWidgets import QDockWidget

    from napari_livervol.view import new_window

    def panel(window):
        return window.main.findChild(QDockWidget, "livervol_panel_numbers")

    viewer, window = new_window("first")
    hand.until(window.main.isVisible)
    assert window.main.dockWidgetArea(panel(window)) == Qt.DockWidgetArea.BottomDockWidgetArea
    window.main.addDockWidget(Qt.DockWidgetArea.TopDockWidgetArea, panel(window))
    window.main.resize(1234, 789)
    window.change_theme()
    hand.until(lambda: (window.main.width(), window.main.height()) == (1234, 789))
    hand.spin(0.1)
    size, theme = window.main.size(), viewer.theme
    viewer.close()
    hand.spin(0.1)
    viewer, window = new_window("second")
    try:
        hand.until(window.main.isVisible)
        hand.spin(0.1)
        assert window.main.dockWidgetArea(panel(window)) == Qt.DockWidgetArea.TopDockWidgetArea
        assert (window.main.size(), viewer.theme) == (size, theme)
        assert all(label.isVisible() for label in (window.dock.table, window.guide.buttons["load"]))
    finally:
        viewer.close()
        hand.spin(0.1)
        # the next test's window opens as on the first day
        QSettings("livervol", "napari").clear()
