"""End to end, with a real mouse: open, correct, add, choose, sign off, reopen; the numbers are those of measure."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from livervol.assets import sample_scans_folder
from livervol.grid import Grid
from livervol.io.images import read_image, read_labels
from livervol.io.nifti import write_nifti_labels
from livervol.scan import Segmentation
from livervol.workflows.visit import GivenMasks, VisitSettings, measure_masks

# napari and Qt warn on their own account; what livervol warns of is tested without a window
pytestmark = pytest.mark.filterwarnings("ignore")

LEFT_OUT = 2


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """The sample course's first visit with its true masks, lesion 2 left out; the folder and the true lesions."""
    folder = tmp_path_factory.mktemp("sample")
    sys.path.insert(0, str(sample_scans_folder()))
    try:
        from phantom import VISIT_PLANS, phantom_masks
    finally:
        sys.path.pop(0)
    true = phantom_masks(1, VISIT_PLANS[1].grid)
    grid: Grid = VISIT_PLANS[1].grid
    given = {}
    for name in ("liver", "lesions", "viable"):
        labels = getattr(true, name).copy()
        if name != "liver":
            labels[labels == LEFT_OUT] = 0
        given[name] = folder / f"{name}.nii.gz"
        write_nifti_labels(given[name], Segmentation(labels, grid, {v: str(v) for v in range(1, 9)}))
    visit = folder / "visit_1"
    measure_masks(GivenMasks(**given), [sample_scans_folder() / "course" / "visit_1"], visit)
    return visit, Segmentation(true.lesions, grid, {v: str(v) for v in range(1, 9)})


def the_numbers(document):
    """Every measured number of a measurements.json by its path, intervals and reasons left out."""
    found = {}

    def walk(path, value):
        if isinstance(value, dict):
            for key, inner in value.items():
                if not key.endswith(("_interval", "_reason")):
                    walk((*path, key), inner)
        elif isinstance(value, list):
            for number, inner in enumerate(value):
                walk((*path, number), inner)
        else:
            found[path] = value

    for key in ("liver", "tumor", "segments", "remnant"):
        walk((key,), document.get(key, {}))
    for lesion in document["lesions"]:
        walk(("lesions", lesion["number"]), {k: v for k, v in lesion.items() if k.endswith(("_ml", "_mm", "_percent"))})
    return found


def test_the_compared_numbers_are_all_of_them():
    document = {
        "liver": {"volume_ml": 1.0, "volume_ml_interval": [0, 2]},
        "lesions": [{"number": 3, "longest_mm": 2.0}],
    }
    assert the_numbers(document) == {("liver", "volume_ml"): 1.0, ("lesions", 3, "longest_mm"): 2.0}


def measured_again(folder, tmp_path, resections=()):
    """What ``livervol measure`` says of a reader's masks."""
    paths = {n: folder / f"{n}.nii.gz" for n in ("liver", "lesions", "viable", "segments")}
    given = GivenMasks(**{name: path for name, path in paths.items() if path.is_file()})
    out = tmp_path / "again"
    measure_masks(given, [], out, settings=VisitSettings(resections=tuple(resections)))
    return json.loads((out / "measurements.json").read_text())


def open_by_hand(hand, visit, reader):
    """Fill in the load page with the keyboard and press the button."""
    for name, text in (("visit_folder", str(visit)), ("reader_code", reader)):
        hand.press(name)
        hand.key("ctrl+a")
        hand.type(text)
    hand.press("start_reading")
    hand.until(lambda: hand.window.desk is not None, 240)
    hand.settled()


def drag_contour(hand):
    """Pull one handle of the liver's outline outwards; returns the slice."""
    desk = hand.window.desk
    hand.press("tool_contour")
    hand.until(lambda: hand.window.contour.contours is not None)
    contours = hand.window.contour.contours
    curve = max(contours.curves, key=lambda c: c.area_pixels())
    middle = curve.handles.mean(axis=0)
    # the handle farthest to the patient's right, pulled further out
    handle = curve.handles[np.argmin(curve.handles[:, 1])]
    away = handle + 9.0 * (handle - middle) / np.linalg.norm(handle - middle)
    at = [hand.spot((contours.index, *point)) for point in (handle, away)]
    before = desk.reading.version
    hand.drag(at)
    hand.settled()
    assert desk.reading.version == before + 1
    step = desk.reading.records[-1].step
    assert step.tool == "contour"
    assert {change.mask for change in step.changes} >= {"liver"}
    # back to voxels without loss elsewhere: only this slice has changed
    assert {(c.box[0].start, c.box[0].stop) for c in step.changes if c.mask == "liver"} == {
        (contours.index, contours.index + 1)
    }
    return contours.index


def paint_liver(hand, index_zyx):
    """A stroke of the brush a little outside the liver."""
    desk = hand.window.desk
    hand.key("b")
    assert desk.tools.tool == "brush"
    z, y, x = index_zyx
    before = int(np.count_nonzero(desk.reading.masks["liver"]))
    version = desk.reading.version
    hand.drag([hand.spot((z, y, x)), hand.spot((z, y + 8, x))])
    hand.settled()
    assert desk.reading.version == version + 1
    assert int(np.count_nonzero(desk.reading.masks["liver"])) > before


