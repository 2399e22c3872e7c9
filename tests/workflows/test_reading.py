"""A reader's session: numbers equal to those of ``livervol measure``, undo, saving, locks, crashes."""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from livervol.edit.brush import Brush, erase, paint
from livervol.edit.click import Outline
from livervol.edit.gesture import Gesture
from livervol.edit.journal import read_records, rebuild, verify
from livervol.errors import LivervolError
from livervol.io.images import read_labels
from livervol.workflows import reading_lesions
from livervol.workflows.reading import Reading, ReadingSettings
from livervol.workflows.reading_folder import MASKS, reader_folder
from livervol.workflows.reading_lesions import (
    add_lesion,
    choose_length,
    choose_resections,
    measure_by_hand,
    place_landmarks,
    remove_lesion,
    renumber_lesion,
    set_role,
    set_site,
    set_state,
)
from livervol.workflows.reading_save import save, save_copy, sign_off, withdraw_sign_off
from livervol.workflows.visit import GivenMasks, VisitSettings, measure_masks
from reading_visit import RESECTION, make_visit

START = ReadingSettings(resections=(RESECTION,))
ANYWHERE = Brush(9.0, None)


@pytest.fixture(scope="module")
def visits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("course")
    return [make_visit(folder / "visit_1"), make_visit(folder / "visit_2", shrink=3.0)]


@pytest.fixture
def reading(visits):
    shutil.rmtree(visits[1] / "readers", ignore_errors=True)
    with Reading.open(visits[1], "R1", earlier=[visits[0]], settings=START) as opened:
        yield opened


def reopen(reading, **kw):
    reading.close()
    return Reading.open(reading.files.visit, reading.reader, settings=START, **kw)


def edit(reading, move, rng):
    """One random gesture."""
    if move == "undo":
        reading.undo()
    elif move == "redo":
        reading.redo()
    elif move == "role":
        set_role(reading, 1, ("target", "non_target")[int(rng.integers(2))])
    elif move == "site":
        number = int(rng.integers(1, 4))
        if number in reading.lesion_numbers:
            set_site(reading, number, ("liver", "lung", "other_node")[int(rng.integers(3))])
    else:
        mask, kind = move.split()
        at = rng.uniform((6, 8, 8), (18, 32, 38))
        number = int(rng.integers(1, 4)) if mask != "liver" else 1
        canvas = reading.canvas(mask, number=number if mask == "viable" else None)
        make = paint if kind == "paint" else erase
        brush = Brush(float(rng.uniform(3, 14)), None if rng.random() < 0.5 else 0)
        reading.apply(make(canvas, [at], brush, number) if make is paint else make(canvas, [at], brush))


MOVES = [f"{mask} {kind}" for mask in ("liver", "lesions", "viable") for kind in ("paint", "erase")]
WALKS = st.lists(st.sampled_from([*MOVES, "undo", "redo", "role", "site"]), max_size=12)


def measured_again(folder, out, sites=()):
    """What ``livervol measure --site`` writes for a reader's saved masks."""
    shutil.rmtree(out, ignore_errors=True)
    names = [n for n in ("liver", "lesions", "viable", "segments") if (folder / f"{n}.nii.gz").is_file()]
    given = GivenMasks(**{n: folder / f"{n}.nii.gz" for n in names})
    return measure_masks(given, [], out, settings=VisitSettings(resections=(RESECTION,), sites=tuple(sites)))


def without_intervals(lesion):
    return [(m.name, m.value, m.unit, m.method, m.of, m.reason, m.line) for m in lesion.measurements]


