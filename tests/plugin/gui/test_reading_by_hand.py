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
from livervol.kernels.components import label_components
from livervol.scan import Segmentation
from livervol.workflows.visit import GivenMasks, VisitSettings, measure_masks, run_visit

# napari and Qt warn on their own account; what livervol warns of is tested without a window
pytestmark = pytest.mark.filterwarnings("ignore")

SAMPLE = sample_scans_folder() / "course" / "visit_1"
LEFT_OUT = 2
#: A place in the real scan's tumour that is missed.
MISSED = (30, 107, 46)
RESECTION = "right_hepatectomy"


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
    # two phases are enough to change between; a third has to be aligned as well
    words = [f"{phase}={SAMPLE / phase}" for phase in ("late_arterial", "portal_venous")]
    measure_masks(GivenMasks(**given), words, visit)
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


def given_masks(folder):
    """A reader's masks, as they are given to the command line."""
    paths = {n: folder / f"{n}.nii.gz" for n in ("liver", "lesions", "viable", "segments")}
    return GivenMasks(**{name: path for name, path in paths.items() if path.is_file()})


def equal_to(folder, job, inputs, out):
    """That the reader's saved numbers are those of ``livervol run`` or ``measure`` on the same masks, bit for bit."""
    job(given_masks(folder), inputs, out)
    ours, theirs = (the_numbers(json.loads((f / "measurements.json").read_text())) for f in (folder, out))
    assert len(ours) > 30
    assert {key: theirs.get(key) for key in ours} == ours


def run(given, inputs, out):
    run_visit(inputs, out, given=given, settings=VisitSettings(resections=(RESECTION,)))


def measure(given, inputs, out):
    measure_masks(given, inputs, out, settings=VisitSettings(resections=(RESECTION,)))


def open_by_hand(hand, visit, reader, scan=""):
    """Fill in the load page with the keyboard and press the button; a reading that is open is closed."""
    hand.window.close()
    hand.press("step_load")
    words = {"visit_folder": str(visit), "reader_code": reader, **({"scan_path": str(scan)} if scan else {})}
    for name, text in words.items():
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
    hand.until(lambda: desk.reading.version > before)
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
    hand.until(lambda: desk.tools.tool == "brush")
    z, y, x = index_zyx
    before = int(np.count_nonzero(desk.reading.masks["liver"]))
    version = desk.reading.version
    hand.drag([hand.spot((z, y, x)), hand.spot((z, y + 8, x))])
    hand.until(lambda: desk.reading.version > version)
    hand.settled()
    assert desk.reading.version == version + 1
    assert int(np.count_nonzero(desk.reading.masks["liver"])) > before


def add_by_one_click(hand, index_zyx, wanted):
    """Scroll to a missed lesion with the wheel, click on it once; its voxels, once it has been judged."""
    window, desk = hand.window, hand.window.desk
    z = round(index_zyx[0])
    hand.move(hand.spot(index_zyx))
    zoom = hand.viewer.scene.camera.zoom
    steps = z - desk.plane_index()
    for _ in range(abs(steps)):
        hand.x("click", 4 if steps > 0 else 5)
    hand.until(lambda: desk.plane_index() == z)
    assert hand.viewer.scene.camera.zoom == zoom, "the wheel scrolls, it does not zoom"
    # P shows the next phase, until the one in which it stands out
    for _ in desk.reading.phases:
        if desk.phase() != wanted:
            before = desk.phase()
            hand.key("p")
            hand.until(lambda before=before: desk.phase() != before)
    assert desk.phase() == wanted
    before = set(desk.reading.lesion_numbers)
    hand.key("a")
    hand.until(lambda: desk.tools.tool == "click")
    hand.click(hand.spot(index_zyx))
    hand.until(lambda: set(desk.reading.lesion_numbers) > before)
    (number,) = set(desk.reading.lesion_numbers) - before
    hand.until(lambda: desk.reading.settings[f"lesion.{number}.viability"] == "computed")
    hand.settled()
    row = next(row for row in window.dock.numbers.table if row.number == number)
    assert row.viability == "computed"
    assert not window.dock.numbers.problems
    return desk.reading.masks["lesions"] == number


def choose_right_hepatectomy(hand):
    """On the remnant page, with the list's own keys."""
    desk = hand.window.desk
    hand.press("step_remnant")
    hand.choose("resection", "right hepatectomy")
    hand.until(lambda: list(desk.reading.settings.get("resections", ())) == [RESECTION])
    hand.settled()
    assert hand.window.dock.numbers.flr_percent is not None
    assert "right hepatectomy" in hand.window.dock.headline.text()
    return hand.window.dock.numbers.flr_percent


