"""The ledger: nothing lost, nothing doubled, nothing overwritten, damage found and saved from."""

from __future__ import annotations

import csv
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from livervol.cli import main
from livervol.errors import LivervolError
from livervol.ledger import (
    LesionEntry,
    Number,
    RunRecord,
    SignOff,
    check,
    courses,
    export_tables,
    open_ledger,
    repair,
    schema,
)
from livervol.records import ResponseRow
from livervol.response import assess

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def a_run(subject="P1", visit=1, key="k1", longest=40.0, **other):
    numbers = (
        Number("liver", "", "volume_ml", 1500.25, "ml", 1480.0, 1520.0, "voxels"),
        Number("remnant", "left_hepatectomy", "volume_ml", None, "ml", method="absent: no segments"),
        Number("lesion", "1", "longest_mm", longest, "mm", method="axial"),
        Number("lesion", "1", "viable_longest_mm", longest, "mm", method="axial"),
    )
    entry = {"number": 1, "site": "liver", "state": "measured", "longest_mm": longest, "enhancement": "typical"}
    words = {"slice_thickness_mm": "3.00", "mrecist_evaluable": "yes"}
    lesions = (LesionEntry(1, "liver", "measured", entry),)
    return RunRecord(
        subject, visit, key, date=f"2024-0{visit}-01", attributes=words, numbers=numbers, lesions=lesions, **other
    )


@pytest.fixture
def ledger(tmp_path):
    with open_ledger(tmp_path / "study.sqlite") as opened:
        yield opened


def test_file_is_wal_versioned_and_marked(ledger):
    assert ledger.query("PRAGMA journal_mode")[0]["journal_mode"] == "wal"
    assert ledger.query("PRAGMA user_version")[0]["user_version"] == len(schema.MIGRATIONS)
    assert ledger.query("PRAGMA application_id")[0]["application_id"] == schema.APPLICATION_ID
    assert ledger.query("PRAGMA foreign_keys")[0]["foreign_keys"] == 1
    assert check(ledger) == ()


def test_a_new_run_is_a_new_revision_and_the_old_numbers_stay(ledger):
    assert ledger.record(a_run()) == 1
    assert ledger.record(a_run(key="k2", longest=41.5)) == 2
    rows = ledger.history("P1", 1, "longest_mm")
    assert [(row["revision"], row["value"]) for row in rows] == [(1, 40.0), (2, 41.5)]
    assert ledger.states()["P1", 1].current_key == "k2"
    current = ledger.query("SELECT value FROM current_numbers WHERE name = 'longest_mm'")
    assert current == [{"value": 41.5}]


def test_the_same_result_is_recorded_once(ledger):
    run = a_run()
    assert ledger.record(run) == 1
    assert ledger.record(run) is None
    assert ledger.record(a_run()) is None  # another attempt with the same key
    assert len(ledger.history("P1")) == 1
    # back to an earlier result after another: a revision of its own
    assert [ledger.record(a_run(key="k2")), ledger.record(a_run())] == [2, 3]


def test_failures_keep_their_sentence_and_take_no_revision(ledger):
    failed = RunRecord("P1", 1, "k1", kind="refused", sentence="broken.")
    assert ledger.record(failed) is None
    assert ledger.record(replace(failed, attempt="another")) is None
    assert ledger.record(a_run()) == 1
    assert [row["status"] for row in ledger.history("P1")] == ["failed", "done"]
    state = ledger.states()["P1", 1]
    assert (state.status, state.revision, state.sentence) == ("done", 1, "")


@pytest.mark.parametrize("table", ["runs", "measurements", "lesions", "subjects"])
def test_rows_cannot_be_changed_or_deleted(ledger, table):
    ledger.record(a_run())
    with closing(sqlite3.connect(ledger.path)) as raw:
        column = {"runs": "folder", "measurements": "value", "lesions": "site", "subjects": "pseudonym"}[table]
        with pytest.raises(sqlite3.IntegrityError, match="never changed"):
            raw.execute(f"UPDATE {table} SET {column} = '1'")
        with pytest.raises(sqlite3.IntegrityError, match="never deleted"):
            raw.execute(f"DELETE FROM {table}")


def test_a_run_is_whole_or_absent(ledger):
    twice = Number("liver", "", "volume_ml", 1.0, "ml")
    with pytest.raises(LivervolError, match="ledger cannot be written"):
        ledger.record(replace(a_run(), numbers=(twice, twice)))
    assert ledger.query("SELECT * FROM runs") == ledger.query("SELECT * FROM subjects") == []
    assert ledger.record(a_run()) == 1  # the connection still works


