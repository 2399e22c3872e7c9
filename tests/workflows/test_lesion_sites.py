"""Lesions outside the liver: given as a mask with sites, judged by any enhancement, kept out of the liver's numbers."""

import json
from dataclasses import replace

import numpy as np
import pytest

from liver_phantom import GRID, Abdomen
from livervol.errors import CriteriaError, LivervolError
from livervol.io.nifti import write_nifti_labels, write_nifti_scan
from livervol.measure.visit import at_sites, measure_visit, summed, visit_parts
from livervol.records import Visit
from livervol.response.conversion import extrahepatic_state
from livervol.scan import Phase, Segmentation
from livervol.segment.viability import segment_viability
from livervol.workflows.visit import GivenMasks, VisitSettings, measure_masks, run_visit

A = Abdomen()
IN_LIVER = A.ball((10.0, -20.0, 15.0), 30)
# a node in the fat beside the liver, 20 mm wide
NODE = A.ball((0.0, 62.0, 55.0), 20) & ~A.liver
LABELS = np.where(IN_LIVER, 1, np.where(NODE, 2, 0)).astype(np.uint8)
LESIONS = Segmentation(LABELS, GRID, {1: "lesion 1", 2: "lesion 2"})
SITES = {2: "other_node"}


def phases(node_late, node_portal):
    parts = [(Phase.NATIVE, 55, 50, 40), (Phase.LATE_ARTERIAL, 75, 130, node_late)]
    parts.append((Phase.PORTAL_VENOUS, 110, 80, node_portal))
    found = [A.scan(liver, [(IN_LIVER, tumour), (NODE, node)], p, seed=4) for p, liver, tumour, node in parts]
    return {scan.phase: scan for scan in found}


def viable_share(result, number):
    return float((result.viable.labels[number == LABELS] == number).mean())


def test_a_node_that_enhances_less_than_liver_is_alive_outside_it_only():
    # 35 HU over native in the portal phase alone
    scans = phases(50, 75)
    inside = segment_viability(scans, A.mask, LESIONS)
    outside = segment_viability(scans, A.mask, LESIONS, extrahepatic=[2])
    assert viable_share(inside, 2) == 0
    assert viable_share(outside, 2) > 0.7
    np.testing.assert_array_equal(inside.viable.labels == 1, outside.viable.labels == 1)


def test_a_node_that_never_enhances_is_dead():
    result = segment_viability(phases(40, 42), A.mask, LESIONS, extrahepatic=[2])
    assert viable_share(result, 2) == 0
    assert (result.necrosis.labels == 2).any()


def test_without_native_soft_tissue_is_assumed():
    scans = phases(50, 90)
    del scans[Phase.NATIVE]
    # towards the fat around it the node fades below 65 HU within a voxel or two: a fifth to a third of a 20 mm ball
    assert viable_share(segment_viability(scans, A.mask, LESIONS, extrahepatic=[2]), 2) > 0.5


def test_only_lesions_of_the_liver_are_tumour_of_the_liver():
    plain = measure_visit(A.mask, LESIONS)
    sited = summed(at_sites(visit_parts(A.mask, LESIONS), SITES))
    alone = measure_visit(A.mask, replace(LESIONS, labels=np.where(IN_LIVER, 1, 0).astype(np.uint8), names={1: "1"}))
    for name in ("tumor.volume_ml", "liver.functional_volume_ml"):
        assert sited.value(name) == alone.value(name)
    assert plain.value("tumor.volume_ml") > sited.value("tumor.volume_ml")
    assert any("partly outside the liver" in w for w in plain.warnings)
    assert not any("partly outside the liver" in w for w in sited.warnings)
    node = sited.lesions[1]
    assert (node.site, node.node) == ("other_node", True)
    assert node.measurements == plain.lesions[1].measurements
    # a ball of 20 mm cut by the liver: the short axis within a voxel diagonal below it
    assert 20 - 2 * np.hypot(2.0, 1.9) < node.value("short_axis_mm") < 20 + np.hypot(2.0, 1.9)


def test_wrong_sites_are_refused():
    parts = visit_parts(A.mask, LESIONS)
    with pytest.raises(LivervolError, match=r"site of a lesion that is not there: expected lesions 1, 2, got 7"):
        at_sites(parts, {7: "lung"})
    with pytest.raises(CriteriaError, match="site"):
        at_sites(parts, {2: "knee"})


def test_masks_with_sites_are_measured_and_feed_the_conversion_check(tmp_path):
    dead = segment_viability(phases(40, 42), A.mask, LESIONS, extrahepatic=[2]).viable
    for name, mask in (("liver", A.mask), ("lesions", LESIONS), ("viable", dead)):
        write_nifti_labels(tmp_path / f"{name}.nii.gz", mask)
    given = GivenMasks(*(tmp_path / f"{name}.nii.gz" for name in ("liver", "lesions", "viable")))
    lung = VisitSettings(sites=((2, "lung"),))
    output = measure_masks(given, [], tmp_path / "visit", settings=lung)
    document = json.loads((tmp_path / "visit" / "measurements.json").read_text())
    assert [lesion["site"] for lesion in document["lesions"]] == ["liver", "lung"]
    assert document["provenance"]["settings"]["sites"] == {"2": "lung"}
    assert extrahepatic_state([Visit(1, lesions=output.measured.lesions)])[0] == "necrotic"
    node = measure_masks(given, [], tmp_path / "node", settings=VisitSettings(sites=((2, "other_node"),)))
    # dead or not, a node of 20 mm is no normal node
    assert extrahepatic_state([Visit(1, lesions=node.measured.lesions)])[0] == "viable"


def test_sites_need_a_mask(tmp_path):
    write_nifti_scan(tmp_path / "a.nii.gz", phases(40, 42)[Phase.PORTAL_VENOUS])
    with pytest.raises(LivervolError, match="sites without a lesion mask"):
        run_visit([tmp_path / "a.nii.gz"], tmp_path / "out", settings=VisitSettings(sites=((2, "lung"),)))
    assert not (tmp_path / "out").exists()
