"""Visits per hour, memory and the accuracy of the time left, on local workers and on a dask scheduler over tcp.

python benchmarks/batch_throughput.py [--patients 50] [--visits 4] [--workers 2] [--work DIR] [--only local|dask]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from batch_cohort import make_cohort
from batch_faults import differences, spoil

from livervol.batch import BatchSettings, read_visits, run_batch
from livervol.batch.memory import resident_mb
from livervol.batch.task import program_of

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1"}


def family(pid: int) -> list[int]:
    """A process and all it has started."""
    try:
        children = [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return [pid, *(p for child in children for p in family(child))]


class MemoryWatch(threading.Thread):
    """The largest resident memory of this process and everything it started; pages they share count for each."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak_mb, self.over = 0.0, threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.5):
            self.peak_mb = max(self.peak_mb, resident_mb(family(os.getpid())))


def time_left_errors(estimates: list[tuple[float, float]], seconds: float) -> dict[str, float]:
    """Error of the predicted duration in % of the true one when 10, 25, 50 and 75 % of the visits were done."""
    found = {}
    for share in (0.10, 0.25, 0.50, 0.75):
        at, left = estimates[int(share * (len(estimates) - 1))]
        found[f"at {share:.0%}"] = round(100 * (at + left - seconds) / seconds, 1)
    return found


@contextmanager
def dask_cluster(workers: int, folder: Path) -> Iterator[str]:
    """A scheduler and its workers as processes of their own on the loopback device; its address."""
    environment = {**os.environ, **ONE_THREAD}
    command = [
        sys.executable,
        "-m",
        "distributed.cli.dask_scheduler",
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        "--no-dashboard",
    ]
    log = (folder / "scheduler.log").open("w+")
    started = [subprocess.Popen(command, stdout=log, stderr=log, env=environment)]
    try:
        address = ""
        end = time.monotonic() + 120
        while not address and time.monotonic() < end:
            time.sleep(0.2)
            match = re.search(r"tcp://127\.0\.0\.1:\d+", (folder / "scheduler.log").read_text())
            address = match[0] if match else ""
        for n in range(workers):
            words = f"{address} --nthreads 1 --nworkers 1 --no-dashboard --host 127.0.0.1"
            scratch = ["--local-directory", str(folder / f"worker{n}")]
            command = [sys.executable, "-m", "distributed.cli.dask_worker", *words.split(), *scratch]
            started.append(subprocess.Popen(command, stdout=log, stderr=log, env=environment))
        yield address
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(30)
        log.close()


def measured(table: Path, out: Path, settings: BatchSettings) -> dict[str, object]:
    watch = MemoryWatch()
    watch.start()
    report = run_batch(read_visits(table), out, settings)
    watch.over.set()
    busy = report.estimates
    new = report.done - report.found
    return {
        "done": new,
        "failed": len(report.failed),
        "seconds": round(report.seconds, 1),
        "visits_per_hour": round(3600 * new / report.seconds),
        "peak_mb_of_a_visit": round(report.peak_mb),
        "peak_mb_of_all": round(watch.peak_mb),
        "time_left_error_percent": time_left_errors(busy, busy[-1][0]),
        "program": program_of(),
        "workers": settings.workers or settings.scheduler,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--patients", type=int, default=50)
    parser.add_argument("--visits", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--work", type=Path, help="scratch folder to keep; else a temporary one")
    parser.add_argument("--only", choices=("local", "dask"))
    chosen = parser.parse_args()
    work = chosen.work or Path(tempfile.mkdtemp())
    table = work / "cohort" / "VISITS.csv"
    bad = spoil(table if table.is_file() else make_cohort(work / "cohort", chosen.patients, chosen.visits))
    wrong: list[str] = []
    if chosen.only != "dask":
        print(
            "local", json.dumps(measured(table, work / "reference", BatchSettings(workers=chosen.workers))), flush=True
        )
    if chosen.only != "local":
        with dask_cluster(chosen.workers, work) as address:
            time.sleep(5)
            print("dask", json.dumps(measured(table, work / "dask", BatchSettings(scheduler=address))), flush=True)
        if (work / "reference").is_dir():
            wrong = differences(work / "reference", work / "dask", bad)
            print("dask against local:", wrong or "every result the same, byte for byte")
    if chosen.work is None:
        shutil.rmtree(work)
    sys.exit(bool(wrong))