@given(WALKS, st.integers(0, 99))
@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_numbers_after_any_walk_are_those_of_measure_bit_for_bit(visits, tmp_path_factory, moves, seed):
    shutil.rmtree(visits[1] / "readers", ignore_errors=True)
    rng = np.random.default_rng(seed)
    with Reading.open(visits[1], "R1", settings=START) as reading:
        for move in moves:
            edit(reading, move, rng)
            reading.refresh()  # in between, so that caches are used
        live = reading.refresh().measured
        folder = save(reading)
        sites = [(row.number, row.site) for row in reading.numbers().table if row.site != "liver"]
        output = measured_again(folder, tmp_path_factory.mktemp("again") / "out", sites)
        assert live.measurements == output.measured.measurements
        assert live.warnings == output.measured.warnings
        assert [without_intervals(a) for a in live.lesions] == [without_intervals(b) for b in output.measured.lesions]
        own = json.loads((folder / "measurements.json").read_text())
        for key in ("liver", "tumor", "segments", "remnant"):
            assert own[key] == output.document[key]
        for a, b in zip(own["lesions"], output.document["lesions"], strict=True):
            # what is saved carries the intervals, too
            assert all(a[k] == v for k, v in b.items())
        assert own["provenance"]["settings"].get("sites", {}) == {str(n): site for n, site in sites}


@given(WALKS, st.integers(0, 99))
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_walk_ends_where_its_journal_replays_to_and_nesting_is_kept(visits, moves, seed):
    shutil.rmtree(visits[1] / "readers", ignore_errors=True)
    rng = np.random.default_rng(seed)
    with Reading.open(visits[1], "R1", settings=START) as reading:
        for move in moves:
            edit(reading, move, rng)
        masks = {n: m.copy() for n, m in reading.masks.items()}
        decisions, numbers = dict(reading.settings), reading.refresh()
        # a lesion that has been elsewhere may lie outside the liver's mask
        placed = {int(s.key.split(".")[1]) for r in reading.records for s in r.step.settings if ".site" in s.key}
        path = reading.journal.path
    replayed = rebuild(read_records(path))
    assert replayed.settings == decisions
    assert all(np.array_equal(replayed.masks[n], m) for n, m in masks.items())
    viable, lesions, liver, segments = (masks[n] for n in ("viable", "lesions", "liver", "segments"))
    assert not np.any((viable != 0) & (viable != lesions))
    inside = ~np.isin(lesions, [0, *placed])
    assert not np.any(inside & (liver == 0))
    assert np.array_equal(segments != 0, liver != 0)
    with Reading.open(visits[1], "R1", settings=START) as again:
        fresh = again.refresh()
        assert (fresh.measured, fresh.lesions, fresh.table) == (numbers.measured, numbers.lesions, numbers.table)
        while again.undo() is not None:
            pass
        begun = again.state_at(0)
        assert all(np.array_equal(again.masks[n], m) for n, m in begun.masks.items())
        assert dict(again.settings) == begun.settings


def test_opening_gives_the_machines_numbers_and_the_response(reading):
    machine = json.loads((reading.files.visit / "measurements.json").read_text())
    numbers = reading.numbers()
    assert numbers.liver_ml == machine["liver"]["volume_ml"]
    assert numbers.flr_percent == machine["remnant"][RESECTION]["flr_of_functional_percent"]
    assert [row.number for row in numbers.table] == [1, 2]
    line = numbers.table[0].line("viable_longest_mm")
    assert line.by == "computed"
    apart = (np.array(line.end_zyx) - line.start_zyx) * reading.grid.spacing_mm
    assert np.linalg.norm(apart) == pytest.approx(line.value_mm, abs=1e-6)
    assert numbers.table[0].role == "target"
    response = numbers.responses["mrecist"]
    assert response.sum_mm == pytest.approx(sum(row.viable_longest_mm for row in numbers.table))
    assert response.change_from_baseline_percent < 0
    assert response.overall in ("PR", "SD")
    assert response.reasons


def test_a_lesion_painted_past_the_liver_takes_the_liver_along(reading):
    edge = np.argwhere(reading.masks["liver"])[:, 2].min()
    before = reading.numbers().liver_ml
    step = reading.apply(paint(reading.canvas("lesions"), [(12, 20, edge)], ANYWHERE, 3))
    assert {c.mask for c in step.changes} == {"lesions", "liver", "segments"}
    assert reading.numbers().liver_ml > before
    assert not any("outside the liver" in w for w in reading.numbers().warnings)
    reading.undo()
    assert reading.numbers().liver_ml == before


def test_liver_under_a_lesion_is_not_erased(reading):
    reading.apply(erase(reading.canvas("liver"), [(12, 18, 14)], Brush(60.0, None)))
    assert np.all(reading.masks["liver"][reading.masks["lesions"] > 0] == 1)
    assert not reading.numbers().problems


