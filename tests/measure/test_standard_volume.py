from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from livervol.errors import CriteriaError
from livervol.measure.standard_volume import FORMULAS, PatientSize, standard_volumes
from livervol.response.scores import BSA_FORMULAS, body_surface_area_m2


def person(height_cm=170.0, weight_kg=70.0, sex="male", **surfaces):
    return PatientSize(height_cm, weight_kg, sex, surfaces or {"mosteller": body_surface_area_m2(height_cm, weight_kg)})


def volume(key, patient, bsa="mosteller"):
    return next(r.volume_ml for r in standard_volumes(patient) if r.formula.key == key and r.bsa in ("", bsa))


# Hand calculation at BSA 1.5 and 2.1 (published coefficients), 70 kg, 170 cm.
@pytest.mark.parametrize(
    ("key", "at_low", "at_high"),
    [
        ("vauthey_2002_bsa", 1106.51, 1866.878),
        ("urata_1995", 1061.7, 1485.42),
        ("feng_2017", 1013.1165, 1468.0719),
        ("heinemann_1999", 1263.5, 1907.18),
        ("yoshizumi_2003", 1158.0, 1621.2),
        ("hashimoto_2006", 1037.15, 1613.93),
        ("deland_1968", 1310.0, 1922.0),
        ("korea_mosteller", 901.0585, 1437.1495),
        ("johnson_2005", 722 * 1.5**1.176, 722 * 2.1**1.176),
    ],
)
def test_surface_formulas(key, at_low, at_high):
    assert volume(key, person(mosteller=1.5)) == pytest.approx(at_low, rel=1e-12)
    assert volume(key, person(mosteller=2.1)) == pytest.approx(at_high, rel=1e-12)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("vauthey_2002_weight", 1487.5),
        ("chan_2006", 1130.0),
        ("tu_2007", 1276.05),
        ("fu_gui_2009", 1139.584),
        ("lin_1998", 1520.0),
        ("yu_2004", 21.585 * 70**0.732 * 170**0.225),
    ],
)
def test_weight_formulas(key, expected):
    assert volume(key, person()) == pytest.approx(expected, rel=1e-12)


def test_sex_matters_where_the_formula_says_so():
    assert volume("chan_2006", person(sex="F")) == pytest.approx(1079.0)


def test_korean_formulas_keep_their_own_surface():
    rows = standard_volumes(person(mosteller=1.8, dubois=1.7))
    found = {r.formula.key: (r.bsa, r.volume_ml) for r in rows if r.formula.bsa}
    assert found["korea_dubois"] == ("dubois", pytest.approx(908.204 * 1.7 - 464.728))
    assert found["korea_mosteller"] == ("mosteller", pytest.approx(893.485 * 1.8 - 439.169))


def test_mean_errors_over_real_patients(shared):
    # Nawaratne 1998, table 1: about +3 % for Vauthey, -12 % for Urata, -14 % for Feng
    with (shared / "oracles" / "liver_volume" / "nawaratne1998_tab1.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert len(rows) == 21
    for key, expected in (("vauthey_2002_bsa", 3.0), ("urata_1995", -12.0), ("feng_2017", -14.0)):
        errors = []
        for row in rows:
            patient = person(None, float(row["weight_kg"]), row["sex"], mosteller=float(row["bsa_m2"]))
            errors.append(100 * (volume(key, patient) / float(row["liver_volume_ml"]) - 1))
        assert np.mean(errors) == pytest.approx(expected, abs=1.0)


def test_every_surface_method_of_the_reference_table(shared):
    cases = json.loads((shared / "oracles" / "clinical_scores" / "cases.json").read_text())["bsa"]["cases"]
    assert {case[0].lower() for case in cases} == set(BSA_FORMULAS)
    for method, height_cm, weight_kg, expected in cases:
        # printed to three decimals
        assert body_surface_area_m2(height_cm, weight_kg, method.lower()) == pytest.approx(expected, abs=5.1e-4)


def test_the_default_comes_first_and_every_pair_is_there():
    surfaces = {name: body_surface_area_m2(170, 70, name) for name in BSA_FORMULAS}
    rows = standard_volumes(PatientSize(170, 70, "male", surfaces))
    assert (rows[0].formula.key, rows[0].bsa) == ("vauthey_2002_bsa", "mosteller")
    by_any = [f for f in FORMULAS.values() if "bsa" in f.needs and not f.bsa]
    others = len(FORMULAS) - len(by_any)
    assert len(rows) == len(by_any) * len(BSA_FORMULAS) + others
    assert len({(r.formula.key, r.bsa) for r in rows}) == len(rows)
    assert "Vauthey 2002" in rows[0].method
    assert rows[0].method.endswith("BSA mosteller")


def test_what_is_not_given_is_absent_with_the_reason():
    reasons = {r.formula.key: r.reason for r in standard_volumes(PatientSize(weight_kg=70))}
    assert reasons["tu_2007"] == ""
    assert reasons["chan_2006"] == "not given: sex"
    assert reasons["lin_1998"] == "not given: height"
    assert reasons["urata_1995"] == "not given: height and weight"


def test_a_body_outside_the_formula_gives_no_number():
    rows = standard_volumes(PatientSize(70, 8, "female", {"mosteller": 0.4}))
    absent = {r.formula.key for r in rows if r.volume_ml is None}
    assert {"vauthey_2002_bsa", "lin_1998"} <= absent
    assert "urata_1995" not in absent


@pytest.mark.parametrize(
    "wrong",
    [
        {"height_cm": 1.75},
        {"height_cm": 1750},
        {"weight_kg": 70000},
        {"weight_kg": 0},
        {"sex": "x"},
        {"bsa_m2": {"a": 17.5}},
    ],
)
def test_another_unit_is_refused(wrong):
    with pytest.raises(CriteriaError):
        PatientSize(**wrong)


def test_metres_are_refused_by_the_surface_too():
    with pytest.raises(CriteriaError, match="height"):
        body_surface_area_m2(1.75, 70)