def sign_and_open_again(hand, visit, reader):
    """Sign off, close, open: the numbers on the screen are the same. Returns the reader's folder."""
    window, desk = hand.window, hand.window.desk
    hand.press("step_report")
    hand.press("sign_off")
    hand.until(lambda: bool(desk.reading.locked))
    hand.settled()
    shown, folder = window.dock.numbers, desk.reading.folder
    hand.until(lambda: "locked" in window.guide.headline.text())
    open_by_hand(hand, visit, reader)
    again = window.desk.reading.numbers()
    assert again.measured == shown.measured
    assert again.intervals == shown.intervals
    assert window.desk.reading.locked
    return folder


def overlap(mask, truth):
    """Dice."""
    return 2 * np.count_nonzero(mask & truth) / (np.count_nonzero(mask) + np.count_nonzero(truth))


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
    hand.until(lambda: window.dock.numbers.liver_ml == after_contour)
    hand.key("ctrl+shift+z")
    hand.until(lambda: window.dock.numbers.liver_ml == after_brush)
    hand.settled()
    # not napari's own saving of layers
    saved = visit / "readers" / "R1" / "measurements.json"
    assert not saved.exists()
    hand.key("ctrl+s")
    hand.until(saved.exists)
    hand.settled()

    hand.press("next_liver")
    hand.until(lambda: window.guide.step == "lesions")
    truth = true.labels == LEFT_OUT
    own = add_by_one_click(hand, np.argwhere(truth).mean(axis=0), "late_arterial")
    hand.shot("05_lesion")
    assert overlap(own, truth) > 0.8
    flr = choose_right_hepatectomy(hand)
    hand.shot("06_remnant")
    folder = sign_and_open_again(hand, visit, "R1")
    hand.shot("07_signed")

    # locked: the brush is refused and says so
    desk = window.desk
    version = desk.reading.version
    hand.key("b")
    hand.until(lambda: desk.tools.tool == "brush")
    hand.drag([hand.spot((z, int(y) - 6, int(x))), hand.spot((z, int(y) - 6, int(x) + 6))])
    hand.until(lambda: "locked" in window.guide.status.text())
    assert desk.reading.version == version

    equal_to(folder, run, [f"portal_venous={SAMPLE / 'portal_venous'}"], tmp_path / "run")
    written = json.loads((folder / "measurements.json").read_text())
    assert written["remnant"][RESECTION]["flr_of_functional_percent"] == flr


def test_a_real_scan_from_opening_to_sign_off(hand, shared, tmp_path):
    case = shared / "scans" / "train_ct" / "lits_008"
    image = next(p for p in case.glob("*.nii.gz") if p.name.startswith("ct"))
    marked, scan = read_labels(case / "liver_tumour.nii.gz"), read_image(image)
    tumours, _ = label_components((marked.labels == 2).astype(np.uint8), 26)
    missed = tumours == tumours[MISSED]
    assert missed.sum() * marked.grid.voxel_ml == pytest.approx(3.35, abs=0.01)
    known = np.where((tumours == 1) & ~missed, 1, 0)
    for name, labels in (("liver", marked.labels > 0), ("lesions", known)):
        segmentation = Segmentation(labels.astype(np.uint8), marked.grid, {1: name})
        write_nifti_labels(tmp_path / f"{name}.nii.gz", segmentation, scan.source.stored)
    visit = tmp_path / "visit"
    given = GivenMasks(liver=tmp_path / "liver.nii.gz", lesions=tmp_path / "lesions.nii.gz")
    measure_masks(given, [image], visit)
    # the visit's folder holds no phases: the scan is given too
    open_by_hand(hand, visit, "R2", scan=image)
    desk = hand.window.desk
    z = drag_contour(hand)
    y, x = np.argwhere(desk.reading.masks["liver"][z])[0]
    paint_liver(hand, (z, int(y) - 2, int(x)))
    hand.shot("11_real")
    hand.press("next_liver")
    own = add_by_one_click(hand, np.argwhere(missed).mean(axis=0), desk.phase())
    hand.shot("12_real_lesion")
    assert overlap(own, missed) > 0.5
    choose_right_hepatectomy(hand)
    folder = sign_and_open_again(hand, visit, "R2")
    hand.shot("13_real_signed")
    equal_to(folder, measure, [image], tmp_path / "measure")