def test_an_extrahepatic_lesion_stands_alone(reading):
    corner = (3, 5, 5)
    gesture = Gesture.of("click", corner)
    number, outline = add_lesion(reading, gesture, "portal_venous", site="lung")
    assert number == 3
    assert outline.mask.any()
    numbers = reading.numbers()
    assert reading.masks["liver"][corner] == 0
    assert numbers.table[2].site == "lung"
    reading.undo()
    assert reading.numbers().table[-1].number == 2
    assert "lesion.3.site" not in reading.settings


@pytest.mark.parametrize(
    ("share", "asked", "site"), [(0.6, None, "liver"), (0.2, None, "other"), (0.6, "lung", "lung")]
)
def test_a_click_beside_the_liver_may_lie_on_what_its_mask_has_lost(reading, monkeypatch, share, asked, site):
    # a click three voxels off the mask, on a row of five voxels that the mask holds so much of
    liver = reading.masks["liver"] != 0
    z, y = 10, 24
    first = int(np.flatnonzero(liver[z, y])[0])
    low = first - round(5 * (1 - share))
    row = (slice(z, z + 1), slice(y, y + 1), slice(low, low + 5))
    told = []

    def outlined(canvas, gesture, number, given, settings, others):
        told.append((given is not None, len(others)))
        mask = np.ones((1, 1, 5), bool)
        return canvas.change(row, mask, number, "click"), Outline(row, mask, 10.0)

    monkeypatch.setattr(reading_lesions, "lesion_change", outlined)
    number, _ = add_lesion(reading, Gesture.of("click", (z, y, first - 3)), "portal_venous", site=asked)
    assert told[0][0] == (asked is None)
    assert next(row for row in reading.numbers().table if row.number == number).site == site


def test_totals_of_the_liver_leave_out_lesions_elsewhere_as_measure_does(reading, tmp_path):
    set_site(reading, 2, "lung")
    numbers, folder = reading.numbers(), save(reading)
    named = ("liver", "tumor", "remnant")
    own = json.loads((folder / "measurements.json").read_text())
    there = measured_again(folder, tmp_path / "there", [(2, "lung")])
    assert (numbers.measured.measurements, numbers.warnings) == (there.measured.measurements, there.measured.warnings)
    assert [own[key] for key in named] == [there.document[key] for key in named]
    assert [lesion["site"] for lesion in own["lesions"]] == ["liver", "lung"]
    # without the site every total is another
    everywhere = measured_again(folder, tmp_path / "everywhere").document
    for key, name in (("tumor", "volume_ml"), ("tumor", "viable_volume_ml"), ("liver", "functional_volume_ml")):
        assert own[key][name] != everywhere[key][name]
    assert own["remnant"] != everywhere["remnant"]
    assert own["tumor"]["volume_ml"] == own["lesions"][0]["volume_ml"]

    # a reading of a visit that was run with sites begins with them; one that begins without lesions has none
    with Reading.open(tmp_path / "there", "R1", settings=START) as begun:
        assert begun.numbers().measured.measurements == there.measured.measurements
        assert begun.extrahepatic == {2}
        set_site(begun, 2, "liver")
        assert begun.numbers().measured.measurements != there.measured.measurements
    with Reading.open(tmp_path / "there", "R2", settings=replace(START, lesions_from="none")) as alone:
        assert alone.extrahepatic == frozenset()


def test_intervals_hold_until_what_they_belong_to_changes_and_come_back_on_saving(reading):
    machine = json.loads((reading.files.visit / "measurements.json").read_text())
    low, high = machine["lesions"][1]["longest_mm_interval"]
    known = reading.numbers().intervals
    assert (known["lesion.2.longest_mm"].low, known["lesion.2.longest_mm"].high) == (low, high)
    assert "lesion.1.longest_mm" in known
    reading.apply(paint(reading.canvas("lesions"), [(12, 18, 14)], Brush(17.0, 0), 1))
    now = reading.numbers().intervals
    assert "lesion.1.longest_mm" not in now
    assert now["lesion.2.longest_mm"] == known["lesion.2.longest_mm"]
    save(reading)
    after = reading.numbers().intervals
    assert after["lesion.1.longest_mm"] != known["lesion.1.longest_mm"]
    assert after["lesion.2.longest_mm"] == known["lesion.2.longest_mm"]
    again = reopen(reading)
    assert again.numbers().intervals == after
    again.close()


