"""Two blinded readers, their differences, kappa, and the adjudicated reading."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from livervol.edit.brush import Brush, erase, paint
from livervol.errors import LivervolError
from livervol.workflows.reading import Reading, ReadingSettings
from livervol.workflows.reading_folder import ADJUDICATED, reader_folder
from livervol.workflows.reading_lesions import remove_lesion, renumber_lesion, set_role, set_site
from livervol.workflows.reading_review import (
    agreement,
    compare,
    differing_voxels,
    open_adjudication,
    readers_of,
    write_comparison,
)
from livervol.workflows.reading_save import save, sign_off
from reading_visit import RESECTION, make_visit

START = ReadingSettings(resections=(RESECTION,))


@pytest.fixture(scope="module")
def read_twice(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    visits = [make_visit(folder / "visit_1"), make_visit(folder / "visit_2", shrink=3.0)]
    with Reading.open(visits[1], "A", earlier=visits[:1], settings=START) as first:
        first.apply(erase(first.canvas("liver"), [(12, 20, 37)], Brush(8.0, None)))
        set_role(first, 2, "non_target")
        assert readers_of(visits[1]) == {"A": False}
        sign_off(first)
    with Reading.open(visits[1], "B", earlier=visits[:1], settings=START) as second:
        remove_lesion(second, 1, "an artefact")
        renumber_lesion(second, 2, 4)
        second.apply(paint(second.canvas("lesions"), [(8, 12, 26)], Brush(6.0, None), 5))
        set_site(second, 5, "lung")
        with pytest.raises(LivervolError, match="blinded until both have signed off"):
            compare(visits[1], "A", "B")
        sign_off(second)
    return visits


def test_differences_are_told_mask_by_mask_and_lesion_by_lesion(read_twice, tmp_path):
    found = compare(read_twice[1], "A", "B")
    assert readers_of(read_twice[1]) == {"A": True, "B": True}
    own = [json.loads((reader_folder(read_twice[1], r) / "measurements.json").read_text()) for r in "AB"]
    liver = next(m for m in found.masks if m.mask == "liver")
    assert liver.first_ml == pytest.approx(own[0]["liver"]["volume_ml"])
    assert liver.second_ml == pytest.approx(own[1]["liver"]["volume_ml"])
    assert liver.second_ml - liver.first_ml == pytest.approx(liver.only_second_ml - liver.only_first_ml)
    assert 0.9 < liver.dice < 1
    pairs = {(p.first, p.second): p for p in found.lesions}
    assert set(pairs) == {(2, 4), (1, None), (None, 5)}
    assert pairs[(2, 4)].dice == 1.0
    values = pairs[(2, 4)].values["longest_mm"]
    assert values[0] == values[1] == own[0]["lesions"][1]["longest_mm"]
    assert found.numbers["liver.volume_ml"] == (own[0]["liver"]["volume_ml"], own[1]["liver"]["volume_ml"])
    assert found.numbers[f"remnant.{RESECTION}.flr_of_functional_percent"][0] is not None
    assert any("lesion 1: only A" in s for s in found.disagreements)
    assert any("lesion 5: only B" in s for s in found.disagreements)
    written = json.loads(write_comparison(found, tmp_path / "comparison.json").read_text())
    assert written["readers"] == ["A", "B"]
    shown = differing_voxels(read_twice[1], "A", "B", "liver")
    counts = np.bincount(shown.ravel(), minlength=4)
    assert counts[1] == 0
    assert counts[2] > 0
    assert counts[3] > counts[2]


def test_kappa_over_visits(read_twice):
    found = compare(read_twice[1], "A", "B")
    same = replace(found, responses={"mrecist": ("PR", "PR")})
    other = replace(found, responses={"mrecist": ("SD", "SD")})
    mixed = replace(found, responses={"mrecist": ("PR", "SD")})
    assert agreement([same, other, same, other]).value == pytest.approx(1.0)
    # observed 3/4; by chance PR 2/4 x 1/4 + SD 2/4 x 3/4 = 1/2: kappa 1/2
    assert agreement([same, other, mixed, other]).value == pytest.approx(0.5)
    with pytest.raises(LivervolError, match="kappa needs visits"):
        agreement([replace(found, responses={"mrecist": ("", "")})] * 3)


def test_the_adjudicator_picks_edits_and_signs(read_twice):
    visit = read_twice[1]
    with pytest.raises(LivervolError, match="pick"):
        open_adjudication(visit, ("A", "B"), {"spleen": "A"})
    with open_adjudication(visit, ("A", "B"), {"lesions": "B"}, settings=START) as taken:
        # where it lies comes with a lesion, other decisions do not
        assert (taken.lesion_numbers, taken.extrahepatic) == ((4, 5), {5})
        assert set(taken.settings) == {"resections", "lesion.5.site"}
    shutil.rmtree(reader_folder(visit, ADJUDICATED))
    picks = {"liver": "B", "lesions": "A", "decisions": "A"}
    with open_adjudication(visit, ("A", "B"), picks, earlier=read_twice[:1], settings=START) as reading:
        assert reading.folder == reader_folder(visit, ADJUDICATED)
        assert reading.lesion_numbers == (1, 2)
        assert reading.settings["lesion.2.role"] == "non_target"
        assert "liver by B" in reading.records[-1].step.reason
        whole = json.loads((reader_folder(visit, "B") / "measurements.json").read_text())
        assert reading.numbers().liver_ml == pytest.approx(whole["liver"]["volume_ml"], rel=0.01)
        save(reading)
    with open_adjudication(visit, ("A", "B"), {"liver": "A"}, settings=START) as again:
        assert len([r for r in again.records if r.kind == "step"]) == 1
        sign_off(again, "final")
    with Reading.open(visit, "C") as late:
        with pytest.raises(LivervolError, match="adjudicated and signed off"):
            set_role(late, 1, "target")
