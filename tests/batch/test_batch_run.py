"""Batches of real visits: worker processes, a dask scheduler, the command line, and every fault in small."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from batch_cohort import make_cohort
from batch_faults import differences
from batch_throughput import dask_cluster

from livervol.batch import BatchSettings, read_visits, run_batch
from livervol.batch.task import TaskSettings, VisitTask, discard, model_hashes, perform, program_of
from livervol.cli import main
from livervol.errors import LivervolError
from livervol.ledger import check, open_ledger
from livervol.workflows.visit import GivenMasks, measure_masks

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return make_cohort(tmp_path_factory.mktemp("cohort"), patients=2, visits=2)


@pytest.fixture(scope="module")
def local(cohort, tmp_path_factory):
    out = tmp_path_factory.mktemp("local") / "out"
    return out, run_batch(read_visits(cohort), out, BatchSettings(workers=2), quiet=True)


@pytest.fixture
def task(cohort, tmp_path):
    """The first visit as a task of its own."""
    table = read_visits(cohort)
    out = tmp_path / "out"
    return VisitTask(table.rows[0], table.root, out, out / "working", TaskSettings(), program_of(), model_hashes())


def test_a_batch_gives_what_single_visits_give(cohort, local, tmp_path):
    out, report = local
    assert (report.done, report.failed, report.complete) == (4, [], True)
    with open_ledger(out / "study.sqlite") as ledger:
        assert check(ledger) == ()
        folder = ledger.states()["P0002", 2].folder
        volume = ledger.query(
            "SELECT value FROM current_numbers WHERE patient = 'P0002' AND visit = 2 AND structure = 'liver' "
            "AND name = 'volume_ml'"
        )
    source = cohort.parent / "p0002" / "v2"
    names = ("liver", "lesions", "viable", "segments")
    single = measure_masks(GivenMasks(**{n: source / f"{n}.nii.gz" for n in names}), [], tmp_path / "single")
    for path in sorted((tmp_path / "single").rglob("*")):
        assert (out / folder / path.name).read_bytes() == path.read_bytes()
    assert volume == [{"value": single.measured.value("liver.volume_ml")}]
    assert json.loads((out / folder / "task.json").read_text())["program"] == program_of()


def test_dask_gives_the_same_bytes(cohort, local, tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    with dask_cluster(2, tmp_path) as address:
        report = run_batch(read_visits(cohort), tmp_path / "out", BatchSettings(scheduler=address), quiet=True)
        assert report.complete
        monkeypatch.setattr("livervol.batch.dask_pool.program_of", lambda: "0.0.0+other")
        with pytest.raises(LivervolError, match="dask worker has another livervol"):
            run_batch(read_visits(cohort), tmp_path / "other", BatchSettings(scheduler=address), quiet=True)
    assert not (tmp_path / "other").exists()
    assert differences(local[0], tmp_path / "out", {}) == []


def test_without_dask_one_sentence_says_what_to_install(cohort, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "distributed", None)
    words = ["batch", str(cohort), "--out", str(tmp_path / "out"), "--scheduler", "tcp://127.0.0.1:1"]
    assert main(words) == 2
    assert 'pip install "livervol[cluster]"' in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_every_fault_in_small(tmp_path):
    command = [sys.executable, str(BENCHMARKS / "batch_faults.py"), "--patients", "5", "--visits", "2"]
    done = subprocess.run([*command, "--work", str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    report = json.loads(done.stdout)
    assert report["wrong"] == []
    assert any("worker killed" in told for told in report["faults"])
    assert any("coordinator killed" in told for told in report["faults"])
    assert "AN ORPHAN LIVES ON" not in report["faults"]


def test_a_full_disk_leaves_nothing_behind(task):
    program = (
        "import pickle, resource, sys\n"
        "task = pickle.load(sys.stdin.buffer)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, -1))\n"
        "from livervol.batch.task import perform\n"
        "outcome = perform(task)\n"
        "print(outcome.kind, '|', outcome.sentence)"
    )
    given = pickle.dumps(replace(task, working=task.out / "working"))
    done = subprocess.run([sys.executable, "-c", program], input=given, capture_output=True, check=True)
    kind, _, sentence = done.stdout.decode().partition(" | ")
    assert kind == "disk"
    assert "disk refused" in sentence
    assert [p for p in task.out.rglob("*") if p.is_file()] == []
    assert list((task.out / "working").iterdir()) == []
    assert perform(task).kind == ""


def test_outcomes_of_one_task(task, monkeypatch):
    first = perform(task)
    assert (first.kind, first.found, first.date) == ("", False, task.row.date)
    assert first.peak_mb > 10
    second = perform(task)
    assert (second.key, second.found, second.result_sha256) == (first.key, True, first.result_sha256)
    other = perform(replace(task, program="0.0.0+other"))
    assert (other.kind, other.key) == ("lost", "")
    assert "another program" in other.sentence
    assert perform(replace(task, settings=TaskSettings(accept_early_arterial=True))).key != first.key
    chinese = perform(replace(task, settings=TaskSettings(language="zh")))
    assert chinese.key != first.key
    pages = [p.read_text(encoding="utf-8") for p in task.out.rglob("report.html")]
    assert sorted('lang="zh' in page for page in pages) == [False, False, True]


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (MemoryError(), "memory", "memory ran out"),
        (IndexError("a patient's name"), "defect", "program failed on this visit"),
        (OSError(28, "No space left on device"), "disk", "No space left"),
        (OSError(13, "Permission denied"), "refused", "Permission denied"),
        (LivervolError("a sentence."), "refused", "a sentence."),
    ],
)
def test_what_goes_wrong_is_told_without_the_input(task, monkeypatch, error, kind, words):
    def fails(*_, **__):
        raise error

    monkeypatch.setattr("livervol.workflows.visit.measure_masks", fails)
    outcome = perform(task)
    assert outcome.kind == kind
    assert words in outcome.sentence
    assert "name" not in outcome.sentence
    assert len(outcome.sentence.splitlines()) == 1


def test_sentences_say_nothing_of_where_the_study_lies(task):
    row = replace(task.row, masks=(("liver", task.row.masks[1][1]), ("lesions", "VISITS.csv")))
    outcome = perform(replace(task, row=row))
    assert outcome.kind == "refused"
    assert str(task.root) not in outcome.sentence


@pytest.mark.parametrize("when", ["before writing", "after writing"])
def test_scratch_taken_away_under_a_worker_gives_no_half_result(task, monkeypatch, when):
    def taken(*words, **named):
        if when == "before writing":
            discard(task.working)  # the writers below make their folders again
        output = measure_masks(*words, **named)
        if when == "after writing":
            discard(task.working)
        return output

    monkeypatch.setattr("livervol.workflows.visit.measure_masks", taken)
    outcome = perform(task)
    assert outcome.kind == "disk"
    assert outcome.transient
    assert list((task.out / "results").iterdir()) == []
    monkeypatch.undo()
    assert perform(task).kind == ""


@pytest.mark.parametrize(("stated", "kind"), [("2020-01-02", ""), ("2020", ""), ("", ""), ("2020-01-03", "refused")])
def test_the_tables_date_must_be_the_scans(task, monkeypatch, stated, kind):
    def dated(*words, **named):
        return replace(measure_masks(*words, **named), date="2020-01-02")

    monkeypatch.setattr("livervol.workflows.visit.measure_masks", dated)
    outcome = perform(replace(task, row=replace(task.row, date=stated)))
    assert outcome.kind == kind
    assert outcome.date == ("" if kind else "2020-01-02")
    assert ("another date than its scan" in outcome.sentence) == bool(kind)


def test_the_verb(cohort, local, tmp_path, capsys):
    out = tmp_path / "study"
    table = cohort.parent / "some.csv"
    header, *rows = cohort.read_text().splitlines()
    table.write_text("\n".join([header, rows[0], "P9,1,,nowhere,,,,"]) + "\n")
    words = ["batch", str(table), "--out", str(out), "--workers", "1"]
    assert main(words) == 3
    told = capsys.readouterr()
    assert "1 of 2 visits done (0 before), 1 failed" in told.out
    assert "failed: row 3, visit 1: file cannot be reached" in told.err
    table.write_text("\n".join([header, rows[0]]) + "\n")
    assert main(words) == 0
    assert "1 of 1 visits done (1 before), 0 failed" in capsys.readouterr().out
    assert main(["batch", str(table), "--out", str(out), "--shard", "3/2"]) == 2
    assert main(["batch", str(table), "--out", str(out), "--shard", "1/2", "--scheduler", "tcp://x:1"]) == 2
    assert main(["batch", str(table), "--out", str(tmp_path / "no"), "--resection", "nonsense"]) == 2
    assert main(["batch", str(table), "--out", str(tmp_path / "no"), "--language", "tlh"]) == 2
    table.write_text("patient,visit,path\nA,1,../../etc\n")
    assert main(["batch", str(table), "--out", str(tmp_path / "no")]) == 2
    assert not (tmp_path / "no").exists()
    assert [p.name for p in (out / "working").iterdir() if p.suffix != ".lock"] == []
