"""A whole visit of two phases of 512 x 512 x 200 voxels, DICOM in, everything out: wall, CPU, peak memory of each step.

    python benchmarks/visit.py [--slices 200] [--size 512] [--json ROWS.json] [--profile FILE]

The scan is the generated sample visit resampled with noise added, written as uncompressed DICOM. Run in processes of
their own: first with nothing compiled (the CPU seconds it takes more are what compiling costs), then on one thread,
step after step, then on two, where steps run beside each other. Fails when the later runs compile anything, or when one
thread and two write different voxels or numbers.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

SAMPLE = Path(__file__).resolve().parents[1] / "sample_scans" / "course" / "visit_1"
PHASES = ("late_arterial", "portal_venous")


def write_visit(folder: Path, slices: int, size: int) -> None:
    """The sample's two phases with so many voxels, as DICOM series; the same pixels every time."""
    from scipy import ndimage

    for phase in PHASES:
        headers = sorted((dcmread(path) for path in (SAMPLE / phase).glob("*.dcm")), key=lambda h: h.SliceLocation)
        voxels = np.stack([header.pixel_array for header in headers]).astype(np.float32)
        zoom = np.array([slices, size, size]) / voxels.shape
        spacing_z = abs(float(headers[1].SliceLocation) - float(headers[0].SliceLocation)) / zoom[0]
        large = ndimage.zoom(voxels, zoom, order=1, grid_mode=True, mode="nearest")
        large += np.random.default_rng(11).normal(0, 12, large.shape).astype(np.float32)
        stored = np.clip(np.rint(large), 0, 4095).astype("<u2")
        (folder / phase).mkdir(parents=True)
        header = headers[0]
        header.decompress()
        first = [float(v) for v in header.ImagePositionPatient]
        header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        header.Rows = header.Columns = size
        header.PixelSpacing = [round(float(header.PixelSpacing[0]) / zoom[1], 6)] * 2
        header.SliceThickness = round(spacing_z, 6)
        for k, plane in enumerate(stored):
            header.InstanceNumber = k + 1
            header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = generate_uid(
                entropy_srcs=[phase, str(k)]
            )
            header.ImagePositionPatient = [first[0], first[1], round(first[2] + k * spacing_z, 6)]
            header.SliceLocation = header.ImagePositionPatient[2]
            header.PixelData = plane.tobytes()
            header.save_as(folder / phase / f"{k + 1:04d}.dcm", enforce_file_format=True)


def peak_mb() -> float:
    """The largest resident memory since it was last reset."""
    text = Path("/proc/self/status").read_text()
    return int(text.partition("VmHWM:")[2].split()[0]) / 1024


def counted_compilations() -> list[str]:
    """Kernels compiled from now on in this process, by name."""
    from numba.core import event

    names: list[str] = []

    class Listener(event.Listener):  # type: ignore[misc]
        def on_start(self, event: object) -> None:
            names.append(event.data["dispatcher"].py_func.__qualname__)  # type: ignore[attr-defined]

        def on_end(self, event: object) -> None:
            """Nothing: a start is enough."""

    event.register("numba:compile", Listener())
    return names


def child(inputs: Path, out: Path, threads: int, profile: Path | None) -> None:
    """One run; prints its steps as JSON."""
    start, start_cpu = time.perf_counter(), time.process_time()
    from livervol.kernels.slabs import set_threads
    from livervol.workflows.visit import run_visit

    set_threads(threads)
    compiled = counted_compilations()

    steps: list[dict[str, object]] = []
    last = [("importing", start, start_cpu)]

    def step(words: str) -> None:
        name, wall, cpu = last[0]
        now, now_cpu = time.perf_counter(), time.process_time()
        steps.append({"step": name, "wall_s": now - wall, "cpu_s": now_cpu - cpu, "peak_mb": peak_mb()})
        Path("/proc/self/clear_refs").write_text("5")
        last[0] = (words, now, now_cpu)

    if profile:
        import cProfile

        with cProfile.Profile() as taken:
            run_visit([inputs], out, progress=step)
        taken.dump_stats(profile)
    else:
        run_visit([inputs], out, progress=step)
    step("")
    wall, cpu = time.perf_counter() - start, time.process_time() - start_cpu
    peak = max(float(str(step["peak_mb"])) for step in steps)
    print(json.dumps({"wall_s": wall, "cpu_s": cpu, "peak_mb": peak, "steps": steps, "compiled": compiled}))


def written(out: Path) -> dict[str, str]:
    """Digests of the images and the table that a run wrote."""
    files = [*out.rglob("*.nii.gz"), out / "measurements.csv"]
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def measured(inputs: Path, out: Path, cache: Path, threads: int, profile: Path | None = None) -> dict[str, Any]:
    """One run in a process of its own, compiled kernels kept in ``cache``."""
    words = [sys.executable, __file__, "--child", str(inputs), "--out", str(out), "--threads", str(threads)]
    if profile:
        words += ["--profile", str(profile)]
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, env={**os.environ, "NUMBA_CACHE_DIR": str(cache)}
    )
    if done.returncode:
        sys.exit(done.stderr[-2000:])
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    """Print both runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=200)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument(
        "--profile", type=Path, help="also write cProfile's statistics of one more run on one thread here"
    )
    parser.add_argument("--tiny", action="store_true", help="the sample's own size")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        child(chosen.child, chosen.out, chosen.threads, chosen.profile)
        return
    slices, size = (40, 128) if chosen.tiny else (chosen.slices, chosen.size)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_visit(folder / "visit", slices, size)
        cache = folder / "compiled"
        first = measured(folder / "visit", folder / "first", cache, 2)
        one = measured(folder / "visit", folder / "one", cache, 1)
        two = measured(folder / "visit", folder / "two", cache, 2)
        if chosen.profile:
            measured(folder / "visit", folder / "profiled", cache, 1, chosen.profile)
        differ = written(folder / "one") != written(folder / "two")
    for step in one["steps"]:
        print(f"{step['step']:30} {step['wall_s']:6.2f} s wall {step['cpu_s']:6.2f} s CPU {step['peak_mb']:6.0f} MB")
    for name, run in (("whole, one thread", one), ("whole, two threads", two)):
        print(f"{name:30} {run['wall_s']:6.2f} s wall {run['cpu_s']:6.2f} s CPU {run['peak_mb']:6.0f} MB")
    extra = first["cpu_s"] - two["cpu_s"]
    print(f"the first run took {extra:.1f} CPU seconds more: it compiled {len(first['compiled'])} functions")
    if chosen.json:
        rows = {"voxels": [slices, size, size], "cores": os.cpu_count(), "one": one, "two": two,
                "first_run_extra_cpu_s": extra}  # fmt: skip
        chosen.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    if again := one["compiled"] + two["compiled"]:
        sys.exit(f"compiled in a later run: {', '.join(sorted(set(again)))}")
    if differ:
        sys.exit("one thread and two wrote different results")


if __name__ == "__main__":
    main()
