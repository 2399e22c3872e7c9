"""A whole visit of two phases of 512 x 512 x 200 voxels, DICOM in, everything out: wall, CPU, peak memory of each step.

    python benchmarks/visit.py [--slices 200] [--size 512] [--json ROWS.json] [--profile FILE]

The scan is the generated sample visit resampled with noise added, written as uncompressed DICOM. Run twice in processes
of their own: the first run compiles what no earlier run has (its seconds are told apart), the second is the figure.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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


def child(inputs: Path, out: Path, profile: Path | None) -> None:
    """One run; prints its steps as JSON."""
    start, start_cpu = time.perf_counter(), time.process_time()
    from livervol.workflows.visit import run_visit

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
    print(json.dumps({"wall_s": wall, "cpu_s": cpu, "steps": steps}))


def measured(inputs: Path, out: Path, profile: Path | None = None) -> dict[str, object]:
    """One run in a process of its own."""
    words = [sys.executable, __file__, "--child", str(inputs), "--out", str(out)]
    if profile:
        words += ["--profile", str(profile)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr[-2000:])
    result: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    """Print both runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=200)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--json", type=Path, help="also write the second run's steps here")
    parser.add_argument("--profile", type=Path, help="also write cProfile's statistics of a third run here")
    parser.add_argument("--tiny", action="store_true", help="the sample's own size")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        child(chosen.child, chosen.out, chosen.profile)
        return
    slices, size = (40, 128) if chosen.tiny else (chosen.slices, chosen.size)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_visit(folder / "visit", slices, size)
        first = measured(folder / "visit", folder / "first")
        second = measured(folder / "visit", folder / "second")
        if chosen.profile:
            measured(folder / "visit", folder / "third", chosen.profile)
    for step in second["steps"]:  # type: ignore[attr-defined]
        print(f"{step['step']:30} {step['wall_s']:6.2f} s wall {step['cpu_s']:6.2f} s CPU {step['peak_mb']:6.0f} MB")
    peak = max(step["peak_mb"] for step in second["steps"])  # type: ignore[attr-defined]
    print(f"{'whole':30} {second['wall_s']:6.2f} s wall {second['cpu_s']:6.2f} s CPU {peak:6.0f} MB")
    extra = float(first["cpu_s"]) - float(second["cpu_s"])  # type: ignore[arg-type]
    print(f"the first run took {extra:.1f} CPU seconds more (compiling, if nothing was compiled before)")
    if chosen.json:
        rows = {"voxels": [slices, size, size], "cores": os.cpu_count(), **second, "first_run_extra_cpu_s": extra}
        chosen.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
