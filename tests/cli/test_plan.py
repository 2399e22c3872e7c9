from __future__ import annotations

import json

import numpy as np
import pytest

from livervol import cli
from livervol.grid import Grid
from livervol.io.nifti import write_nifti_labels
from livervol.measure.remnant import SegmentSpread
from livervol.scan import Segmentation
from livervol.workflows.plan import spread_entry

GRID = Grid.from_parts((12, 20, 40), (5.0, 4.0, 4.0), (-80.0, -40.0, 100.0))
#: Columns along the patient's right to left.
COLUMNS = {6: (2, 10), 5: (10, 18), 4: (18, 24), 3: (24, 32), 1: (32, 34)}
ABOVE = {6: 7, 5: 8, 3: 2}


def phantom():
    labels = np.zeros(GRID.shape_zyx, np.uint8)
    for value, (start, stop) in COLUMNS.items():
        labels[2:6, 2:18, start:stop] = value
        labels[6:10, 2:18, start:stop] = ABOVE.get(value, value)
    return labels


def write(folder, name, labels, grid=GRID):
    names = {int(v): str(v) for v in np.unique(labels) if v}
    write_nifti_labels(folder / f"{name}.nii.gz", Segmentation(labels.astype(np.uint8), grid, names))


@pytest.fixture
def visit(tmp_path):
    """A liver cut by known planes with one lesion in VIII, two voxels (8 mm) from the main plane."""
    folder = tmp_path / "visit"
    folder.mkdir()
    labels = phantom()
    lesions = np.zeros_like(labels)
    lesions[7:9, 8:11, 13:16] = 1
    write(folder, "liver", labels > 0)
    write(folder, "segments", labels)
    write(folder, "lesions", lesions)
    return folder


@pytest.fixture
def plan(monkeypatch, capfd):
    """Run the verb as the command line does: exit code, standard output, standard error."""
    monkeypatch.setitem(cli.VERBS, "plan", cli.Verb("plan", "operations that clear the tumour"))

    def run(*words):
        code = cli.main(["plan", *map(str, words)])
        return code, *capfd.readouterr()

    return run


def test_operations_are_ranked_and_the_rest_explained(visit, plan):
    code, out, err = plan(visit, "--margin-mm", "8", "--height-cm", "170", "--weight-kg", "70", "--sex", "male")
    assert (code, err) == (0, "")
    document = json.loads((visit / "plan.json").read_text())
    # voxels that stay, by hand: 32 columns in all; the lesion's 18 voxels leave the functional volume
    expected = {
        "right_hepatectomy": 16 * 128,
        "extended_right_hepatectomy": 10 * 128,
    }
    got = {entry["operation"]: entry for entry in document["operations"]}
    for slug, voxels in expected.items():
        assert got[slug]["flr_of_functional_percent"] == pytest.approx(100 * voxels / (32 * 128 - 18))
    flr = [entry["flr_of_functional_percent"] for entry in document["operations"]]
    assert flr == sorted(flr, reverse=True)
    assert all(entry["margin_mm"] >= 8.0 - 1e-4 for entry in document["operations"])
    assert got["right_hepatectomy"]["margin_mm"] == pytest.approx(8.0)
    reasons = {entry["operation"]: entry["rejected"] for entry in document["rejected"]}
    assert reasons["left_hepatectomy"] == "leaves lesion 1"
    # level planes: the lesion lies one voxel (5 mm) above V
    assert reasons["segments:8"] == "margin 5.0 mm, wanted 8 mm"
    assert "right hepatectomy" in out
    assert "not left hepatectomy: leaves lesion 1" in out
    assert got["right_hepatectomy"]["sflr_percent"] == pytest.approx(
        got["right_hepatectomy"]["volume_ml"] / (-794.41 + 1267.28 * (170 * 70 / 3600) ** 0.5) * 100
    )


def test_margin_decides(visit, plan):
    assert plan(visit, "--margin-mm", "8.1")[0] == 0
    slugs = {entry["operation"] for entry in json.loads((visit / "plan.json").read_text())["operations"]}
    assert "right_hepatectomy" not in slugs
    assert "extended_right_hepatectomy" in slugs
    assert plan(visit, "--margin-mm", "1", "--overwrite")[0] == 0
    slugs = {entry["operation"] for entry in json.loads((visit / "plan.json").read_text())["operations"]}
    assert {"segments:8", "right_hepatectomy", "right_anterior_sectionectomy"} <= slugs


def test_nothing_clears(visit, plan):
    lesions = np.zeros(GRID.shape_zyx)
    lesions[4:8, 8:11, 5:30] = 1
    (visit / "lesions.nii.gz").unlink()
    write(visit, "lesions", lesions)
    code, out, _ = plan(visit)
    assert code == 0
    assert "no standard operation clears all tumour by 10 mm" in out
    assert json.loads((visit / "plan.json").read_text())["operations"] == []


