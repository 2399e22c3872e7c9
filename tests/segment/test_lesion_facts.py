"""What is told of a lesion for mRECIST eligibility: phantoms whose enhancement, washout and border are known."""

import numpy as np
import pytest
from scipy import ndimage

from conftest import oblique_grid
from liver_phantom import GRID, SHAPE, SPACING, Abdomen
from livervol.errors import GridError, ScanError
from livervol.records import Lesion, Measurement, Visit
from livervol.response import rules
from livervol.response.targets import propose_targets
from livervol.scan import Phase, Scan, Segmentation
from livervol.segment.lesion_facts import DELINEATED_PERCENT, border_percent, lesion_facts
from livervol.segment.viability import segment_viability

A = Abdomen()
LESION = A.ball((10.0, -20.0, 15.0), 44)
LESIONS = Segmentation(LESION.astype(np.uint8), GRID, {1: "lesion 1"})


def facts(scans, **options):
    phases = {scan.phase: scan for scan in scans}
    judged = segment_viability(phases, A.mask, LESIONS, **options)
    return lesion_facts(phases, A.mask, LESIONS, judged)[1]


def visit_scans(late, portal, native=50, part=LESION):
    return [
        A.scan(55, [(part, native)], Phase.NATIVE, seed=1),
        A.scan(75, [(part, late)], Phase.LATE_ARTERIAL, seed=2),
        A.scan(110, [(part, portal)], Phase.PORTAL_VENOUS, seed=3),
    ]


def faded(phase, liver, contrast):
    """A lesion whose contrast fades over centimetres: no border to draw."""
    away = ndimage.distance_transform_edt(LESION, SPACING) - ndimage.distance_transform_edt(~LESION, SPACING)
    plain = A.scan(liver, [], phase, seed=4)
    values = plain.voxels + contrast / (1 + np.exp(-away / 9.0)) * A.liver
    return Scan(values.astype(np.int16), GRID, phase=phase)


def test_bright_then_dark_is_typical_and_sharp():
    words = facts(visit_scans(late=130, portal=80))
    assert words["enhancement"] == "typical"
    assert (words["arterial_enhancement"], words["washout"]) == ("yes", "yes")
    assert float(words["delineated_percent"]) > 80
    assert "kind" not in words
    assert "treated" not in words


def test_bright_without_washout_is_not_called_typical():
    words = facts(visit_scans(late=130, portal=112))
    assert (words["arterial_enhancement"], words["washout"]) == ("yes", "no")
    assert "enhancement" not in words


def test_dark_in_every_phase_is_atypical():
    words = facts(visit_scans(late=55, portal=60))
    assert (words["enhancement"], words["arterial_enhancement"]) == ("atypical", "no")


def test_without_an_arterial_phase_enhancement_stays_open():
    words = facts([A.scan(110, [(LESION, 60)], Phase.PORTAL_VENOUS)])
    assert "delineated_percent" in words
    assert not {"enhancement", "arterial_enhancement", "washout"} & set(words)


def test_an_early_arterial_phase_counts_only_where_accepted():
    scans = [A.scan(60, [(LESION, 120)], Phase.EARLY_ARTERIAL), A.scan(110, [(LESION, 70)], Phase.PORTAL_VENOUS)]
    assert "arterial_enhancement" not in facts(scans)
    assert facts(scans, accept_early_arterial=True)["enhancement"] == "typical"


def test_lipiodol_tells_of_treatment_and_leaves_enhancement_open():
    words = facts(visit_scans(late=300, portal=300, native=290))
    assert words["treated"] == "yes"
    assert "enhancement" not in words


def test_a_fading_lesion_is_infiltrative():
    words = facts([faded(Phase.LATE_ARTERIAL, 75, 60.0), faded(Phase.PORTAL_VENOUS, 110, -50.0)])
    assert float(words["delineated_percent"]) < DELINEATED_PERCENT - 5
    assert words["kind"] == "infiltrative"


def test_a_lesion_of_bright_and_dark_parts_has_a_border():
    bright = LESION & (np.indices(SHAPE).sum(axis=0) // 8 % 2 == 0)
    for part in (bright, LESION & ~bright):
        assert part.sum() > 0.3 * LESION.sum()
    scan = A.scan(75, [(bright, 115), (LESION & ~bright, 35)], Phase.LATE_ARTERIAL)
    # parts change every 8 voxels: the Gaussian of a side sees both near such a change, and little contrast there
    assert border_percent([scan.voxels], LESION, A.liver & ~LESION, SPACING) > DELINEATED_PERCENT + 15


def test_a_border_outside_the_liver_is_not_judged():
    values = A.scan(110, [(LESION, 60)]).voxels
    assert border_percent([values], LESION, np.zeros(SHAPE, bool), SPACING) is None


def test_facts_decide_what_can_be_a_target():
    def role(scans, viable_mm=44.0):
        lengths = (Measurement("longest_mm", 44.0, "mm"), Measurement("viable_longest_mm", viable_mm, "mm"))
        visit = Visit(1, lesions=(Lesion(1, measurements=lengths, attributes=facts(scans)),))
        (proposal,) = propose_targets(visit, rules("mrecist"))
        return proposal.role, proposal.reason

    assert role(visit_scans(130, 80))[0] == "target"
    # no arterial enhancement: a target by its whole diameter, whatever is viable
    assert role(visit_scans(55, 60), 0.0)[0] == "target"
    fading = role([faded(Phase.LATE_ARTERIAL, 75, 60.0)])
    assert fading[0] == "non_target"
    assert "infiltrative" in fading[1]
    assert role(visit_scans(300, 300, native=290), 0.0)[0] == "non_target"
    assert role(visit_scans(300, 300, native=290), 12.0)[0] == "target"


def test_refusals():
    scans = {s.phase: s for s in visit_scans(130, 80)}
    judged = segment_viability(scans, A.mask, LESIONS)
    with pytest.raises(ScanError, match="at least one phase"):
        lesion_facts({}, A.mask, LESIONS, judged)
    moved = Segmentation(LESION.astype(np.uint8), oblique_grid(SHAPE, (3.4, 2.0, 2.0)), {1: "lesion 1"})
    with pytest.raises(GridError):
        lesion_facts(scans, A.mask, moved, judged)
