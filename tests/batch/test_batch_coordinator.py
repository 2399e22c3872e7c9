"""The coordinator's decisions, with an executor that does what the test says and visits that cost nothing."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
from types import SimpleNamespace

import pytest

from livervol.batch import BatchSettings, TaskSettings, coordinator, read_visits, run_batch
from livervol.batch.budget import Budget
from livervol.batch.pool import VISITS_PER_WORKER, _Worker
from livervol.batch.progress import Board, Pace
from livervol.batch.task import Outcome, key_of, program_of, result_folder, signature_of, visit_files
from livervol.errors import LivervolError
from livervol.ledger import check, open_ledger
from livervol.ledger.audit import folder_sha256


def quick(task):
    """A visit's result without the visit: its one number is the number of results it leaned on."""
    files = visit_files(task.root, task.row)
    text = "".join(path.read_text() for _, _, path in files)
    key = key_of(task, text)
    plain = {"key": key, "signature": signature_of(files)[0], "inputs_sha256": text, "seconds": 0.01, "peak_mb": 50}
    if "bad" in text:
        return Outcome(**plain, kind="refused", sentence="it is bad")
    folder = result_folder(task.out, key)
    found = folder.is_dir()
    if not found:
        folder.mkdir(parents=True)
        header = "structure,number,name,value,unit,lower,upper,method\n"
        (folder / "measurements.csv").write_text(f"{header}liver,,volume_ml,{len(task.earlier)},ml,,,test\n")
        (folder / "measurements.json").write_text('{"lesions": [], "provenance": {"program": "livervol"}}')
        (folder / "task.json").write_text(json.dumps({"key": key, "earlier": list(task.earlier)}))
    return Outcome(**plain, found=found, result_sha256=folder_sha256(folder))