def test_a_sample_visit_from_opening_to_sign_off(hand, sample, tmp_path):
    visit, true = sample
    hand.shot("01_empty")
    open_by_hand(hand, visit, "R1")
    window, desk = hand.window, hand.window.desk
    hand.shot("02_open")
    liver_ml = window.dock.numbers.liver_ml

    z = drag_contour(hand)
    hand.shot("03_contour")
    assert window.dock.numbers.liver_ml > liver_ml
    after_contour = window.dock.numbers.liver_ml
    y, x = np.argwhere(desk.reading.masks["liver"][z])[0]
    paint_liver(hand, (z, int(y) - 2, int(x)))
    hand.shot("04_brush")
    after_brush = window.dock.numbers.liver_ml
    assert after_brush > after_contour

    hand.key("ctrl+z")
    hand.settled()
    assert window.dock.numbers.liver_ml == after_contour
    hand.key("ctrl+shift+z")
    hand.settled()
    assert window.dock.numbers.liver_ml == after_brush

    # the lesion that was left out: scroll there with the wheel, one click
    hand.press("next_liver")
    assert window.guide.step == "lesions"
    middle = np.argwhere(true.labels == LEFT_OUT).mean(axis=0)
    hand.move(hand.spot((middle[0], *middle[1:])))
    zoom = hand.viewer.scene.camera.zoom
    steps = round(middle[0]) - desk.plane_index()
    for _ in range(abs(steps)):
        hand.x("click", 4 if steps > 0 else 5)
    assert desk.plane_index() == round(middle[0])
    assert hand.viewer.scene.camera.zoom == zoom, "the wheel scrolls, it does not zoom"
    # it stands out in the late arterial phase: P shows the next phase
    for _ in desk.reading.phases:
        if desk.phase() != "late_arterial":
            hand.key("p")
            hand.spin(0.3)
    assert desk.phase() == "late_arterial"
    hand.key("a")
    hand.click(hand.spot(middle))
    hand.until(lambda: len(window.dock.numbers.table) == 2)
    hand.settled()
    hand.shot("05_lesion")
    own = desk.reading.masks["lesions"] == 2
    both = np.count_nonzero(own & (true.labels == LEFT_OUT))
    assert 2 * both / (np.count_nonzero(own) + np.count_nonzero(true.labels == LEFT_OUT)) > 0.8

    hand.press("step_remnant")
    hand.press("resection")
    hand.type("right hepatectomy")
    hand.key("Return")
    hand.until(lambda: list(desk.reading.settings.get("resections", ())) == ["right_hepatectomy"])
    hand.settled()
    flr = window.dock.numbers.flr_percent
    assert flr is not None
    assert "right hepatectomy" in window.dock.headline.text()
    hand.shot("06_remnant")

    hand.press("step_report")
    hand.press("sign_off")
    hand.until(lambda: bool(desk.reading.locked), 120)
    hand.shot("07_signed")
    shown = window.dock.numbers
    assert "locked" in window.guide.headline.text()

    # locked: the brush is refused and says so
    version = desk.reading.version
    hand.key("b")
    hand.drag([hand.spot((z, int(y) - 6, int(x))), hand.spot((z, int(y) - 6, int(x) + 6))])
    assert desk.reading.version == version
    assert "locked" in window.guide.status.text()

    # close, open again: the same numbers, and the same as livervol measure's on the same masks, bit for bit
    folder = desk.reading.folder
    window.close()
    hand.press("step_load")
    open_by_hand(hand, visit, "R1")
    again = window.desk.reading.numbers()
    assert again.measured == shown.measured
    written = json.loads((folder / "measurements.json").read_text())
    other = measured_again(folder, tmp_path, ["right_hepatectomy"])
    ours, theirs = the_numbers(written), the_numbers(other)
    assert len(ours) > 30
    assert ours == theirs
    assert written["remnant"]["right_hepatectomy"]["flr_of_functional_percent"] == flr


def test_a_real_scan(hand, shared, tmp_path):
    case = shared / "scans" / "train_ct" / "lits_008"
    tumours = read_labels(case / "liver_tumour.nii.gz")
    scan = read_image(next(p for p in case.glob("*.nii.gz") if p.name.startswith("ct")))
    liver = Segmentation((tumours.labels > 0).astype(np.uint8), tumours.grid, {1: "liver"})
    write_nifti_labels(tmp_path / "liver.nii.gz", liver, scan.source.stored)
    image = next(p for p in case.glob("*.nii.gz") if p.name.startswith("ct"))
    visit = tmp_path / "visit"
    measure_masks(GivenMasks(liver=tmp_path / "liver.nii.gz"), [image], visit)
    hand.window.load.scans.setText(str(image))
    open_by_hand(hand, visit, "R2")
    desk = hand.window.desk
    z = drag_contour(hand)
    y, x = np.argwhere(desk.reading.masks["liver"][z])[0]
    paint_liver(hand, (z, int(y) - 2, int(x)))
    hand.shot("11_real")
    hand.press("step_report")
    hand.press("save")
    hand.until(lambda: not desk.reading.unsaved, 120)
    written = json.loads((desk.reading.folder / "measurements.json").read_text())
    assert the_numbers(written) == the_numbers(measured_again(desk.reading.folder, tmp_path))
