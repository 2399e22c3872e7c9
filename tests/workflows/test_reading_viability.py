"""A lesion added by one click is judged as the main job judges it, marked, undoable, correctable, and never silent."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from livervol.edit.brush import Brush, erase, paint
from livervol.edit.gesture import Gesture
from livervol.edit.journal import read_records, rebuild
from livervol.errors import LivervolError
from livervol.io.images import read_labels
from livervol.scan import Phase
from livervol.segment.viability import segment_viability
from livervol.workflows.reading import Reading
from livervol.workflows.reading_lesions import add_lesion, remove_lesion, set_site
from livervol.workflows.reading_save import save, sign_off
from livervol.workflows.reading_viability import (
    JUDGED,
    apply_viability,
    judge_viability,
    viability_task,
    waiting_lesions,
)
from livervol.workflows.visit import GivenMasks, VisitSettings, run_visit
from reading_visit import RESECTION, make_visit

#: Where lesion 2 of the phantom lies.
AT = (14, 24, 32)


@pytest.fixture(scope="module")
def visit(tmp_path_factory):
    return make_visit(tmp_path_factory.mktemp("viability") / "visit")


@pytest.fixture
def reading(visit):
    """Lesion 2 taken away and clicked again: it is lesion 3 now."""
    shutil.rmtree(visit / "readers", ignore_errors=True)
    with Reading.open(visit, "R1") as opened:
        remove_lesion(opened, 2)
        add_lesion(opened, Gesture.of("click", AT), "late_arterial")
        yield opened


def row_of(reading, number):
    return next(row for row in reading.numbers().table if row.number == number)


def test_until_it_is_judged_a_lesion_says_so_and_is_not_signed(reading):
    assert waiting_lesions(reading) == (3,)
    assert row_of(reading, 3).viability == "waiting"
    assert any("lesion 3" in problem for problem in reading.numbers().problems)
    with pytest.raises(LivervolError, match="lesion 3: its viability has not been judged"):
        sign_off(reading)


def test_computed_viability_is_that_of_the_main_job_and_its_numbers_too(reading, visit, tmp_path):
    step = judge_viability(reading)
    assert step is not None
    assert step.tool == JUDGED
    row = row_of(reading, 3)
    assert row.viability == "computed"
    assert row.viable_volume_ml > 0.5 * row.volume_ml  # the phantom's lesion enhances as a whole
    assert not reading.numbers().problems
    folder = save(reading)
    entry = json.loads((folder / "measurements.json").read_text())["lesions"][1]
    assert (entry["number"], entry["viability"]) == (3, "computed")

    # the main job on the same liver and lesions
    given = GivenMasks(**{n: folder / f"{n}.nii.gz" for n in ("liver", "lesions", "segments")})
    words = [f"{p}={visit / 'phases' / p}.nii.gz" for p in ("late_arterial", "portal_venous")]
    judged = run_visit(words, tmp_path / "judged", given=given, settings=VisitSettings(resections=(RESECTION,)))
    own = read_labels(folder / "viable.nii.gz").labels == 3
    assert own.any()
    assert np.array_equal(own, judged.masks["viable"].labels == 3)
    uncertain = reading.masks.get("uncertain", np.zeros_like(own))
    assert np.array_equal(uncertain == 3, judged.masks["uncertain"].labels == 3)

    # and its numbers when it is given the reader's viable part as well
    given = GivenMasks(**{n: folder / f"{n}.nii.gz" for n in ("liver", "lesions", "viable", "segments")})
    again = run_visit(words, tmp_path / "again", given=given).document
    theirs = next(one for one in again["lesions"] if one["number"] == 3)
    shared = [key for key in entry if key.endswith(("_ml", "_mm", "_percent"))]
    assert len(shared) > 6
    assert {k: entry[k] for k in shared} == {k: theirs[k] for k in shared}


def test_it_is_one_step_of_the_journal_and_can_be_undone(reading):
    before = {n: m.copy() for n, m in reading.masks.items()}
    records = len(reading.records)
    judge_viability(reading)
    assert len(reading.records) == records + 1
    replayed = rebuild(read_records(reading.journal.path))
    assert replayed.settings["lesion.3.viability"] == "computed"
    assert np.array_equal(replayed.masks["viable"], reading.masks["viable"])
    reading.undo()
    assert all(np.array_equal(reading.masks[n], m) for n, m in before.items())
    assert set(reading.masks) == set(before)
    assert waiting_lesions(reading) == (3,)
    assert judge_viability(reading, []) is None


def test_drawing_on_a_computed_part_makes_it_the_readers(reading):
    judge_viability(reading)
    reading.apply(erase(reading.canvas("viable", number=3), [AT], Brush(4.0, None), [3]))
    assert row_of(reading, 3).viability == "corrected"
    assert row_of(reading, 1).viability == ""
    reading.undo()
    assert row_of(reading, 3).viability == "computed"
    # a change of the outline leaves the mark
    reading.apply(erase(reading.canvas("lesions"), [(14, 24, 35)], Brush(3.0, None), [3]))
    assert row_of(reading, 3).viability == "computed"


def test_an_answer_about_another_outline_is_not_used(reading):
    judged = viability_task(reading, [3]).run()
    reading.apply(paint(reading.canvas("lesions"), [(14, 26, 34)], Brush(9.0, None), 3))
    assert apply_viability(reading, judged) is None
    assert waiting_lesions(reading) == (3,)
    remove_lesion(reading, 3)
    assert apply_viability(reading, judged) is None
    assert waiting_lesions(reading) == ()
    with pytest.raises(LivervolError, match="lesion is not there"):
        viability_task(reading, [3])


def test_where_nothing_was_judged_before_every_lesion_is(visit, tmp_path):
    bare = tmp_path / "visit"
    shutil.copytree(visit, bare)
    shutil.rmtree(bare / "readers", ignore_errors=True)
    (bare / "viable.nii.gz").unlink()
    document = json.loads((bare / "measurements.json").read_text())
    document["mrecist_evaluable"] = False
    (bare / "measurements.json").write_text(json.dumps(document))
    with Reading.open(bare, "R1") as reading:
        assert not reading.evaluable
        remove_lesion(reading, 2)
        add_lesion(reading, Gesture.of("click", AT), "late_arterial")
        judge_viability(reading)
        assert [row.viability for row in reading.numbers().table] == ["computed", "computed"]
        assert reading.evaluable  # there is a late arterial phase
        assert row_of(reading, 1).necrosis_percent < 100
        reading.undo()
        assert "viable" not in reading.masks
        path = reading.journal.path
    # undone, the mask is gone for whoever opens the journal next, too
    assert "viable" not in rebuild(read_records(path)).masks


def test_without_an_arterial_phase_a_computed_part_is_not_evaluable(visit, tmp_path):
    bare = tmp_path / "visit"
    shutil.copytree(visit, bare)
    shutil.rmtree(bare / "readers", ignore_errors=True)
    for path in (bare / "viable.nii.gz", bare / "phases" / "late_arterial.nii.gz"):
        path.unlink()
    document = json.loads((bare / "measurements.json").read_text())
    document["mrecist_evaluable"] = False
    (bare / "measurements.json").write_text(json.dumps(document))
    with Reading.open(bare, "R1") as reading:
        remove_lesion(reading, 2)
        add_lesion(reading, Gesture.of("click", AT), "portal_venous")
        judge_viability(reading)
        assert reading.settings["viability"]["evaluable"] is False
        assert not reading.evaluable
        # the reader's own drawing may be judged
        reading.apply(paint(reading.canvas("viable", number=3), [AT], Brush(5.0, None), 3))
        assert reading.evaluable


def test_masks_alone_cannot_be_judged(visit, tmp_path):
    bare = tmp_path / "visit"
    shutil.copytree(visit, bare)
    shutil.rmtree(bare / "readers", ignore_errors=True)
    shutil.rmtree(bare / "phases")
    with Reading.open(bare, "R1") as reading, pytest.raises(LivervolError, match="viability cannot be judged"):
        judge_viability(reading, [1])


def test_a_lesion_outside_the_liver_is_judged_without_the_livers_yardstick(reading):
    # no brighter than liver: that is no viable tumour in the liver, and is viable elsewhere
    reading.apply(paint(reading.canvas("lesions"), [(12, 30, 22)], Brush(9.0, None), 4))
    assert judge_viability(reading, [4]) is not None
    as_liver = row_of(reading, 4).viable_volume_ml
    set_site(reading, 4, "lung")
    # judged anew: what was computed held it against the liver
    assert 4 in waiting_lesions(reading)
    task = viability_task(reading, [4])
    judged = task.run()
    scans = {Phase(name): reading.scan(name) for name in reading.phases}
    main_job = segment_viability(scans, task.liver, task.lesions, extrahepatic=[4])
    (one,) = judged.lesions
    assert np.array_equal(one.viable, main_job.viable.labels[one.box] == 4)
    # an answer for another site is not used
    set_site(reading, 4, "liver")
    assert apply_viability(reading, judged) is None
    set_site(reading, 4, "other_node")
    assert apply_viability(reading, judged) is not None
    assert row_of(reading, 4).viability == "computed"
    assert row_of(reading, 4).viable_volume_ml > as_liver + 0.5 * row_of(reading, 4).volume_ml