class Scripted:
    """Runs tasks in a random order; ``accidents`` maps a visit to what happens to it, one a try."""

    local = True

    def __init__(self, width=3, seed=0, accidents=None, then=None):
        self.width, self.random, self.accidents, self.then = width, random.Random(seed), dict(accidents or {}), then
        self.waiting, self.most, self.seen, self.closings = {}, 0, [], []

    def submit(self, ticket, task):
        self.waiting[ticket] = task
        self.most = max(self.most, len(self.waiting))

    def collect(self, timeout_s):
        if not self.waiting:
            return []
        ticket = self.random.choice(sorted(self.waiting))
        task = self.waiting.pop(ticket)
        name = (task.row.subject, task.row.visit)
        self.seen.append(name)
        accident = self.accidents.get(name)
        outcome = accident.pop(0) if accident else quick(task)
        if self.then is not None:
            self.then(len(self.seen))
        return [(ticket, outcome)]

    def memory_mb(self):
        return 0.0

    def close(self, *, now=False):
        self.closings.append(now)


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Run a batch over four patients of three visits; ``bad`` and ``change`` say what their files hold."""

    class Study:
        out = tmp_path / "out"

        def table(self, bad=(), change=()):
            lines = ["patient,visit,date,path"]
            for patient in "ABCD":
                for visit in (1, 2, 3):
                    path = tmp_path / f"{patient}{visit}.txt"
                    text = f"{patient}{visit}" + "bad" * ((patient, visit) in bad) + "x" * ((patient, visit) in change)
                    if not path.exists() or path.read_text() != text:
                        path.write_text(text)
                    lines.append(f"{patient},{visit},2024-0{visit}-01,{path.name}")
            (tmp_path / "VISITS.csv").write_text("\n".join(lines) + "\n")
            return read_visits(tmp_path / "VISITS.csv")

        def run(self, executor=None, out=None, bad=(), change=(), **settings):
            self.executor = executor or Scripted()
            monkeypatch.setattr(coordinator, "LocalPool", lambda workers: self.executor)
            monkeypatch.setattr(coordinator, "_kernels_compiled", lambda: True)
            return run_batch(self.table(bad, change), out or self.out, BatchSettings(**settings), quiet=True)

        def results(self, out=None):
            folder = (out or self.out) / "results"
            return {p.name: folder_sha256(p) for p in sorted(folder.iterdir())}

    return Study()


def index(out):
    return {(r["patient"], int(r["visit"])): r for r in csv.DictReader((out / "index.csv").read_text().splitlines())}


def test_every_visit_once_and_a_second_run_does_nothing(study):
    report = study.run()
    assert (report.done, report.found, report.failed, report.complete) == (12, 0, [], True)
    assert len(study.executor.seen) == len(study.results()) == 12
    again = study.run()
    assert (again.done, again.found, study.executor.seen) == (12, 12, [])
    with open_ledger(study.out / "study.sqlite") as ledger:
        assert len(ledger.query("SELECT * FROM runs")) == 12
        assert check(ledger) == ()


def test_visits_of_a_patient_lean_on_those_before(study):
    study.run()
    with open_ledger(study.out / "study.sqlite") as ledger:
        rows = ledger.query("SELECT visit, value FROM current_numbers")
    assert all(row["value"] == row["visit"] - 1 for row in rows)


@pytest.mark.parametrize("seed", range(5))
def test_results_do_not_depend_on_order_or_accidents(study, tmp_path, seed):
    bad = [("B", 2)]
    study.run(out=tmp_path / "calm", bad=bad)
    rng = random.Random(seed)
    names = [(p, v) for p in "ABCD" for v in (1, 2, 3) if (p, v) not in bad]
    disk = Outcome(kind="disk", sentence="disk full")
    accidents = {name: [rng.choice([None, Outcome(kind="memory", sentence="too little"), disk])]
                 for name in rng.sample(names, 5)}  # fmt: skip
    for _ in range(12):
        report = study.run(Scripted(width=rng.choice([1, 2, 5]), seed=seed, accidents=accidents), bad=bad)
        if report.done == 11:
            break
    assert study.results() == study.results(tmp_path / "calm")
    assert {k: r["folder"] for k, r in index(study.out).items()} == {
        k: r["folder"] for k, r in index(tmp_path / "calm").items()
    }
    with open_ledger(study.out / "study.sqlite") as ledger:
        assert len(ledger.query("SELECT * FROM runs WHERE status = 'done'")) == 11
        assert check(ledger) == ()


def test_a_bad_visit_is_passed_over_and_not_tried_again_unless_asked(study):
    report = study.run(bad=[("A", 1)])
    assert [(row.subject, row.visit, sentence) for row, sentence in report.failed] == [("A", 1, "it is bad")]
    assert report.done == 11
    assert index(study.out)["A", 1]["sentence"] == "it is bad"
    report = study.run(bad=[("A", 1)])
    assert (report.done, len(report.failed), study.executor.seen) == (11, 1, [])
    study.run(bad=[("A", 1)], retry_failed=True)
    assert study.executor.seen == [("A", 1)]


def test_a_mended_visit_revises_those_that_leaned_past_it(study):
    study.run(bad=[("A", 2)])
    report = study.run()
    assert report.complete
    assert study.executor.seen == [("A", 2), ("A", 3)]
    with open_ledger(study.out / "study.sqlite") as ledger:
        rows = ledger.history("A", 3, "volume_ml")
    assert [(row["revision"], row["value"]) for row in rows] == [(1, 1.0), (2, 2.0)]


def test_changed_files_and_settings_make_new_revisions(study):
    study.run()
    study.run(change=[("D", 3)])
    assert study.executor.seen == [("D", 3)]
    study.run(change=[("D", 3)], task=TaskSettings(accept_early_arterial=True))
    assert len(study.executor.seen) == 12
    report = study.run(change=[("D", 3)], workers=7)  # how it is run is no part of what is made
    assert report.found == 12
    assert len(study.results()) == 25
    assert index(study.out)["D", 3]["revision"] == "4"  # back to the settings before: the numbers in force again


def test_a_visit_that_kills_its_worker_is_lost_and_holds_back_its_patient(study):
    report = study.run(Scripted(accidents={("A", 1): [None] * 3}))
    assert report.waiting == 2
    assert (report.done, len(report.failed)) == (9, 1)
    assert "3 dead workers" in report.failed[0][1]
    report = study.run()
    assert report.complete
    assert set(study.executor.seen) == {("A", 1), ("A", 2), ("A", 3)}


def test_a_worker_that_dies_once_costs_one_try(study):
    report = study.run(Scripted(accidents={("A", 1): [None], ("C", 2): [None, None]}))
    assert report.complete
    assert len(study.executor.seen) == 15


def test_a_full_disk_stops_the_batch(study):
    full = Outcome(kind="disk", sentence="disk refused")
    report = study.run(Scripted(width=1, accidents={("A", 1): [full]}))
    assert report.stopped == "disk refused"
    assert study.executor.seen[-1] == ("A", 1)
    assert report.waiting == 11 - report.done
    assert study.run().complete


@pytest.fixture
def interruptible():
    """Ctrl-C as in a terminal; a program started in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_interrupt_finishes_what_is_under_way(study, interruptible):
    def press(ended):
        if ended == 4:
            os.kill(os.getpid(), signal.SIGINT)

    report = study.run(Scripted(width=3, then=press))
    assert report.interrupted
    assert report.stopped == "interrupted"
    assert report.done == 4 + 2  # the two others that were running
    assert study.executor.closings[0] is False
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert study.run().complete


def test_second_interrupt_and_sigterm_do_not_wait(study):
    report = study.run(Scripted(then=lambda n: n == 2 and os.kill(os.getpid(), signal.SIGTERM)))
    assert report.interrupted
    assert report.done == 2
    assert study.executor.closings[0] is True
    assert study.run().complete