def test_without_lesions_everything_is_listed_with_a_warning(visit, plan):
    (visit / "lesions.nii.gz").unlink()
    code, _, err = plan(visit)
    assert code == 0
    assert "no lesion is marked" in err
    assert json.loads((visit / "plan.json").read_text())["rejected"] == []


def far_lesion(visit, site):
    """A second lesion, which reaches into II and III, at a site."""
    lesions = np.zeros(GRID.shape_zyx, np.uint8)
    lesions[7:9, 8:11, 13:16], lesions[5:8, 8:11, 30:38] = 1, 2
    (visit / "lesions.nii.gz").unlink()
    write(visit, "lesions", lesions)
    (visit / "measurements.json").write_text(json.dumps({"lesions": [{"number": 1}, {"number": 2, "site": site}]}))


def test_lesions_outside_the_liver_count_neither_for_nor_against(visit, plan):
    code, _, err = plan(visit, "--margin-mm", "8")
    alone = json.loads((visit / "plan.json").read_text())
    far_lesion(visit, "peritoneum")
    code, _, err = plan(visit, "--margin-mm", "8", "--overwrite")
    assert code == 0
    assert "no operation on the liver removes it: lesion 2 (peritoneum)" in " ".join(err.split())
    with_it = json.loads((visit / "plan.json").read_text())
    assert with_it["operations"] == alone["operations"]
    assert with_it["rejected"] == alone["rejected"]
    far_lesion(visit, "liver")
    assert plan(visit, "--margin-mm", "8", "--overwrite")[2] == ""
    in_liver = json.loads((visit / "plan.json").read_text())
    reasons = {entry["operation"]: entry["rejected"] for entry in in_liver["rejected"]}
    assert reasons["right_hepatectomy"] == "leaves lesion 2"


def test_lesions_that_cannot_be_read_are_refused(visit, plan):
    (visit / "measurements.json").write_text('{"lesions": [{"site": "lung"}]}')
    code, _, err = plan(visit)
    assert code == 2
    assert "measurements.json is unreadable" in err


def test_threshold_and_condition(visit, plan):
    plan(visit, "--liver-condition", "cirrhosis")
    assert json.loads((visit / "plan.json").read_text())["protocol"]["threshold_percent"] == 40.0
    plan(visit, "--threshold", "30", "--overwrite")
    protocol = json.loads((visit / "plan.json").read_text())["protocol"]
    assert (protocol["name"], protocol["threshold_percent"]) == ("trial, threshold given", 30.0)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--liver-condition", "healthy"), "liver condition"),
        (("--height-cm", "1.7", "--weight-kg", "70"), "height out of range"),
        (("--weight-kg", "70000"), "weight out of range"),
        (("--margin-mm", "-1"), "wanted margin"),
        (("--threshold", "0.35", "--sex", "both"), "sex"),
        (("--threshold", "120"), "FLR threshold"),
    ],
)
def test_refusals_write_nothing(visit, plan, words, sentence):
    code, _, err = plan(visit, *words)
    assert code == 2
    assert sentence in err
    assert "Traceback" not in err
    assert not (visit / "plan.json").exists()


def test_intervals_come_from_the_stored_spread(visit, plan):
    half = np.zeros((1, 8, 8))
    half[0, 3, 7] = half[0, 7, 3] = 20.0
    spread = SegmentSpread(tuple(range(1, 9)), half, 0.0, "made up")
    (visit / "measurements.json").write_text(json.dumps({"segment_spread": spread_entry(spread)}))
    code, out, _ = plan(visit, "--margin-mm", "8")
    assert code == 0
    got = {entry["operation"]: entry for entry in json.loads((visit / "plan.json").read_text())["operations"]}
    entry = got["right_hepatectomy"]
    functional = (32 * 128 - 18) * GRID.voxel_ml
    low, high = entry["flr_of_functional_percent_interval"]
    assert high - low == pytest.approx(100 * 40.0 / functional)
    # 50 % against 35 %: fifteen points are far more than the half width
    assert entry["probability_at_least_threshold"] > 0.999
    assert "P(enough)" in out
    assert entry["volume_ml_interval"][1] - entry["volume_ml_interval"][0] == pytest.approx(40.0)


def reader_of(visit, segments):
    """A reader's folder, with measurements.json as a reading writes it."""
    folder = visit / "readers" / "R1"
    folder.mkdir(parents=True)
    for name in ("liver", "lesions"):
        (folder / f"{name}.nii.gz").write_bytes((visit / f"{name}.nii.gz").read_bytes())
    write(folder, "segments", segments)
    methods = {"segments": "reader R1, from the machine's"}
    (folder / "measurements.json").write_text(json.dumps({"lesions": [], "provenance": {"methods": methods}}))
    return folder


