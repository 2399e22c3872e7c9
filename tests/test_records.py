from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

from livervol.errors import CriteriaError
from livervol.records import Course, Interval, Lesion, Measurement, Visit


def test_absent_needs_a_reason():
    with pytest.raises(CriteriaError, match="without a reason"):
        Measurement("longest_mm", None, "mm")
    assert Measurement("longest_mm", None, "mm", reason="outside the field").value is None


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_are_finite(value):
    with pytest.raises(CriteriaError, match="not finite"):
        Measurement("volume_ml", value, "ml")


def test_units_are_a_short_list():
    with pytest.raises(CriteriaError, match="unit is not known.*'cm'"):
        Measurement("longest_mm", 1.0, "cm")


@pytest.mark.parametrize(("low", "high"), [(2, 1), (float("nan"), 1)])
def test_interval_is_ordered(low, high):
    with pytest.raises(CriteriaError, match="not ordered"):
        Interval(low, high)


@pytest.mark.parametrize("change", [{"number": 0}, {"role": "main"}, {"site": "hepar"}, {"state": "gone"}])
def test_lesion_words_are_checked(change):
    with pytest.raises(CriteriaError):
        Lesion(**({"number": 1} | change))


def test_lesion_lookup():
    lesion = Lesion(2, measurements=(Measurement("longest_mm", 31.5, "mm"),))
    assert lesion.value("longest_mm") == 31.5
    assert lesion.value("volume_ml") is None


def test_a_lesion_is_listed_once_a_visit():
    with pytest.raises(CriteriaError, match=r"listed twice.*\[3\].*visit 2"):
        Visit(2, lesions=(Lesion(3), Lesion(1), Lesion(3)))


def test_course_sorts_its_visits():
    assert [v.number for v in Course("P1", (Visit(3), Visit(1), Visit(2))).visits] == [1, 2, 3]


@pytest.mark.parametrize("module", ["livervol", "livervol.records", "livervol.response", "livervol.cli"])
def test_light_modules_load_no_arrays(module):
    code = f"import sys, {module}; print(sorted({{'numpy', 'numba', 'SimpleITK'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_lesions_and_visits_survive_pickling_with_their_words():
    lesion = Lesion(2, "target", attributes={"kind": "mass"}, measurements=(Measurement("longest_mm", 31.5, "mm"),))
    visit = Visit(1, "2024-01", "r1", True, (lesion,), (Measurement("sum_mm", 31.5, "mm"),), {"markers": "normal"})
    again = pickle.loads(pickle.dumps(visit))
    assert again == visit
    assert again.lesions[0].attributes["kind"] == "mass"
    with pytest.raises(TypeError):
        again.attributes["markers"] = "abnormal"


def test_visit_lookup():
    visit = Visit(1, measurements=(Measurement("sum_mm", 31.5, "mm"),))
    assert visit.value("sum_mm") == 31.5
    assert visit.value("other") is None


def test_words_are_kept_apart_from_the_mapping_given():
    words = {"kind": "mass"}
    lesion = Lesion(1, attributes=words)
    words["kind"] = "cyst"
    assert lesion.attributes["kind"] == "mass"