def test_shards_are_disjoint_whole_and_gathered(study, tmp_path):
    seen = []
    for n in (1, 2, 3):
        report = study.run(shard=(n, 3), bad=[("B", 1)])
        seen += study.executor.seen
        assert not (study.out / "study.sqlite").exists()
        assert len({name[0] for name in study.executor.seen}) == (2 if n == 1 else 1)
        assert report.done + len(report.failed) == report.visits
    assert sorted(seen) == [(p, v) for p in "ABCD" for v in (1, 2, 3)]
    again = study.run(shard=(1, 3), bad=[("B", 1)])
    assert (again.found, study.executor.seen) == (6, [])
    report = study.run(bad=[("B", 1)])
    assert (report.found, len(report.failed), study.executor.seen) == (11, 1, [])
    study.run(out=tmp_path / "calm", bad=[("B", 1)])
    assert study.results() == study.results(tmp_path / "calm")
    study.run(bad=[("B", 1)])
    with open_ledger(study.out / "study.sqlite") as ledger:
        assert len(ledger.query("SELECT * FROM runs")) == 12
    with pytest.raises(LivervolError, match="shard"):
        study.run(shard=(4, 3))


def test_a_torn_line_of_a_shard_costs_one_visit(study):
    study.run(shard=(1, 1))
    path = study.out / "shards" / "shard-1-of-1.jsonl"
    lines = path.read_bytes()
    path.write_bytes(lines[:-25])
    report = study.run(shard=(1, 1))
    assert report.complete
    assert len(study.executor.seen) == 1
    assert study.run().found == 12


def test_a_result_folder_that_is_gone_is_made_again(study):
    study.run()
    gone = result_folder(study.out, sorted(study.results())[0])
    before = study.results()
    for path in gone.iterdir():
        path.unlink()
    gone.rmdir()
    report = study.run()
    assert report.complete
    assert len(study.executor.seen) == 1
    assert study.results() == before


def test_what_a_killed_coordinator_left_is_found(study):
    study.run()
    (study.out / "study.sqlite").unlink()
    (study.out / "working" / "main@dead" / "half").mkdir(parents=True)
    report = study.run()
    assert (report.done, report.found) == (12, 12)
    assert len(study.executor.seen) == 12  # asked, but nothing was made
    assert [p.name for p in (study.out / "working").iterdir()] == ["main.lock"]


def test_one_coordinator_at_a_time(study):
    def second(n):
        if n == 1:
            with pytest.raises(LivervolError, match="already running"):
                run_batch(study.table(), study.out, quiet=True)

    assert study.run(Scripted(then=second)).complete


def test_memory_budget_limits_what_runs_at_once(study):
    study.run(Scripted(width=4), memory_mb=850.0)  # two of the 400 MB reckoned for each
    assert study.executor.most == 2
    study.run(Scripted(width=4), out=study.out / "tight", memory_mb=10.0)
    assert study.executor.most == 1


def test_budget_learns_from_what_was_needed():
    budget = Budget(1000.0)
    first = budget.estimate_mb(100 << 20)
    for _ in range(3):
        budget.learn(100 << 20, 900.0)
    assert 900 < budget.estimate_mb(100 << 20) < first
    budget.learn(100 << 20, 5000.0)
    assert budget.estimate_mb(100 << 20) > 5000
    assert budget.fits(5000, [])
    assert budget.fits(500, [500.0])
    assert not budget.fits(501, [500.0])


def test_pace_and_time_left():
    now = [100.0]
    pace = Pace(10.0, clock=lambda: now[0])
    pace.start()
    assert pace.left_s() is None
    for _ in range(4):
        now[0] += 5
        pace.ended(1.0)
    assert pace.per_second() == pytest.approx(0.2)
    assert pace.left_s() == pytest.approx(30.0)
    pace.ended(2.0, counts=False)  # found: nothing to do for it
    assert pace.left_s() == pytest.approx(20.0)
    assert pace.estimates[-1] == pytest.approx((20.0, 30.0))


def test_program_names_the_code():
    assert program_of().startswith("0.")
    assert len(program_of().split("+")[1]) == 16


@pytest.mark.parametrize("terminal", [True, False])
def test_the_board_tells_how_far_it_is(monkeypatch, capsys, terminal):
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("COLUMNS", "140")
    now = [0.0]
    pace = Pace(10.0, clock=lambda: now[0])
    pace.start()
    now[0] = 1800.0
    pace.ended(5.0)
    with Board(10) as board:
        board.show(6, 1, 2, pace, 2048.0)
        board.say("a line")
    told = capsys.readouterr().err
    for word in ("visits", "1 failed", "2 running", "10 visits/h", "0:30:00 left", "2.0 GB", "a line"):
        assert word in told


def test_a_worker_that_has_grown_or_served_long_is_replaced(monkeypatch):
    sizes = [400.0, 590.0, 610.0, 400.0]
    monkeypatch.setattr("livervol.batch.pool.resident_mb", lambda pids: sizes.pop(0))
    worker = _Worker(SimpleNamespace(pid=1), None, None)
    assert [worker.worn(), worker.worn(), worker.worn()] == [False, False, True]
    worker.served = VISITS_PER_WORKER
    assert worker.worn()