def test_a_readers_folder_is_planned_with_its_own_sites_and_boundaries(visit, plan):
    half = np.zeros((1, 8, 8))
    half[0, 3, 7] = half[0, 7, 3] = 20.0
    stored = spread_entry(SegmentSpread(tuple(range(1, 9)), half, 0.0, "made up"))
    (visit / "measurements.json").write_text(json.dumps({"segment_spread": stored}))
    plan(visit, "--margin-mm", "8")
    machine = json.loads((visit / "plan.json").read_text())
    # boundaries where the machine drew them: as unsure as it was
    folder = reader_of(visit, phantom())
    assert plan(folder, "--margin-mm", "8")[0] == 0
    assert json.loads((folder / "plan.json").read_text())["operations"] == machine["operations"]
    # the reader moved the main boundary by a column: 1 of 32 more stays, and the machine's doubt is not the reader's
    moved = phantom()
    moved[:, :, 17][moved[:, :, 17] > 0] = 4
    (folder / "segments.nii.gz").unlink()
    write(folder, "segments", moved)
    assert plan(folder, "--margin-mm", "0", "--overwrite")[0] == 0
    got = {entry["operation"]: entry for entry in json.loads((folder / "plan.json").read_text())["operations"]}
    assert got["right_hepatectomy"]["flr_of_functional_percent"] == pytest.approx(100 * 17 * 128 / (32 * 128 - 18))
    assert "flr_of_functional_percent_interval" not in got["right_hepatectomy"]
    # the reader says that the lesion is none of the liver's
    own = json.loads((folder / "measurements.json").read_text())
    (folder / "measurements.json").write_text(json.dumps(own | {"lesions": [{"number": 1, "site": "lung"}]}))
    code, _, err = plan(folder, "--overwrite")
    assert code == 0
    assert "lesion 1 (lung)" in err
    assert "no lesion is marked in the liver" in " ".join(err.split())


@pytest.mark.parametrize("text", ["{", "[]", '{"segment_spread": {}}', '{"segment_spread": {"half_widths_ml": "x"}}'])
def test_a_broken_document_is_refused(visit, plan, text):
    (visit / "measurements.json").write_text(text)
    code, _, err = plan(visit)
    assert code == 2
    assert "measurements.json is unreadable" in err


def test_segments_from_elsewhere_have_no_interval(visit, plan):
    (visit / "measurements.json").write_text(json.dumps({"provenance": {"methods": {"segments": "given"}}}))
    assert plan(visit, "--margin-mm", "8")[0] == 0
    entry = json.loads((visit / "plan.json").read_text())["operations"][0]
    assert "flr_of_functional_percent_interval" not in entry
    assert entry["probability_at_least_threshold"] is None


def test_an_existing_plan_is_kept(visit, plan):
    (visit / "plan.json").write_text("mine")
    code, _, err = plan(visit)
    assert code == 2
    assert "already exists" in err
    assert (visit / "plan.json").read_text() == "mine"


@pytest.mark.parametrize("name", ["liver", "segments"])
def test_a_missing_mask_is_refused(visit, plan, name):
    (visit / f"{name}.nii.gz").unlink()
    code, _, err = plan(visit)
    assert code == 2
    assert f"{name} mask is missing" in err


def test_masks_on_another_grid_are_refused(visit, plan):
    (visit / "lesions.nii.gz").unlink()
    write(visit, "lesions", phantom() == 8, Grid.from_parts(GRID.shape_zyx, GRID.spacing_mm))
    code, _, err = plan(visit)
    assert code == 2
    assert "lesions mask is not on the liver's grid" in err


def test_a_split_fourth_segment_brings_its_operation(visit, plan):
    labels = phantom()
    labels[6:][labels[6:] == 4] = 41
    labels[labels == 4] = 42
    (visit / "segments.nii.gz").unlink()
    write(visit, "segments", labels)
    plan(visit, "--margin-mm", "0")
    document = json.loads((visit / "plan.json").read_text())
    every = {e["operation"]: e for e in document["operations"] + document["rejected"]}
    # 32 columns of 128 voxels; the lesion's 18 voxels stay behind but are no remnant
    left = {"segments:5,42": 32 * 128 - 8 * 64 - 6 * 64 - 18, "left_hepatectomy": 18 * 128 - 18}
    for slug, voxels in left.items():
        assert every[slug]["flr_of_total_percent"] == pytest.approx(100 * voxels / (32 * 128))


def test_a_signed_plan_is_not_replaced(visit, plan):
    assert plan(visit)[0] == 0
    before = (visit / "plan.json").read_bytes()
    (visit / "signoff.json").write_text(json.dumps({"files": {"liver.nii.gz": "", "plan.json": ""}}))
    code, _, said = plan(visit, "--overwrite", "--margin-mm", "3")
    assert code == 2
    assert "signed off" in said
    assert (visit / "plan.json").read_bytes() == before
    # what was not there to be signed may still be planned anew
    (visit / "signoff.json").write_text(json.dumps({"files": {"liver.nii.gz": ""}}))
    assert plan(visit, "--overwrite")[0] == 0