def test_edits_go_on_while_the_folder_is_written(reading, monkeypatch):
    from livervol.workflows import reading_save

    stroke = paint(reading.canvas("liver"), [(12, 20, 22)], Brush(50.0, None), 1)
    head, write = reading.journal.head, reading_save.write_masks

    def slow(*args):
        worker = threading.Thread(target=reading.apply, args=(stroke,))
        worker.start()
        worker.join(timeout=20)
        assert not worker.is_alive()
        write(*args)

    before = reading.masks["liver"].copy()
    monkeypatch.setattr(reading_save, "write_masks", slow)
    folder = save(reading)
    assert json.loads((folder / "measurements.json").read_text())["journal"]["head"] == head
    assert np.array_equal(read_labels(folder / "liver.nii.gz").labels != 0, before != 0)
    assert not np.array_equal(reading.masks["liver"], before)
    assert reading.unsaved


def test_a_click_adds_a_lesion_where_one_was_removed(reading):
    truth = reading.masks["lesions"] == 2
    remove_lesion(reading, 2, "test")
    assert reading.lesion_numbers == (1,)
    with pytest.raises(LivervolError, match="lesion is not there"):
        remove_lesion(reading, 2)
    number, _ = add_lesion(reading, Gesture.of("click", (14, 24, 32)), "portal_venous")
    assert number == 3  # 2 was used before and is not given to another lesion
    found = reading.masks["lesions"] == 3
    assert 2 * np.count_nonzero(found & truth) / (found.sum() + truth.sum()) > 0.75
    renumber_lesion(reading, 3, 2, "same lesion as before")
    assert reading.lesion_numbers == (1, 2)
    with pytest.raises(LivervolError, match="free number"):
        renumber_lesion(reading, 1, 2)


def test_hand_and_computed_lengths_stand_beside_each_other(reading):
    computed = reading.numbers().table[0].viable_longest_mm
    total = reading.numbers().responses["mrecist"].sum_mm
    measure_by_hand(reading, 1, "viable_longest_mm", [(12, 18, 10), (12, 18, 17)])
    numbers = reading.numbers()
    row = numbers.table[0]
    assert row.viable_longest_mm == pytest.approx(7 * 2.9)
    lines = {(d.by, d.chosen): d.value_mm for d in row.lines if d.name == "viable_longest_mm"}
    assert lines[("computed", False)] == computed
    assert lines[("manual", True)] == pytest.approx(7 * 2.9)
    assert numbers.responses["mrecist"].sum_mm == pytest.approx(total - computed + 7 * 2.9)
    choose_length(reading, 1, "viable_longest_mm", "computed")
    assert reading.numbers().table[0].viable_longest_mm == computed
    entry = json.loads((save(reading) / "measurements.json").read_text())["lesions"][0]
    assert entry["measured_by_hand"]["viable_longest_mm"]["value_mm"] == pytest.approx(7 * 2.9)
    assert entry["chosen"] == {"viable_longest_mm": "computed"}
    with pytest.raises(LivervolError, match="no hand measurement"):
        choose_length(reading, 2, "longest_mm", "manual")
    with pytest.raises(LivervolError, match="length is not known"):
        measure_by_hand(reading, 1, "girth", [(0, 0, 0), (1, 1, 1)])


def test_a_lesion_that_cannot_be_judged_needs_a_reason(reading):
    with pytest.raises(LivervolError, match="the reason"):
        set_state(reading, 1, "not_evaluable")
    set_state(reading, 1, "not_evaluable", "motion")
    numbers = reading.numbers()
    assert (numbers.table[0].state, numbers.table[0].reason) == ("not_evaluable", "motion")
    assert numbers.responses["mrecist"].overall == "NE"
    assert any("lesion 1" in reason for reason in numbers.responses["mrecist"].reasons)
    set_state(reading, 1, "measured")
    assert reading.numbers().responses["mrecist"].overall in ("PR", "SD")


