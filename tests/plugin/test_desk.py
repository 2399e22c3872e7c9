"""A reading on a viewer without a window: layers show its arrays, gestures become steps, refusals sentences."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from livervol.edit.brush import Brush, erase, paint
from livervol.edit.contour import contours_of
from livervol.grid import Grid
from livervol.io.nifti import write_nifti_labels, write_nifti_scan
from livervol.scan import Phase, Scan, Segmentation
from livervol.workflows.reading import Reading
from livervol.workflows.reading_save import sign_off

pytestmark = [pytest.mark.usefixtures("napari_there"), pytest.mark.filterwarnings("ignore")]

GRID = Grid.from_parts((20, 32, 36), (3.0, 1.5, 1.4), (-25.0, -24.0, -900.0))


@pytest.fixture
def visit(tmp_path):
    """A liver with one tumour, two phases; a second tumour is only in the scan."""
    z, y, x = np.indices(GRID.shape_zyx)

    def ball(at, radius_mm):
        apart = sum(((g - c) * s) ** 2 for g, c, s in zip((z, y, x), at, GRID.spacing_mm, strict=True))
        return apart < radius_mm**2

    liver = ball((10, 16, 18), 20.0)
    lesion, missed = ball((10, 14, 14), 5.0), ball((10, 18, 25), 5.0)
    (tmp_path / "phases").mkdir()
    rng = np.random.default_rng(5)
    for name, contrast in (("portal_venous", -60), ("late_arterial", 70)):
        voxels = np.where(liver, 110, -80) + rng.normal(0, 4, GRID.shape_zyx)
        voxels[lesion | missed] += contrast
        write_nifti_scan(tmp_path / "phases" / f"{name}.nii.gz", Scan(voxels.astype(np.int16), GRID))
    for name, labels in (("liver", liver), ("lesions", lesion), ("viable", lesion & ball((10, 13, 14), 3.0))):
        write_nifti_labels(tmp_path / f"{name}.nii.gz", Segmentation(labels.astype(np.uint8), GRID, {1: name}))
    (tmp_path / "measurements.json").write_text('{"provenance": {"reference_phase": "portal_venous"}}')
    return tmp_path


@pytest.fixture
def desk(viewer_model, visit):
    from napari_livervol.desk import Desk
    from napari_livervol.wheel import reader_mouse

    with Reading.open(visit, "R1") as reading:
        reader_mouse(viewer_model)
        desk = Desk(viewer_model, reading)
        desk.sentences = []
        desk.refused.connect(desk.sentences.append)
        yield desk


def at(desk, index_zyx):
    """Where the viewer shows a voxel."""
    from napari_livervol.layers import world_of

    return world_of(desk.grid, desk.grid.index_to_lps(index_zyx))


def drag(desk, points_zyx, modifiers=()):
    """Press at the first point, move through the others, release: as napari calls its mouse callbacks."""
    event = SimpleNamespace(button=1, modifiers=modifiers, type="mouse_press", position=at(desk, points_zyx[0]))
    running = [callback(desk.viewer, event) for callback in desk.viewer.mouse_drag_callbacks]
    running = [r for r in running if next(r, "end") != "end"]
    for point in points_zyx[1:]:
        event.type, event.position = "mouse_move", at(desk, point)
        running = [r for r in running if next(r, "end") != "end"]
    event.type = "mouse_release"
    for r in running:
        next(r, None)


def go_to_slice(desk, z):
    desk.viewer.dims.point = tuple(at(desk, (z, 16, 18)))


def test_layers_show_the_readings_own_arrays(desk):
    assert [layer.name for layer in desk.viewer.layers] == ["portal venous", "liver", "lesions", "viable"]
    for name, layer in desk.layers.items():
        assert np.shares_memory(layer.data, desk.reading.masks[name])
        assert not layer.editable
    shown = desk.layers["lesions"].get_value(at(desk, (10, 14, 14)), world=True)
    assert shown == 1
    assert desk.layers["lesions"].get_value(at(desk, (10, 18, 25)), world=True) == 0


def test_rarely_shown_masks_get_their_layer_when_first_shown(desk):
    assert desk.apply(paint(desk.canvas("segments"), [(10, 16, 18)], Brush(30.0, None), 4))
    assert "segments" not in desk.layers
    desk.show_mask("segments", False)
    desk.show_mask("vessels")  # there are none
    assert set(desk.layers) == {"liver", "lesions", "viable"}
    active = desk.viewer.layers.selection.active
    desk.show_mask("segments")
    assert [layer.name for layer in desk.viewer.layers] == ["portal venous", "liver", "segments", "lesions", "viable"]
    assert np.shares_memory(desk.layers["segments"].data, desk.reading.masks["segments"])
    assert desk.viewer.layers.selection.active is active
    desk.show_mask("segments", False)
    assert not desk.layers["segments"].visible
    desk.take(mask="segments")
    assert desk.layers["segments"].visible
    assert desk.viewer.layers.selection.active is desk.layers["segments"]
    assert desk.undo()
    assert "segments" not in desk.layers


def test_cuts_and_margins_are_judged_by_lesions_of_the_liver(desk):
    from livervol.workflows.reading_lesions import set_site
    from napari_livervol.snapshot import snapshot

    assert np.array_equal(snapshot(desk.reading, "lesions").labels, desk.reading.masks["lesions"])
    set_site(desk.reading, 1, "adrenal")
    assert not snapshot(desk.reading, "lesions").labels.any()
    assert desk.reading.masks["lesions"].any()
    assert snapshot(desk.reading, "vessels") is None


def test_an_edit_and_its_undo_show_across_layers(desk):
    seen = []
    desk.changed.connect(seen.append)
    canvas = desk.canvas("lesions")
    before = {name: labels.copy() for name, labels in desk.reading.masks.items()}
    assert desk.apply(paint(canvas, [(10, 3, 18)], Brush(3.0, 0), 1))
    # painted past the liver's outline: the liver comes along, in one step
    assert set(seen[0]) == {"lesions", "liver"}
    assert desk.undo()
    for name, labels in before.items():
        assert np.array_equal(desk.reading.masks[name], labels)
    assert desk.redo()
    assert not desk.redo()
    for layer in desk.layers.values():
        assert not layer._undo_history, "napari's own history stays empty"


def test_refused_while_locked_and_while_paused(desk):
    desk.paused = "Saving"
    assert not desk.undo()
    assert not desk.apply(paint(desk.canvas("liver"), [(10, 2, 18)], Brush(2.0, 0), 1))
    assert desk.sentences == ["Wait a moment: Saving is running."]
    desk.paused = ""
    sign_off(desk.reading)
    assert not desk.apply(paint(desk.canvas("liver"), [(10, 2, 18)], Brush(2.0, 0), 1))
    assert "signed off" in desk.sentences[-1]


@pytest.mark.parametrize(
    ("tool", "keys", "erases"), [("brush", (), False), ("eraser", (), True), ("brush", ("Control",), True)]
)
def test_a_stroke_is_the_brush_along_the_whole_line(desk, tool, keys, erases):
    from napari_livervol.gestures import Gestures

    Gestures(desk)
    desk.take(tool=tool, mask="liver")
    desk.tools.radius_mm = 3.0
    go_to_slice(desk, 8)
    line = [(8, 4, 12), (8, 6, 16), (8, 5, 20)]
    copy = desk.reading.masks["liver"].copy()
    canvas = desk.canvas()
    wanted = erase(canvas, line, Brush(3.0, 0)) if erases else paint(canvas, line, Brush(3.0, 0), 1)
    wanted.apply(copy)
    drag(desk, line, keys)
    assert wanted.voxels > 0
    assert np.array_equal(desk.reading.masks["liver"], copy)
    assert desk.reading.version == 1
    scratch = [layer for layer in desk.viewer.layers if layer.name == "stroke"]
    assert not scratch[0].visible
    assert not scratch[0].data.any()


def test_one_click_adds_the_missed_lesion(desk):
    from napari_livervol.gestures import Gestures

    Gestures(desk)
    desk.take(tool="click")
    go_to_slice(desk, 10)
    drag(desk, [(10, 18, 25)])
    assert desk.reading.masks["lesions"][10, 18, 25] == 2
    assert (desk.tools.mask, desk.tools.value) == ("lesions", 2)


def test_a_clicked_lesion_and_its_computed_viability_are_undone_and_redone_together(desk):
    from livervol.edit.gesture import Gesture
    from livervol.workflows.reading_lesions import add_lesion
    from livervol.workflows.reading_viability import judge_viability

    number, _ = desk.do(lambda: add_lesion(desk.reading, Gesture.of("click", (10, 18, 25)), "portal_venous"))
    desk.do(lambda: judge_viability(desk.reading))
    assert desk.undo()
    assert number not in desk.reading.lesion_numbers
    assert desk.redo()
    assert desk.reading.settings[f"lesion.{number}.viability"] == "computed"
    # a stroke between the two: only what was computed and the stroke go, one by one
    desk.undo()
    desk.do(lambda: add_lesion(desk.reading, Gesture.of("click", (10, 18, 25)), "portal_venous"))
    desk.apply(paint(desk.canvas("liver"), [(8, 4, 18)], Brush(4.0, 0), 1))
    desk.do(lambda: judge_viability(desk.reading))
    desk.undo()
    assert desk.reading.records[-1].step.tool == "viability, computed"
    desk.undo()
    assert desk.reading.records[-1].step.tool.startswith("brush")


def test_contour_handle_hole_and_refresh(desk):
    from napari_livervol.contour import ContourTool
    from napari_livervol.gestures import Gestures

    tool = ContourTool(desk, Gestures(desk))
    desk.viewer.scene.camera.zoom = 6.0
    desk.take(tool="contour", mask="liver")
    go_to_slice(desk, 8)
    assert tool.contours.index == 8
    handles = tool.contours.curves[0].handles
    top = handles[np.argmin(handles[:, 0])]
    other_slices = np.delete(desk.reading.masks["liver"], 8, axis=0).copy()
    before = int(desk.reading.masks["liver"][8].sum())
    drag(desk, [(8, *top), (8, top[0] - 1.5, top[1]), (8, top[0] - 3, top[1])])
    assert int(desk.reading.masks["liver"][8].sum()) > before
    assert np.array_equal(np.delete(desk.reading.masks["liver"], 8, axis=0), other_slices)
    assert desk.reading.records[-1].step.tool == "contour"
    drag(desk, [(8, 16, 18)], ("Alt",))
    assert desk.reading.masks["liver"][8, 16, 18] == 0
    assert len(tool.contours.curves) == 2
    desk.undo()
    tool.refresh(("liver",))
    fresh = contours_of(desk.reading.masks["liver"], GRID.spacing_mm, (0, 8), 1)
    assert len(tool.contours.curves) == len(fresh.curves) == 1
    desk.take(tool="move")
    assert tool.contours is None


def test_interpolation_goes_between_slices_corrected_by_hand(desk):
    from napari_livervol.operations import corrected_slices, operations

    actions = operations(desk, lambda: None, lambda numbers: None)
    desk.take(mask="liver")
    actions["interpolate"][2]()
    assert "two slices" in desk.sentences[-1]
    for z in (6, 9, 12):
        desk.apply(paint(desk.canvas("liver"), [(z, 4, 18)], Brush(4.0, 0), 1))
    assert corrected_slices(desk, "liver", 1, 0) == [6, 9, 12]
    desk.undo()
    assert corrected_slices(desk, "liver", 1, 0) == [6, 9]
    between = desk.reading.masks["liver"][7].copy()
    actions["interpolate"][2]()
    assert not np.array_equal(desk.reading.masks["liver"][7], between)
    assert corrected_slices(desk, "liver", 1, 0) == []


def test_two_clicks_measure(desk):
    from napari_livervol.gestures import Gestures
    from napari_livervol.measuring import TwoClicks

    TwoClicks(desk, Gestures(desk), lambda: 1, lambda: "longest_mm")
    desk.take(tool="measure")
    drag(desk, [(10, 14, 10)])
    drag(desk, [(10, 14, 18)])
    (row,) = desk.reading.numbers().table
    assert row.longest_mm == pytest.approx(8 * 1.4)
    assert {line.by for line in row.lines if line.name == "longest_mm"} == {"computed", "manual"}


def test_phases_are_read_when_shown(desk):
    assert list(desk.images) == ["portal_venous"]
    desk.next_phase()
    assert desk.phase() == "late_arterial"
    assert [layer.name for layer in desk.viewer.layers][:2] == ["portal venous", "late arterial"]
    assert not desk.images["portal_venous"].visible
    # arterial phases open with the arterial window, whatever phase the file was
    assert desk.images["late_arterial"].contrast_limits == [-65, 285]
    assert desk.reading.scan("late_arterial").phase is Phase.LATE_ARTERIAL


def test_readout_names_edges_place_and_value(desk):
    from napari_livervol.readout import Readout, position_text

    readout = Readout(desk.viewer)
    assert readout.letters() == ("R", "L", "A", "P")
    desk.viewer.dims.order = (1, 0, 2)
    assert readout.letters() == ("R", "L", "H", "F")
    desk.viewer.dims.order = (2, 0, 1)
    assert readout.letters() == ("A", "P", "H", "F")
    desk.viewer.dims.order = (0, 1, 2)
    go_to_slice(desk, 7)
    desk.viewer.cursor.position = tuple(at(desk, (7, 16, 18)))
    lines = readout.text().splitlines()
    assert lines[:2] == ["axial 8 of 20", "portal venous"]
    value = desk.reading.scan("portal_venous").voxels[7, 16, 18]
    assert lines[2] == position_text(GRID.index_to_lps((7, 16, 18))) + f"   {value:g} HU"
    assert position_text((12.4, -3.2, 40.0)) == "L 12  A 3  H 40 mm"


def test_oblique_axes_get_two_letters():
    from conftest import rotation
    from napari_livervol.layers import edge_letters

    turned = Grid.from_parts((7, 8, 9), (2.5, 0.8, 0.7), (0, 0, 0), rotation((0.0, 0.0, 30.0)) @ np.eye(3)[:, ::-1])
    assert all(len(word) == 2 for word in edge_letters(turned, 1, 0)[:2])
    assert edge_letters(GRID, 1, 2) == ("R", "L", "A", "P")


def test_windows_by_name(desk):
    from napari_livervol.windows import set_window

    assert set_window(desk.viewer, "liver") == ["portal venous"]
    assert desk.images["portal_venous"].contrast_limits == [20, 180]
    assert desk.layers["liver"].visible


def test_every_key_is_bound_on_viewer_and_layers(desk):
    from napari_livervol.keys import KEYS, bind_keys, key_help

    pressed = []
    bind_keys(desk.viewer, {key.action: lambda key=key: pressed.append(key.action) for key in KEYS})
    new = desk.viewer.add_labels(np.zeros((2, 2, 2), np.uint8))
    for target in (desk.viewer, desk.layers["liver"], new):
        for key in {key.action: key for key in KEYS if key.action != "help"}.values():
            from napari.utils.key_bindings import coerce_keybinding

            target.keymap[coerce_keybinding(key.press)](target)
            assert pressed[-1] == key.action
    assert all(key.says in key_help() for key in KEYS)
    assert len({key.press for key in KEYS}) == len(KEYS)


def test_only_the_newest_state_is_answered():
    from napari_livervol.numbers import LatestOnly

    gate, started, answers = threading.Event(), threading.Event(), []
    state = [0]

    def work():
        seen = state[0]
        started.set()
        gate.wait(10)
        return seen

    worker = LatestOnly(work, lambda result, seconds: answers.append(result), answers.append)
    for k in range(1, 6):
        state[0] = k
        worker.ask()
        if k == 1:
            started.wait(10)
    gate.set()
    end = time.monotonic() + 10
    while worker.busy and time.monotonic() < end:
        time.sleep(0.005)
    time.sleep(0.02)
    worker.close()
    # the first, stale by the time it was ready, is never shown; the ones in between are never computed
    assert answers == [5]


def test_a_refusal_in_the_worker_is_a_sentence():
    from livervol.errors import LivervolError
    from napari_livervol.numbers import LatestOnly

    told = []

    def work():
        raise LivervolError("no")

    worker = LatestOnly(work, lambda result, seconds: told.append(result), told.append)
    worker.ask()
    end = time.monotonic() + 10
    while not told and time.monotonic() < end:
        time.sleep(0.005)
    worker.close()
    assert told == ["no"]


def test_lesion_words_carry_intervals_and_how_viability_came_about(desk):
    from dataclasses import replace

    from livervol.records import Interval
    from napari_livervol.numbers_dock import interval_words, lesion_words

    row = desk.reading.numbers().table[0]
    known = {f"lesion.{row.number}.longest_mm": Interval(9.24, 12.0)}
    assert lesion_words(row, intervals=known)[4] == f"{row.longest_mm:.1f} (9.2–12.0)"
    assert "(" not in lesion_words(row)[4]
    assert lesion_words(replace(row, viability="waiting"))[6:10:2] == ["…", "…"]
    assert lesion_words(replace(row, viability="computed"))[8].endswith("ᶜ")
    assert interval_words(Interval(31.4, 36.6)) == "31–37"


def test_lesion_words_mark_proposals_and_hand_measurements(desk):
    pytest.importorskip("qtpy")
    from livervol.workflows.reading_lesions import measure_by_hand, set_role
    from napari_livervol.numbers_dock import headline, lesion_words, response_words

    numbers = desk.reading.numbers()
    cells = lesion_words(numbers.table[0])
    assert cells[0] == "1"
    assert cells[1].startswith("(")
    measure_by_hand(desk.reading, 1, "longest_mm", [(10, 14, 10), (10, 14, 18)])
    set_role(desk.reading, 1, "target")
    cells = lesion_words(desk.reading.numbers().table[0], decided=True)
    assert cells[4] == "11.2*"
    assert cells[1] == "target"
    assert "ml" in headline(numbers)
    assert response_words(numbers, "mrecist")[0]


def test_handles_stand_at_equal_distances_along_the_drawn_line(napari_there):
    from napari_livervol.cut_box import handles_along

    spacing = (3.0, 2.0, 0.5)
    # 8 mm along y, then 4 mm along x
    path = np.array([(5.0, 1.0, 4.0), (5.0, 3.0, 4.0), (5.0, 5.0, 4.0), (5.0, 5.0, 12.0)])
    handles = handles_along(path, 4, spacing)
    assert handles == pytest.approx(np.array([(5, 1, 4), (5, 3, 4), (5, 5, 4), (5, 5, 12)]))
    assert handles_along(path[[0, 2]], 2, spacing) == pytest.approx(path[[0, 2]])


def test_warnings_read_well_on_either_theme():
    from napari_livervol.tones import tone

    def light(color):
        parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    # napari's two backgrounds; contrast as WCAG 2.1 defines it
    for theme, behind in (("dark", "#262930"), ("light", "#EFEBE9")):
        for kind in ("warning", "refusal"):
            low, high = sorted((light(tone(kind, theme)), light(behind)))
            assert (high + 0.05) / (low + 0.05) > 4.5