def test_older_files_are_brought_up_and_newer_ones_refused(tmp_path, monkeypatch):
    path = tmp_path / "study.sqlite"
    with open_ledger(path) as old:
        old.record(a_run())
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, "CREATE TABLE more (x);\n"))
    with open_ledger(path) as new:
        assert new.query("SELECT * FROM more") == []
        assert [row["version"] for row in new.query("SELECT version FROM migrations")] == [1, 2]
        assert len(new.history("P1")) == 1
    monkeypatch.undo()
    with pytest.raises(LivervolError, match="newer program"):
        open_ledger(path)


def test_a_failing_migration_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "study.sqlite"
    open_ledger(path).close()
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, "CREATE TABLE more (x);\nNONSENSE;\n"))
    with pytest.raises(LivervolError, match="cannot be opened"):
        open_ledger(path)
    monkeypatch.undo()
    with open_ledger(path) as ledger:
        assert ledger.query("SELECT name FROM sqlite_master WHERE name = 'more'") == []


@pytest.mark.parametrize("content", [b"not a database, but long enough to be looked at " * 40, None])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "study.sqlite"
    if content is None:
        with closing(sqlite3.connect(path)) as other:
            other.execute("CREATE TABLE mine (x)")
            other.commit()
    else:
        path.write_bytes(content)
    with pytest.raises(LivervolError, match="ledger"):
        open_ledger(path)


def test_responses_have_revisions_too(ledger):
    ledger.record(a_run())
    row = ResponseRow("P1", "livervol", 1, "2024-01-01", "mrecist", overall="SD", sum_mm=40.0, reasons=("a", "b"))
    assert ledger.record_responses([row]) == 1
    assert ledger.record_responses([row]) == 0
    assert ledger.record_responses([replace(row, overall="PD")]) == 1
    found = ledger.query("SELECT revision, overall, reasons FROM responses ORDER BY revision")
    assert [(r["revision"], r["overall"], r["reasons"]) for r in found] == [(1, "SD", "a; b"), (2, "PD", "a; b")]
    with pytest.raises(LivervolError, match="without a subject"):
        ledger.record_responses([replace(row, patient="nobody")])


def test_sign_off_stands_under_the_numbers_of_its_day(ledger):
    ledger.record(a_run())
    assert ledger.record_journal_head("P1", 1, "reader_1", "a" * 64, 12)
    assert not ledger.record_journal_head("P1", 1, "reader_1", "a" * 64, 12)
    signed = SignOff("P1", 1, "reader_1", "a" * 64, "read and agreed", "2024-02-02T10:00:00+00:00")
    assert ledger.record_sign_off(signed)
    assert not ledger.record_sign_off(signed)
    assert check(ledger) == ()
    ledger.record(a_run(key="k2"))
    assert [finding.rule for finding in check(ledger)] == ["sign-off"]


def test_courses_give_the_responses_of_the_table(ledger):
    for visit, longest in ((1, 50.0), (2, 30.0)):
        ledger.record(a_run(visit=visit, key=f"k{visit}", longest=longest))
    gone = replace(a_run(visit=3, key="k3"), lesions=(), numbers=a_run().numbers[:1])
    ledger.record(gone)
    (course,) = courses(ledger)
    assert [lesion.state for visit in course.visits for lesion in visit.lesions] == ["measured", "measured", "absent"]
    assert course.visits[0].value("liver.volume_ml") == 1500.25
    assert course.visits[0].lesions[0].attributes["enhancement"] == "typical"
    assert [row.overall for row in assess(course, "mrecist")] == ["", "PR", "CR"]


def test_respond_reads_and_records_in_the_ledger(ledger, tmp_path, capsys):
    for visit, longest in ((1, 50.0), (2, 30.0)):
        ledger.record(a_run(visit=visit, key=f"k{visit}", longest=longest))
    out = tmp_path / "responses.csv"
    assert main(["respond", str(ledger.path), "--criterion", "recist11", "--out", str(out)]) == 0
    assert [row["overall"] for row in csv.DictReader(out.read_text().splitlines())] == ["", "PR"]
    assert main(["respond", str(tmp_path), "--criterion", "recist11", "--out", str(out), "--overwrite"]) == 0
    found = ledger.query("SELECT visit, overall, revision FROM responses ORDER BY visit")
    assert found == [{"visit": 1, "overall": "", "revision": 1}, {"visit": 2, "overall": "PR", "revision": 1}]
    assert main(["respond", str(tmp_path / "no.sqlite"), "--out", str(tmp_path / "x.csv")]) == 2
    assert "ledger not found" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_export_holds_every_row(ledger, tmp_path, kind):
    import pandas

    ledger.record(a_run())
    ledger.record(a_run(key="k2", longest=41.5))
    export_tables(ledger, tmp_path / "tables", kind)
    read = pandas.read_csv if kind == "csv" else pandas.read_parquet
    table = read(tmp_path / "tables" / f"measurements.{kind}")
    assert len(table) == 8
    assert sorted(table[table.name == "longest_mm"].value) == [40.0, 41.5]
    assert table[table.structure == "remnant"].value.isna().all()
    assert len(read(tmp_path / "tables" / f"current_numbers.{kind}")) == 4
    with pytest.raises(LivervolError, match="already exists"):
        export_tables(ledger, tmp_path / "tables", kind)
    with pytest.raises(LivervolError, match="csv or parquet"):
        export_tables(ledger, tmp_path / "other", "xlsx")