def test_roles_sites_landmarks_and_the_operation_are_journalled(reading):
    set_role(reading, 2, "non_target", "too small")
    set_site(reading, 2, "porta_hepatis_node")
    choose_resections(reading, ["left_hepatectomy"])
    place_landmarks(reading, {"mhv": [[1.0, 2.0, 3.0]]}, plane=True)
    numbers = reading.numbers()
    assert numbers.resection == "left_hepatectomy"
    assert reading.settings["landmarks"] == {"mhv": [[1.0, 2.0, 3.0]], "plane": True}
    again = reopen(reading)
    assert dict(again.settings) == dict(reading.settings)
    for _ in range(4):
        again.undo()
    assert dict(again.settings) == {"resections": [RESECTION]}
    again.close()
    with pytest.raises(LivervolError, match="role is not known"):
        set_role(reading, 1, "best")


def test_a_first_reading_has_roles_and_no_response_yet(visits):
    shutil.rmtree(visits[0] / "readers", ignore_errors=True)
    with Reading.open(visits[0], "R2") as reading:
        numbers = reading.numbers()
        assert [row.proposed_role for row in numbers.table] == ["target", "target"]
        assert numbers.responses["mrecist"].overall == ""
        assert numbers.responses["mrecist"].sum_mm > 0
        set_role(reading, 2, "non_target")
        save(reading)
        total = reading.numbers().table[0].viable_longest_mm
    shutil.rmtree(visits[1] / "readers", ignore_errors=True)
    with Reading.open(visits[1], "R2", earlier=[visits[0]]) as reading:
        # the same reader's baseline counts, with the roles given there
        assert reading.numbers().responses["mrecist"].baseline_sum_mm == pytest.approx(total)
    with Reading.open(visits[1], "R3", earlier=[visits[0]]) as other:
        assert other.numbers().responses["mrecist"].baseline_sum_mm > total
    shutil.rmtree(visits[0] / "readers")


def test_a_reader_may_start_without_the_machines_lesions(visits):
    shutil.rmtree(visits[1] / "readers", ignore_errors=True)
    with Reading.open(visits[1], "R4", settings=ReadingSettings(lesions_from="none")) as reading:
        assert reading.lesion_numbers == ()
        assert reading.numbers().table == ()


def test_saving_writes_the_readers_folder_on_the_stored_grid(reading):
    reading.apply(paint(reading.canvas("liver"), [(12, 20, 22)], Brush(50.0, None), 1))
    assert reading.unsaved
    folder = save(reading)
    assert folder == reader_folder(reading.files.visit, "R1")
    names = {p.name for p in folder.iterdir()}
    assert {f"{n}.nii.gz" for n in ("liver", "lesions", "viable", "segments", "necrosis")} <= names
    assert {"measurements.json", "measurements.csv", "landmarks.json", "edits.journal"} <= names
    assert not reading.unsaved
    document = json.loads((folder / "measurements.json").read_text())
    assert verify(folder / "edits.journal", head=document["journal"]["head"]).records == len(reading.records)
    assert "R1" in document["provenance"]["methods"]["liver"]
    again = reopen(reading)
    assert not again.unsaved
    again.close()


def test_files_whose_writing_a_crash_cut_off_are_tidied_on_opening(reading):
    folder = save(reading)
    left, held, young, other = (
        folder / n for n in (".writing-a.nii.gz", ".writing-b.json", ".writing-c.csv", "own.txt")
    )
    for path in (left, held, young, other):
        path.write_bytes(b"half")
    for path in (left, held, other):
        os.utime(path, (0, 0))
    with held.open("rb"):
        reopen(reading).close()
    assert [path.exists() for path in (left, held, young, other)] == [False, True, True, True]
    reopen(reading).close()
    assert not held.exists()


