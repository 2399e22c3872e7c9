"""Vessels and segments in a visit's output, and the vessels under an operation, on a liver with known trees."""

from __future__ import annotations

import json

import numpy as np
import pytest

from livervol.errors import ScanError
from livervol.io.images import read_labels
from livervol.io.nifti import write_nifti_labels
from livervol.scan import Segmentation
from livervol.workflows.plan import PlanSettings, plan_visit
from livervol.workflows.visit import GivenMasks, VisitSettings, measure_masks
from vessel_phantom import VesselPhantom


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """The phantom's own liver, vessels and segments, measured for a right hepatectomy."""
    folder = tmp_path_factory.mktemp("anatomy")
    phantom = VesselPhantom()
    lesion = np.zeros_like(phantom.segments.labels)
    place = np.argwhere(phantom.segments.labels == 6).mean(axis=0).astype(int)
    lesion[tuple(slice(p - 2, p + 3) for p in place)] = 1
    lesions = Segmentation(lesion, phantom.liver.grid, {1: "lesion 1"})
    for name, mask in (
        ("liver", phantom.liver),
        ("vessels", phantom.vessels),
        ("segments", phantom.segments),
        ("lesions", lesions),
    ):
        write_nifti_labels(folder / f"{name}.nii.gz", mask)
    given = GivenMasks(
        liver=folder / "liver.nii.gz",
        lesions=folder / "lesions.nii.gz",
        segments=folder / "segments.nii.gz",
        vessels=folder / "vessels.nii.gz",
    )
    out = measure_masks(given, [], folder / "out", settings=VisitSettings(resections=("right_hepatectomy",)))
    return phantom, out


def test_given_vessels_are_kept_and_read_as_trees(measured):
    phantom, out = measured
    written = read_labels(out.folder / "vessels.nii.gz")
    assert np.array_equal(written.labels, np.where(phantom.liver.labels != 0, phantom.vessels.labels, 0))
    entry = out.document["vessels"]
    assert set(entry["confidence"]) == {"portal", "hepatic"}
    assert entry["main"]
    assert "segments_disagreement" not in out.masks


def test_a_right_hepatectomy_takes_the_right_veins(measured):
    _, out = measured
    vessels = out.document["remnant"]["right_hepatectomy"]["vessels"]
    assert vessels["branches_cut"] >= 1
    kept = {key: value["kept_percent"] for key, value in vessels.items() if isinstance(value, dict)}
    right = [value for key, value in kept.items() if key.startswith("right")]
    # which branches get a name is the shape network's word; on an ellipsoid it knows only some
    assert right
    assert max(right) < 50
    assert all(value > 50 for key, value in kept.items() if key.startswith("left"))
    assert vessels["intact"] in (0.0, 1.0, None)
    if vessels["intact"] is None:
        assert "unknown" in vessels["intact_reason"]


def test_segments_without_given_ones_disagree_somewhere(measured, tmp_path):
    phantom, out = measured
    given = GivenMasks(liver=out.folder / "liver.nii.gz", vessels=out.folder / "vessels.nii.gz")
    found = measure_masks(given, [], tmp_path / "out", settings=VisitSettings(segments_method="combined"))
    assert (tmp_path / "out" / "segments_disagreement.nii.gz").is_file()
    differ = found.masks["segments_disagreement"].mask()
    share = 100.0 * differ.sum() / phantom.liver.mask().sum()
    assert found.document["segments_disagreement_percent"]["any"] == pytest.approx(share, abs=0.01)
    assert not (differ & ~phantom.liver.mask()).any()


def test_an_unknown_method_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(ScanError, match="shape or combined"):
        measure_masks(GivenMasks(), [], tmp_path / "out", settings=VisitSettings(segments_method="guess"))
    assert not (tmp_path / "out").exists()


def test_a_plan_tells_of_the_vessels_when_asked(measured):
    _, out = measured
    plan = plan_visit(out.folder, PlanSettings(margin_mm=0.0, uncertainty=False, vessels=True))
    for row in (*plan.possible, *plan.rejected):
        assert "vessels.intact" in row.measurements
    document = json.loads((out.folder / "plan.json").read_text(encoding="utf-8"))
    assert "vessels" in document["operations"][0]


def test_a_plan_is_no_surer_of_the_veins_than_the_run_was(measured, tmp_path):
    _, out = measured
    path = out.folder / "measurements.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    document["vessels"]["confidence"] = {"portal": 0.1, "hepatic": 0.1}
    before = path.read_text(encoding="utf-8")
    path.write_text(json.dumps(document), encoding="utf-8")
    plan = plan_visit(out.folder, PlanSettings(margin_mm=0.0, uncertainty=False, vessels=True, overwrite=True))
    own = out.folder / "readers" / "R1"
    own.mkdir(parents=True)
    for name in ("liver", "segments", "lesions", "vessels"):
        (own / f"{name}.nii.gz").write_bytes((out.folder / f"{name}.nii.gz").read_bytes())
    read = plan_visit(own, PlanSettings(margin_mm=0.0, uncertainty=False, vessels=True))
    path.write_text(before, encoding="utf-8")
    assert all(row.measurements["vessels.intact"].value is None for row in (*read.possible, *read.rejected))
    assert all(row.measurements["vessels.intact"].value is None for row in (*plan.possible, *plan.rejected))


def test_a_plan_without_a_vessel_mask_is_refused(measured, tmp_path):
    _, out = measured
    for name in ("liver", "segments"):
        (tmp_path / f"{name}.nii.gz").write_bytes((out.folder / f"{name}.nii.gz").read_bytes())
    with pytest.raises(ScanError, match="vessels mask is missing"):
        plan_visit(tmp_path, PlanSettings(uncertainty=False, vessels=True))