def test_check_finds_results_that_are_gone_or_changed(ledger, tmp_path):
    from livervol.ledger.audit import folder_sha256

    folder = tmp_path / "results" / "k1"
    folder.mkdir(parents=True)
    (folder / "measurements.csv").write_text("a")
    ledger.record(a_run(folder="results/k1", result_sha256=folder_sha256(folder)))
    assert check(ledger) == ()
    (folder / "measurements.csv").write_text("b")
    assert [finding.rule for finding in check(ledger)] == ["result"]
    (folder / "measurements.csv").unlink()
    folder.rmdir()
    assert "gone" in check(ledger)[0].sentence
    assert check(ledger, results=False) == ()


def test_repair_saves_what_can_be_read(tmp_path):
    path = tmp_path / "study.sqlite"
    with open_ledger(path) as ledger:
        for n in range(400):
            ledger.record(a_run(subject=f"P{n}", key=f"k{n}"))
        page = ledger.query("PRAGMA page_size")[0]["page_size"]
        ledger.query("PRAGMA wal_checkpoint(TRUNCATE)")
        root = ledger.query("SELECT rootpage FROM sqlite_master WHERE name = 'measurements'")[0]["rootpage"]
    raw = bytearray(path.read_bytes())
    place = len(raw) // page // 2
    place += place + 1 == root
    raw[place * page : (place + 1) * page] = b"\xa5" * page
    path.write_bytes(raw)
    with open_ledger(path) as damaged:
        assert check(damaged)[0].rule == "file"
    report = repair(path, tmp_path / "new.sqlite")
    assert report.saved["runs"] + report.saved["measurements"] > 800
    with open_ledger(tmp_path / "new.sqlite") as saved:
        assert not [f for f in check(saved) if f.rule in ("file", "foreign key")]
        assert saved.record(a_run(subject="later")) == 1
    assert path.read_bytes() == bytes(raw)
    with pytest.raises(LivervolError, match="already exists"):
        repair(path, tmp_path / "new.sqlite")


def test_a_full_disk_loses_nothing_that_was_recorded(tmp_path):
    program = f"""
import resource, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_ledger import a_run
from livervol.errors import LivervolError
from livervol.ledger import open_ledger
ledger = open_ledger({str(tmp_path / "study.sqlite")!r})
ledger.record(a_run())
resource.setrlimit(resource.RLIMIT_FSIZE, (ledger.path.stat().st_size + 60000, -1))
n = 1
try:
    while n < 1000:
        ledger.record(a_run(subject=f"P{{n}}", key=f"k{{n}}", visit=2))
        n += 1
except LivervolError as error:
    print(n, "cannot be written" in str(error))
"""
    code = ["-c", program]
    done = subprocess.run([sys.executable, *code], capture_output=True, text=True, check=True)
    count, told = done.stdout.split()
    assert told == "True"
    with open_ledger(tmp_path / "study.sqlite") as ledger:
        assert len(ledger.query("SELECT * FROM runs")) == int(count)
        assert check(ledger) == ()


def test_two_processes_write_at_once(tmp_path):
    command = [sys.executable, str(BENCHMARKS / "batch_ledger.py"), "--seconds", "4"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "none lost or doubled, ledger sound" in done.stdout


def test_the_verbs(ledger, tmp_path, capsys):
    ledger.record(a_run())
    assert main(["ledger", "check", str(tmp_path)]) == 0
    assert "sound" in capsys.readouterr().out
    assert main(["ledger", "history", str(ledger.path), "--patient", "P1", "--name", "longest_mm", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["value"] == 40.0
    assert main(["ledger", "export", str(ledger.path), "--out", str(tmp_path / "tables")]) == 0
    assert (tmp_path / "tables" / "runs.csv").is_file()
    assert main(["ledger", "repair", str(ledger.path), "--out", str(tmp_path / "saved.sqlite")]) == 0
    ledger.record(a_run(key="k2", folder="results/nowhere"))
    assert main(["ledger", "check", str(ledger.path)]) == 3
    assert main(["ledger", "check", str(tmp_path / "nothing.sqlite")]) == 2