def test_signed_off_readings_refuse_edits_until_it_is_withdrawn(reading):
    path = sign_off(reading, "complete")
    document = json.loads(path.read_text())
    assert document["reader"] == "R1"
    assert document["journal"]["head"] == reading.journal.head
    assert "liver.nii.gz" in document["files"]
    canvas = reading.canvas("liver")
    stroke = erase(canvas, [(12, 20, 40)], ANYWHERE)
    for refused in (lambda: reading.apply(stroke), reading.undo, lambda: set_role(reading, 1, "target")):
        with pytest.raises(LivervolError, match="reading is locked.*R1 has signed off"):
            refused()
    with pytest.raises(LivervolError, match="the reason"):
        withdraw_sign_off(reading, " ")
    withdraw_sign_off(reading, "missed a lesion")
    assert reading.records[-1].words["signed"]["statement"] == "complete"
    reading.apply(stroke)
    with pytest.raises(LivervolError, match="not signed off"):
        withdraw_sign_off(reading, "again")


def test_a_full_disk_is_told_in_one_sentence_and_nothing_is_lost(reading, monkeypatch, tmp_path):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        patch.setattr(os, "fsync", full)
        reading.apply(paint(reading.canvas("liver"), [(12, 20, 22)], Brush(50.0, None), 1))
        assert "No space left" in reading.trouble
        assert "\n" not in reading.trouble
        with pytest.raises(LivervolError, match="No space left"):
            save(reading)
        numbers = reading.numbers()
    folder = save_copy(reading, tmp_path / "rescue")
    assert np.array_equal(rebuild(read_records(folder / "edits.journal")).masks["liver"], reading.masks["liver"])
    save(reading)
    assert reading.trouble == ""
    again = reopen(reading)
    assert again.numbers().measured == numbers.measured
    again.close()


def test_an_edit_that_does_not_fit_changes_nothing(reading):
    stale = erase(reading.canvas("liver"), [(12, 20, 40)], ANYWHERE)
    reading.apply(stale)
    before, records = reading.numbers(), len(reading.records)
    kept = {n: m.copy() for n, m in reading.masks.items()}
    reading.apply(stale)  # nothing is left to erase there: completed to nothing
    assert len(reading.records) == records
    wrong = stale.inverted().inverted()
    grown = paint(reading.canvas("liver"), [(12, 20, 40)], ANYWHERE, 1)
    reading.apply(grown)
    reading.undo()
    assert all(np.array_equal(reading.masks[n], m) for n, m in kept.items())
    assert reading.refresh().measured == before.measured
    assert wrong.voxels


def test_viable_tissue_that_was_never_judged_appears_and_goes(visits, tmp_path):
    visit = tmp_path / "visit"
    shutil.copytree(visits[1], visit)
    for name in ("viable", "necrosis", "uncertain"):
        (visit / f"{name}.nii.gz").unlink(missing_ok=True)
    shutil.rmtree(visit / "readers", ignore_errors=True)
    with Reading.open(visit, "R1", settings=START) as reading:
        assert "viable" not in reading.masks
        assert reading.numbers().table[0].viable_longest_mm is None
        reading.apply(paint(reading.canvas("viable", number=1), [(12, 18, 14)], Brush(8.0, None), 1))
        assert reading.numbers().table[0].viable_longest_mm > 8
        reading.undo()
        assert "viable" not in reading.masks
        assert reading.numbers().table[0].viable_longest_mm is None


def test_refusals(visits, tmp_path):
    with pytest.raises(LivervolError, match="not a visit's output"):
        Reading.open(tmp_path, "R1")
    for name in ("", "../x", "a b", "x" * 60):
        with pytest.raises(LivervolError, match="reader's code"):
            Reading.open(visits[1], name)
    with Reading.open(visits[1], "R9") as reading:
        with pytest.raises(LivervolError, match="open elsewhere"):
            Reading.open(visits[1], "R9")
        with pytest.raises(LivervolError, match="mask is not known"):
            reading.canvas("spleen")
        with pytest.raises(LivervolError, match="phase is not there"):
            reading.scan("delayed")
        assert set(reading.masks) <= set(MASKS)
    with pytest.raises(LivervolError, match="machine or none"):
        Reading.open(visits[1], "R8", settings=ReadingSettings(lesions_from="x"))
    with pytest.raises(LivervolError, match="earlier visit has no numbers"):
        Reading.open(visits[1], "R7", earlier=[tmp_path])
