"""Two processes write one ledger at once: no row lost, none doubled, the file sound afterwards.

python benchmarks/batch_ledger.py [--seconds 60] [--processes 2]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

from livervol.ledger import LesionEntry, Number, RunRecord, check, open_ledger

NUMBERS = 20


def record(writer: int, n: int) -> RunRecord:
    """Every third visit is one that the other process writes too; revisions follow each other."""
    shared = n % 3 == 0
    subject = f"shared{n % 7}" if shared else f"writer{writer}-{n % 11}"
    numbers = tuple(Number("lesion", "1", f"number_{k}", n + k / 8, "mm") for k in range(NUMBERS))
    return RunRecord(
        subject, n % 5, f"key-{writer}-{n}", numbers=numbers, lesions=(LesionEntry(1, "liver", "measured"),),
        attempt=f"{writer}-{n}",
    )  # fmt: skip


def write(path: str, writer: int, until: float, counts) -> None:
    n = 0
    with open_ledger(path) as ledger:
        while time.time() < until:
            ledger.record(record(writer, n))
            if n % 10 == 0:
                ledger.record(record(writer, n))  # handed in twice: must stay one
            n += 1
    counts.put((writer, n))


def race(path: Path, seconds: float, processes: int) -> tuple[int, list[str]]:
    """Rows written, and what is wrong with them."""
    context = get_context("spawn")
    counts = context.Queue()
    until = time.time() + seconds
    workers = [context.Process(target=write, args=(str(path), w, until, counts)) for w in range(processes)]
    for worker in workers:
        worker.start()
    written = dict(counts.get() for _ in workers)
    for worker in workers:
        worker.join()
    wrong = []
    with open_ledger(path) as ledger:
        expected = sorted(f"{w}-{n}" for w, count in written.items() for n in range(count))
        got = sorted(row["attempt"] for row in ledger.query("SELECT attempt FROM runs"))
        if got != expected:
            wrong.append(f"{len(set(expected) - set(got))} lost, {len(got) - len(set(got))} doubled")
        rows = ledger.query("SELECT count(*) AS n FROM measurements")[0]["n"]
        if rows != NUMBERS * len(expected):
            wrong.append(f"{rows} numbers instead of {NUMBERS * len(expected)}")
        wrong += [finding.sentence for finding in check(ledger)]
    return len(expected), wrong


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--processes", type=int, default=2)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs, problems = race(Path(folder) / "study.sqlite", chosen.seconds, chosen.processes)
    verdict = "; ".join(problems) or "none lost or doubled, ledger sound"
    print(f"{runs} runs of {NUMBERS} numbers by {chosen.processes} processes in {chosen.seconds:.0f} s: {verdict}")
    sys.exit(bool(problems))
