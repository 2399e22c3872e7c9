from __future__ import annotations

import pytest

from livervol.errors import CriteriaError
from livervol.response.scores import BSA_FORMULAS, ChildPughBands, Lab, body_surface_area_m2, child_pugh


@pytest.mark.parametrize(
    ("lab", "position", "message"),
    [
        (Lab(38.0, "g/dL"), 1, "albumin does not fit its unit.*g/l"),
        (Lab(3.8, "g/L"), 1, "albumin does not fit its unit.*g/dl"),
        (Lab(1.2, "umol/L"), 0, "bilirubin does not fit its unit.*mg/dl"),
        (Lab(85.0, "mg/dL"), 0, "bilirubin does not fit its unit.*umol/l"),
        (Lab(float("nan"), "mg/dL"), 0, "bilirubin does not fit its unit"),
        (Lab(-1.0, "mg/dL"), 0, "bilirubin does not fit its unit"),
        (Lab(1.0, "mg"), 0, "bilirubin unit"),
        (Lab(1.0, ""), 0, "bilirubin unit"),
        (Lab(70.0, "INR"), 2, "clotting does not fit its unit"),
        (Lab(70.0, "%"), 2, "clotting unit"),
    ],
)
def test_unit_traps(lab, position, message):
    labs = [Lab(1.0, "mg/dL"), Lab(4.0, "g/dL"), Lab(1.0, "INR")]
    labs[position] = lab
    with pytest.raises(CriteriaError, match=message):
        child_pugh(*labs, "none", "none")


@pytest.mark.parametrize(("ascites", "encephalopathy"), [("much", "none"), ("none", "5")])
def test_grades_nobody_knows_are_refused(ascites, encephalopathy):
    with pytest.raises(CriteriaError, match="grade"):
        child_pugh(None, None, None, ascites, encephalopathy)


def test_an_inr_may_come_without_a_unit():
    score = child_pugh(Lab(1.0, "mg/dL"), Lab(4.0, "g/dL"), Lab(1.8, ""), "none", "0")
    assert score.total == 6


def test_other_bands_are_a_setting():
    chinese = ChildPughBands(bilirubin_umol_l=(34.0, 51.0))
    lab = (Lab(34.1, "umol/L"), Lab(40.0, "g/L"), Lab(1.0, "INR"), "none", "none")
    assert child_pugh(*lab).total == 5
    assert child_pugh(*lab, chinese).total == 6


@pytest.mark.parametrize(
    ("height", "weight", "message"), [(1.7, 70.0, "height"), (170.0, 70000.0, "weight"), (float("nan"), 70.0, "height")]
)
def test_body_size_in_another_unit_is_refused(height, weight, message):
    with pytest.raises(CriteriaError, match=message):
        body_surface_area_m2(height, weight)
    with pytest.raises(CriteriaError, match="BSA formula"):
        body_surface_area_m2(170, 70, "unknown")


@pytest.mark.parametrize("formula", BSA_FORMULAS)
def test_body_surface_area_grows_with_size(formula):
    assert body_surface_area_m2(180, 80, formula) > body_surface_area_m2(170, 80, formula)
    assert body_surface_area_m2(170, 81, formula) > body_surface_area_m2(170, 80, formula)
