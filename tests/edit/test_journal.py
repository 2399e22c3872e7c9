"""The journal: every edit on the disk, any state rebuilt, damage told, a torn end recovered."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from livervol.edit import journal_file as module
from livervol.edit.change import Change, Setting, Step
from livervol.edit.journal import Begin, Journal, State, history, read_records, rebuild, verify
from livervol.errors import LivervolError

SHAPE = (4, 5, 6)


def begin() -> Begin:
    liver = np.zeros(SHAPE, np.uint16)
    liver[1:3, 1:4, 1:5] = 1
    return Begin(
        {"liver": liver, "lesions": np.zeros(SHAPE, np.uint16)}, {"resections": ["right_hepatectomy"]}, {"a": 1}
    )


def a_step(state: State, rng: np.random.Generator) -> Step:
    name = ("liver", "lesions")[int(rng.integers(2))]
    after = state.masks[name].copy()
    after[tuple(rng.integers(0, n) for n in SHAPE)] = rng.integers(0, 4)
    setting = Setting("lesion.1.role", state.settings.get("lesion.1.role"), str(rng.integers(3)))
    return Step("brush", (Change.between(state.masks[name], after, name, "brush"),), (setting,), "because")


def same(a: State, b: State) -> bool:
    names = a.masks.keys() == b.masks.keys()
    return names and a.settings == b.settings and all(np.array_equal(a.masks[n], b.masks[n]) for n in a.masks)


def walked(path, moves, seed=0):
    """A journal after random edits, undos and redos; the live state and the state after every record."""
    rng = np.random.default_rng(seed)
    journal = Journal.start(path, "R1", begin())
    state = rebuild(journal.records)
    seen = [rebuild(journal.records)]
    for move in moves:
        if move == "edit":
            record = journal.append(a_step(state, rng))
        else:
            record = journal.undo() if move == "undo" else journal.redo()
        if record is not None:
            state.apply(record.step)
            seen.append(State({n: m.copy() for n, m in state.masks.items()}, dict(state.settings)))
    return journal, state, seen


@given(st.lists(st.sampled_from(["edit", "edit", "undo", "redo"]), max_size=25), st.integers(0, 9))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_walk_is_replayed_to_the_same_state(tmp_path_factory, moves, seed):
    path = tmp_path_factory.mktemp("walk") / "edits.journal"
    journal, state, seen = walked(path, moves, seed)
    journal.close()
    assert not journal.trouble
    records = read_records(path)
    assert same(rebuild(records), state)
    for upto, then in enumerate(seen, 1):
        assert same(rebuild(records, upto), then)
    assert verify(path).head == journal.head
    again = Journal.open(path, "R1")
    assert history(again.records) == history(records)
    again.close()


def test_a_record_says_who_when_which_tool_and_why(tmp_path):
    journal, _, _ = walked(tmp_path / "e.journal", ["edit"])
    first, record = journal.records
    assert first.kind == "begin"
    assert first.words == {"a": 1}
    assert (record.who, record.step.tool, record.step.reason) == ("R1", "brush", "because")
    assert record.when.endswith("+00:00")
    journal.note("save", files=3)
    journal.close()
    assert read_records(tmp_path / "e.journal")[-1].words == {"files": 3}


def test_undo_goes_on_after_reopening_and_a_new_edit_ends_redo(tmp_path):
    path = tmp_path / "e.journal"
    journal, state, _ = walked(path, ["edit", "edit", "undo"])
    journal.close()
    journal = Journal.open(path, "R1")
    record = journal.undo()
    assert record is not None
    state.apply(record.step)
    assert same(state, rebuild(journal.records, 1))
    assert journal.undo() is None
    journal.append(a_step(state, np.random.default_rng(5)))
    assert journal.redo() is None
    journal.close()


def test_a_torn_end_is_dropped_wherever_it_tore(tmp_path):
    path = tmp_path / "e.journal"
    journal, _, seen = walked(path, ["edit"] * 3)
    journal.close()
    data = path.read_bytes()
    whole = len(data)
    last = whole - len(module._encode(journal.records[-1])) - module._HEAD.size - module._DIGEST
    for cut in [last + 1, last + 15, last + 16, last + 60, whole - 1]:
        path.write_bytes(data[:cut])
        assert "cut off" in verify(path).torn
        opened = Journal.open(path, "R1")
        assert "cut off" in opened.recovered
        assert same(rebuild(opened.records), seen[-2])
        opened.append(Step("after", (), (Setting("x", None, 1),)))
        opened.close()
        assert verify(path).torn == ""
        assert read_records(path)[-1].step.tool == "after"


@given(st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_flipped_bit_goes_unnoticed(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("flip") / "e.journal"
    journal, _, _ = walked(path, ["edit", "undo", "edit"])
    journal.close()
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    with pytest.raises(LivervolError, match=r"(edit journal is damaged|not an edit journal).*Keep the file"):
        verify(path)
    with pytest.raises(LivervolError, match="journal"):
        Journal.open(path, "R1")


def test_repair_goes_on_from_the_last_intact_record_and_keeps_the_damaged_file(tmp_path):
    path = tmp_path / "edits.journal"
    journal, _, seen = walked(path, ["edit"] * 3)
    journal.close()
    damaged = bytearray(path.read_bytes())
    damaged[-5] ^= 4
    path.write_bytes(damaged)
    opened = Journal.open(path, "R1", repair=True)
    assert same(rebuild(opened.records), seen[-2])
    assert "damaged" in opened.recovered
    opened.close()
    assert (tmp_path / "edits.damaged-1").read_bytes() == damaged
    assert verify(path).records == 3


def test_a_clean_cut_shows_against_a_noted_head(tmp_path):
    path = tmp_path / "e.journal"
    journal, _, _ = walked(path, ["edit", "edit"])
    head, size = journal.head, path.stat().st_size
    journal.append(Step("last", (), (Setting("x", None, 1),)))
    noted = journal.head
    journal.close()
    assert verify(path, head=head).records == 4
    with path.open("r+b") as file:
        file.truncate(size)
    assert verify(path).records == 3
    with pytest.raises(LivervolError, match="not the one that was noted"):
        verify(path, head=noted)


def test_a_second_window_is_refused(tmp_path):
    path = tmp_path / "e.journal"
    journal, _, _ = walked(path, [])
    with pytest.raises(LivervolError, match="open elsewhere"):
        Journal.open(path, "R1")
    journal.close()
    Journal.open(path, "R1").close()


def test_a_full_disk_keeps_the_work_and_catches_up(tmp_path, monkeypatch):
    path = tmp_path / "e.journal"
    journal, state, _ = walked(path, ["edit"])
    real, room = os.write, [10]

    def full(descriptor, data):
        if room[0] <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        room[0] -= 10
        return real(descriptor, bytes(data)[:10])

    monkeypatch.setattr(os, "write", full)
    for _ in range(2):
        record = journal.append(a_step(state, np.random.default_rng(3)))
        state.apply(record.step)
        assert "No space left" in journal.trouble
        assert "kept in memory" in journal.trouble
    assert verify(path).records == 2
    monkeypatch.setattr(os, "write", real)
    journal.flush()
    assert journal.trouble == ""
    journal.close()
    assert same(rebuild(read_records(path)), state)


def test_a_disk_that_never_took_anything_can_be_copied_away(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refused)
        journal, state, _ = walked(tmp_path / "e.journal", ["edit", "edit", "undo"])
        assert "Read-only" in journal.trouble
    journal.copy_to(tmp_path / "rescue.journal")
    assert same(rebuild(read_records(tmp_path / "rescue.journal")), state)
    journal.flush()
    assert journal.trouble == ""
    assert same(rebuild(read_records(tmp_path / "e.journal")), state)
    journal.close()


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "e.journal"
    path.write_bytes(b"")
    with pytest.raises(LivervolError, match="an empty file"):
        verify(path)
    path.write_bytes(b"PK\x03\x04 something else")
    with pytest.raises(LivervolError, match="not an edit journal"):
        Journal.open(path, "R1")
    with pytest.raises(LivervolError, match="exists already"):
        Journal.start(path, "R1", begin())
    with pytest.raises(LivervolError, match="cannot be read"):
        verify(tmp_path)
