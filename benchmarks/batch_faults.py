"""Everything that can go wrong with a batch goes wrong; afterwards its results must be those of an undisturbed run.

A worker is killed in the middle of a visit, the coordinator is killed, the disk fills during a write, one visit is
corrupt, one unreadable, one missing; the batch is started again each time. Then every good visit must have exactly one
result, byte for byte that of the undisturbed run, every bad one its sentence, and nothing half written may be left.

python benchmarks/batch_faults.py [--patients 50] [--visits 4] [--work DIR]
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from batch_cohort import make_cohort

from livervol.ledger import check, open_ledger
from livervol.ledger.audit import folder_sha256

PROGRAM = [sys.executable, "-c", "import sys; from livervol.cli import main; sys.exit(main())"]


def spoil(table: Path) -> dict[tuple[str, str], str]:
    """Make three visits bad: patient and visit, and a word of the sentence each must get."""
    folder = table.parent
    with table.open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    liver = [folder / row["liver"] for row in rows]
    whole = liver[0].read_bytes()
    liver[1].write_bytes(whole[: len(whole) // 2])
    liver[4].unlink()
    if os.geteuid():
        liver[4].write_bytes(whole)
        liver[4].chmod(0)
    else:  # nothing is unreadable for root, except what leads nowhere
        liver[4].symlink_to(liver[4].name)
    liver[6].unlink(missing_ok=True)
    at = [(rows[n]["patient"], rows[n]["visit"]) for n in (1, 4, 6)]
    return dict(zip(at, ("", "cannot be reached" if not os.geteuid() else "read", "cannot be reached"), strict=True))


def start(table: Path, out: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*PROGRAM, "batch", str(table), "--out", str(out), *(words or ("--workers", "2"))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def results(out: Path) -> list[Path]:
    return sorted((out / "results").glob("*")) if (out / "results").is_dir() else []


def until(condition: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 900) -> bool:
    """Wait for the condition while the process lives."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


def children(pid: int) -> list[int]:
    try:
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def workers(pid: int) -> list[int]:
    """Worker processes: the children of the fork server, which is a child of the coordinator."""
    return [grandchild for child in children(pid) for grandchild in children(child)]


def mounted(out: Path, megabytes: float) -> bool:
    """Whether a disk of that size could be mounted for the batch; else it runs on the ordinary one."""
    out.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={int(megabytes * 1024)}k", "tmpfs", str(out)]
    return not subprocess.run(command, capture_output=True, check=False).returncode


def alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def disturbed(table: Path, out: Path, small: bool) -> list[str]:
    """The batch with every fault; what was done to it."""
    told = []
    first = start(table, out)
    until(lambda: len(results(out)) >= 2 and bool(workers(first.pid)), first)
    victims = workers(first.pid)
    if victims and first.poll() is None:
        os.kill(victims[0], signal.SIGKILL)
        told.append("a worker killed")
    more = len(results(out)) + 3
    until(lambda: len(results(out)) >= more, first)
    orphans = workers(first.pid)
    if first.poll() is None:
        first.kill()
        told.append(f"the coordinator killed after {len(results(out))} results")
    first.communicate()
    end = time.monotonic() + 20
    while any(map(alive, orphans)) and time.monotonic() < end:
        time.sleep(0.1)
    told += ["AN ORPHAN LIVES ON" for pid in orphans if alive(pid)]
    if small:
        full = start(table, out)
        last = full.communicate(timeout=3600)[1].splitlines()[-1]
        told.append(f"disk full after {len(results(out))} results, exit {full.returncode}: {last}")
        subprocess.run(["mount", "-o", "remount,size=2g", str(out)], check=True)
    before = len(results(out))
    second = start(table, out)
    until(lambda: len(results(out)) >= before + 3, second)
    if second.poll() is None:
        second.send_signal(signal.SIGINT)
        second.communicate(timeout=900)
        told.append(f"interrupted after {len(results(out))} results: exit {second.returncode}")
    second.communicate(timeout=900)
    return told


def outcome_of(out: Path) -> dict[tuple[str, str], tuple[str, str, str]]:
    with (out / "index.csv").open(encoding="utf-8", newline="") as handle:
        return {(r["patient"], r["visit"]): (r["status"], r["folder"], r["sentence"]) for r in csv.DictReader(handle)}


def differences(reference: Path, out: Path, bad: dict[tuple[str, str], str]) -> list[str]:
    """Everything in which ``out`` differs from the undisturbed run, or is not as it must be."""
    wrong = []
    right, got = outcome_of(reference), outcome_of(out)
    if right != got:
        wrong += [
            f"{key}: {right.get(key)} became {got.get(key)}"
            for key in right.keys() | got.keys()
            if right.get(key) != got.get(key)
        ]
    for key, (status, folder, sentence) in got.items():
        if (status == "done") == (key in bad):
            wrong.append(f"{key}: {status}")
        if key in bad and (not sentence or bad[key] not in sentence):
            wrong.append(f"{key}: sentence is {sentence!r}")
        if status == "done" and folder_sha256(reference / folder) != folder_sha256(out / folder):
            wrong.append(f"{key}: other bytes")
    names = [[p.name for p in results(where)] for where in (reference, out)]
    if names[0] != names[1]:
        wrong.append(f"{len(names[0])} result folders became {len(names[1])}")
    wrong += [f"left over: {p.name}" for p in (out / "working").iterdir() if p.suffix != ".lock"]
    wrong += [f"half written: {p.name}" for p in out.rglob(".writing-*")]
    with open_ledger(out / "study.sqlite") as ledger:
        wrong += [finding.sentence for finding in check(ledger)]
        twice = ledger.query("SELECT visit_id FROM runs WHERE status = 'done' GROUP BY visit_id HAVING count(*) > 1")
        wrong += [f"visit row {row['visit_id']} has two results" for row in twice]
    return wrong


def trial(work: Path, patients: int, visits: int) -> dict[str, object]:
    """The undisturbed run (unless ``work`` holds one), then the disturbed one; what happened and what is wrong."""
    table = work / "cohort" / "VISITS.csv"
    bad = spoil(table) if table.is_file() else spoil(make_cohort(work / "cohort", patients, visits))
    reference, out = work / "reference", work / "disturbed"
    report: dict[str, object] = {"bad": len(bad)}
    begun = time.monotonic()
    if not reference.is_dir():
        run = start(table, reference)
        report["undisturbed"] = run.communicate(timeout=3600)[0].strip()
    used = sum(p.stat().st_size for p in reference.rglob("*") if p.is_file()) / 2**20
    small = mounted(out, 0.5 * used + 1)
    try:
        report["faults"] = disturbed(table, out, small)
        last = start(table, out)
        report["last run"] = last.communicate(timeout=3600)[0].strip()
        report["wrong"] = differences(reference, out, bad)
    finally:
        if small:
            subprocess.run(["umount", str(out)], check=False)
    report["seconds"] = round(time.monotonic() - begun)
    return report


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--patients", type=int, default=50)
    parser.add_argument("--visits", type=int, default=4)
    parser.add_argument("--work", type=Path, help="scratch folder to keep; else a temporary one")
    chosen = parser.parse_args()
    folder = chosen.work or Path(tempfile.mkdtemp())
    found = trial(folder, chosen.patients, chosen.visits)
    print(json.dumps(found, indent=1))
    if chosen.work is None:
        shutil.rmtree(folder)
    sys.exit(bool(found["wrong"]))
