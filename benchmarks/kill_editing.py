"""Kill an editing session at random moments; after reopening at most the stroke in progress may be missing.

    python benchmarks/kill_editing.py [--kills 200] [--visit FOLDER] [--tiny]

A child process paints, erases, undoes and saves without end and reports each finished stroke on its output; the parent
kills it (SIGKILL) after a random time, reopens the reading and checks: the journal verifies, it holds every reported
stroke and at most one more, its replay equals the reopened masks, every file in the folder is whole.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import signal
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from livervol.edit.brush import Brush, erase, paint
from livervol.edit.journal import read_records, rebuild, verify
from livervol.io.nifti import read_nifti_labels
from livervol.workflows.reading import Reading
from livervol.workflows.reading_folder import reader_folder
from livervol.workflows.reading_save import save

# children are forked off a server of one thread that has imported everything
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["livervol.workflows.reading_save"])


def edit_without_end(visit: Path, seed: int, said: Connection) -> None:
    """In the child: paint, erase, undo, redo and save; the number of records is said after each."""
    rng = np.random.default_rng(seed)
    reading = Reading.open(visit, "K")
    said.send(len(reading.records))
    for stroke in range(10**6):
        move = rng.integers(8)
        if move == 0:
            reading.undo()
        elif move == 1:
            reading.redo()
        elif move == 2 and stroke % 5 == 0:
            save(reading)
        else:
            at = rng.uniform(0.25, 0.75, 3) * reading.grid.shape_zyx
            make, mask = (paint, erase)[int(rng.integers(2))], ("liver", "lesions")[int(rng.integers(2))]
            more = (1,) if make is paint else ()
            reading.apply(make(reading.canvas(mask), [at], Brush(float(rng.uniform(3, 12)), None), *more))
        said.send(len(reading.records))


def one_kill(visit: Path, seed: int, longest_s: float) -> str:
    """Edit, kill, check; returns what is wrong, "" when nothing is."""
    rng = np.random.default_rng(seed)
    heard, said = SERVER.Pipe(duplex=False)
    child = SERVER.Process(target=edit_without_end, args=(visit, seed, said))
    child.start()
    said.close()
    reported = []
    try:
        # on a busy machine the first stroke is slow to come: the clock starts with it
        reported += [heard.recv(), heard.recv()]
        time.sleep(float(rng.uniform(0, longest_s)))
        child.kill()
        while True:
            reported.append(heard.recv())
    except EOFError:
        child.join()
    if child.exitcode != -signal.SIGKILL:
        return f"editing ended by itself, exit code {child.exitcode}, after {len(reported)} reports"
    return checked(visit, reported[-1])


def checked(visit: Path, reported: int) -> str:
    """What is wrong with a reader's folder after a crash, "" when nothing is."""
    folder = reader_folder(visit, "K")
    report = verify(folder / "edits.journal")
    if not reported <= report.records <= reported + 1:
        return f"{report.records} records, {reported} were reported"
    with Reading.open(visit, "K") as reading:
        replayed = rebuild(read_records(folder / "edits.journal"))
        if any(not np.array_equal(replayed.masks[n], m) for n, m in reading.masks.items()):
            return "the reopened masks are not the journal's"
        reading.refresh()
    # what begins with a dot was being written, and replaces nothing
    for path in folder.glob("[!.]*.nii.gz"):
        read_nifti_labels(path)
    for path in folder.glob("[!.]*.json"):
        json.loads(path.read_text(encoding="utf-8"))
    return ""


def main() -> None:
    """Kill as often as asked; exit 1 when anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--visit", type=Path, help="a visit's output folder; default: a small phantom")
    parser.add_argument("--longest", type=float, default=0.6, help="seconds until the kill, at most")
    parser.add_argument("--tiny", action="store_true", help="three kills")
    chosen = parser.parse_args()
    kills = 3 if chosen.tiny else chosen.kills
    with tempfile.TemporaryDirectory() as scratch:
        visit = chosen.visit
        if visit is None:
            sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
            from reading_visit import make_visit

            visit = make_visit(Path(scratch) / "visit")
        with Reading.open(visit, "K") as reading:
            reading.refresh()
        wrong = []
        for seed in range(kills):
            found = one_kill(visit, seed, chosen.longest)
            if found:
                wrong.append(f"kill {seed}: {found}")
                print(wrong[-1], flush=True)
            elif seed % 10 == 9:
                print(f"{seed + 1} kills, {len(wrong)} with something wrong so far", flush=True)
        records = verify(reader_folder(visit, "K") / "edits.journal").records
    print(f"{kills} kills, {len(wrong)} with something wrong, {records} records in the journal at the end")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
