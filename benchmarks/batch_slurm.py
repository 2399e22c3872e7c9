"""A small cohort on SLURM: dask workers as jobs, then an array of shards as a job; both must give the same bytes.

Called by slurm_run.sh with the folder to work in.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from batch_cohort import make_cohort
from batch_faults import PROGRAM, differences
from dask_jobqueue import SLURMCluster

from livervol.batch import BatchSettings, read_visits, run_batch


def on_dask_workers(table: Path, work: Path) -> None:
    cluster = SLURMCluster(
        queue="all", cores=1, processes=1, memory="2GB", walltime="00:20:00", interface="lo", python=sys.executable,
        log_directory=str(work / "logs"), local_directory=str(work), job_directives_skip=["--mem"],
    )  # fmt: skip
    cluster.scale(jobs=2)
    start = time.monotonic()
    while len(cluster.scheduler_info["workers"]) < 2 and time.monotonic() < start + 120:
        time.sleep(0.5)
    print(f"{len(cluster.scheduler_info['workers'])} dask workers as jobs after {time.monotonic() - start:.1f} s")
    print(subprocess.run(["squeue", "-h", "-o", "%i %j %T"], capture_output=True, text=True, check=True).stdout.strip())
    report = run_batch(read_visits(table), work / "dask", BatchSettings(scheduler=cluster.scheduler_address))
    print(f"dask-jobqueue: {report.done} of {report.visits} visits in {report.seconds:.0f} s")
    cluster.close()


def on_an_array(table: Path, work: Path) -> None:
    words = " ".join(f"'{word}'" for word in [*PROGRAM, "batch", str(table), "--out", str(work / "array")])
    script = work / "array.sh"
    script.write_text(f'#!/bin/sh\nexec {words} --workers 1 --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT"\n')
    logs = f"--output={work}/array-%a.log"
    done = subprocess.run(["sbatch", "--wait", "--array=1-2", "--partition=all", logs, str(script)], check=False)
    print(f"job array of two shards: exit {done.returncode}")
    for path in sorted(work.glob("array-*.log")):
        print(path.name, path.read_text().strip().splitlines()[-1])
    report = run_batch(read_visits(table), work / "array", BatchSettings(workers=1))
    print(f"gathered: {report.found} of {report.visits} visits found")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    visits = make_cohort(folder / "cohort", patients=6, visits=2)
    on_dask_workers(visits, folder)
    on_an_array(visits, folder)
    wrong = differences(folder / "dask", folder / "array", {})
    print("array against dask workers:", wrong or "every result the same, byte for byte")
    sys.exit(bool(wrong))
