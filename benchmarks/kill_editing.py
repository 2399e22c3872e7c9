"""Kill an editing session at random moments; after reopening at most the stroke in progress may be missing.

    python benchmarks/kill_editing.py [--kills 200] [--visit FOLDER] [--tiny]

A child process paints, erases, undoes and saves without end and reports each finished stroke on its output; the parent
kills it (SIGKILL) after a random time, reopens the reading and checks: the journal verifies, it holds every reported
stroke and at most one more, its replay equals the reopened masks, every file in the folder is whole.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from livervol.edit.journal import read_records, rebuild, verify
from livervol.io.nifti import read_nifti_labels
from livervol.workflows.reading import Reading
from livervol.workflows.reading_folder import reader_folder

CHILD = """
import sys
import numpy as np
from livervol.edit.brush import Brush, erase, paint
from livervol.workflows.reading import Reading
from livervol.workflows.reading_save import save
rng = np.random.default_rng(int(sys.argv[2]))
reading = Reading.open(sys.argv[1], "K")
print("open", len(reading.records), flush=True)
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
    print("done", len(reading.records), flush=True)
"""


def one_kill(visit: Path, seed: int, longest_s: float) -> str:
    """Edit, kill, check; returns what is wrong, "" when nothing is."""
    rng = np.random.default_rng(seed)
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(visit), str(seed)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stderr is not None
    said = child.stdout.readline()
    if not said.startswith("open"):
        child.kill()
        return f"did not open: {said} {child.stderr.read()[-400:]}"
    # on a busy machine the first stroke is slow to come: the clock starts with it
    first = child.stdout.readline()
    time.sleep(float(rng.uniform(0, longest_s)))
    child.send_signal(signal.SIGKILL)
    rest, _ = child.communicate()
    reported = [int(line.split()[1]) for line in [said, first, *rest.splitlines()] if len(line.split()) == 2]
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
    for path in folder.glob("[!.]*.nii.gz"):  # what begins with a dot was being written, and replaces nothing
        read_nifti_labels(path)
    for path in folder.glob("*.json"):
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
