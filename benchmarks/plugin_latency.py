"""The plugin under a reader's hand: opening, scrolling, stroke to number, memory, on a four-phase visit of 512x512x200.

    xvfb-run -a -s "-screen 0 1400x900x24" python benchmarks/plugin_latency.py [--tiny] [--planes N] [--strokes N]

Wall time and CPU seconds of this process (all threads) side by side: on a busy machine only the latter mean much.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from livervol.grid import Grid
from livervol.io.nifti import write_nifti_labels, write_nifti_scan
from livervol.scan import Scan, Segmentation

PHASES = {"native": 55, "late_arterial": 75, "portal_venous": 110, "delayed": 90}
FULL, TINY = (200, 512, 512), (24, 64, 64)


def make_visit(folder: Path, shape: tuple[int, int, int]) -> None:
    """Four phases and the masks of a synthetic liver with five tumours, partly necrotic."""
    size = np.array([400.0, 380.0, 380.0])
    grid = Grid.from_parts(shape, (size / shape).tolist(), (-190.0, -190.0, -200.0))
    z, y, x = (((np.arange(n) + 0.5) * s).astype(np.float32) for n, s in zip(shape, size / shape, strict=True))
    z, y, x = z[:, None, None], y[None, :, None], x[None, None, :]

    def ball(cz: float, cy: float, cx: float, *radii: float):
        rz, ry, rx = radii if len(radii) == 3 else radii * 3
        return ((z - cz) / rz) ** 2 + ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1

    liver = (ball(220, 180, 120, 95, 85, 80) | ball(250, 150, 200, 50, 50, 90)).astype(np.uint8)
    lesions, viable = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    for number, (at, radius) in enumerate((((200, 180, 120), 30), ((250, 150, 90), 14), ((230, 140, 200), 12),
                                           ((180, 200, 100), 9), ((260, 190, 130), 18)), 1):  # fmt: skip
        lesions[ball(*at, radius)] = number
        viable[ball(at[0], at[1], at[2] + radius / 3, radius * 0.6)] = number
    viable[lesions != viable] = 0
    liver[lesions > 0] = 1
    segments = np.where(liver, 1 + (np.indices((1, 1, shape[2]))[2] * 8 // shape[2]) % 8, 0).astype(np.uint8)
    rng = np.random.default_rng(3)
    body = np.broadcast_to(ball(200, 190, 190, 1e6, 150, 180), shape)
    (folder / "phases").mkdir(parents=True)
    for name, level in PHASES.items():
        voxels = np.where(body, np.int16(-40), np.int16(-1000))
        voxels[liver == 1] = level
        voxels[lesions > 0] = level - 25
        voxels[viable > 0] = 120 if name == "late_arterial" else level - 15
        # noise of one slice over and over: cheap to make, and the files stay small
        voxels += rng.normal(0, 12, (4, *shape[1:])).astype(np.int16)[np.arange(shape[0]) % 4]
        write_nifti_scan(folder / "phases" / f"{name}.nii.gz", Scan(voxels, grid))
    for name, labels in (("liver", liver), ("lesions", lesions), ("viable", viable), ("segments", segments)):
        write_nifti_labels(folder / f"{name}.nii.gz", Segmentation(labels, grid, {v: str(v) for v in range(1, 9)}))
    (folder / "measurements.json").write_text(
        '{"provenance": {"reference_phase": "portal_venous"}, "mrecist_evaluable": true}', encoding="utf-8"
    )


def said(name: str, wall: list[float], cpu: list[float] | None = None) -> None:
    """One line of milliseconds."""
    text = f"{name:<34} wall median {1000 * np.median(wall):8.1f}  p95 {1000 * np.percentile(wall, 95):8.1f} ms"
    if cpu:
        text += f"   cpu median {1000 * np.median(cpu):8.1f}  p95 {1000 * np.percentile(cpu, 95):8.1f} ms"
    print(f"{text}   n={len(wall)}", flush=True)


def run(shape: tuple[int, int, int], strokes: int, slices: int) -> None:
    """Everything once."""
    from napari.qt import get_qapp

    from livervol.edit.brush import Brush, erase, paint
    from livervol.workflows.reading import Reading, ReadingSettings
    from napari_livervol.view import new_window

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "visit"
        make_visit(folder, shape)
        print(f"visit of {'x'.join(map(str, shape))}, {len(PHASES)} phases", flush=True)
        viewer, window = new_window("latency")
        viewer.window.resize(1380, 880)
        app = get_qapp()

        def settle(seconds: float = 0.3) -> None:
            end = time.perf_counter() + seconds
            while time.perf_counter() < end:
                app.processEvents()

        settle()
        start, cpu = time.perf_counter(), time.process_time()
        reading = Reading.open(folder, "B1", settings=ReadingSettings(resections=("right_hepatectomy",)))
        reading.numbers()
        for name in reading.phases:
            reading.scan(name)
        print(f"{'read, journal begun, first numbers':<34} wall {time.perf_counter() - start:8.2f} s   "
              f"cpu {time.process_time() - cpu:8.2f} s", flush=True)  # fmt: skip
        start, cpu = time.perf_counter(), time.process_time()
        window.show_reading(reading)
        desk = window.desk
        app.processEvents()
        print(f"{'shown after read (goal 3 s)':<34} wall {time.perf_counter() - start:8.2f} s   "
              f"cpu {time.process_time() - cpu:8.2f} s", flush=True)  # fmt: skip
        start, cpu = time.perf_counter(), time.process_time()
        for name in reading.phases:
            desk.show_phase(name)
        desk.show_phase(desk.reference)
        app.processEvents()
        print(f"{'every other phase shown once':<34} wall {time.perf_counter() - start:8.2f} s   "
              f"cpu {time.process_time() - cpu:8.2f} s", flush=True)  # fmt: skip
        settle()
        scroll(app, viewer, slices)

        def make(k: int):
            """Strokes in turn on the liver's rim, a lesion and its viable part; each undone by the next."""
            mask, index, value = (("liver", (0.55, 0.47, 0.53), 1), ("lesions", (0.5, 0.47, 0.37), 1),
                                  ("viable", (0.5, 0.47, 0.33), 1))[(k // 2) % 3]  # fmt: skip
            canvas = reading.canvas(mask, phase=desk.phase(), number=value if mask == "viable" else None)
            at = np.array(index) * shape
            points = np.linspace(at, at + np.array([0, shape[1] / 30, 0]), 8)
            brush = Brush(6.0, 0)
            return paint(canvas, points, brush, value) if k % 2 else erase(canvas, points, brush, [value])

        stroke_to_number(app, window, make, strokes)
        one_click(app, window, np.array((0.62, 0.5, 0.2)) * shape)
        saving(app, window)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"{'peak memory (goal 3 GB)':<34} {peak:8.2f} GiB", flush=True)
        window.close()
        viewer.close()


def scroll(app, viewer, slices: int) -> None:
    """Slice to slice, each one drawn."""
    wall, cpu = [], []
    n = viewer.dims.nsteps[0]
    for k in range(slices):
        t, c = time.perf_counter(), time.process_time()
        viewer.dims.set_current_step(0, (n // 4 + k) % n)
        app.processEvents()
        wall.append(time.perf_counter() - t)
        cpu.append(time.process_time() - c)
    said("slice to slice", wall, cpu)


def stroke_to_number(app, window, make, strokes: int) -> None:
    """From the end of a stroke to its numbers on the screen, and the longest time the window did not answer."""
    desk = window.desk
    wall, cpu, applied, waits = [], [], [], []
    for k in range(strokes):
        change = make(k)
        t, c = time.perf_counter(), time.process_time()
        assert desk.apply(change), f"stroke {k} changed nothing"
        last = time.perf_counter()
        applied.append(last - t)
        longest = last - t
        while window.dock.numbers.version != desk.reading.version:
            app.processEvents()
            now = time.perf_counter()
            longest, last = max(longest, now - last), now
        wall.append(time.perf_counter() - t)
        cpu.append(time.process_time() - c)
        waits.append(longest)
        for _ in range(3):
            app.processEvents()
    said("stroke to number (goal 200)", wall[2:], cpu[2:])
    said("  of that, until the mask shows", applied[2:])
    said("  longest the window waited", waits[2:])


def waited(app, busy) -> tuple[float, float, float]:
    """Seconds until ``busy`` is over, the longest time the window did not answer meanwhile, and CPU seconds."""
    start = last = time.perf_counter()
    cpu, longest = time.process_time(), 0.0
    while busy():
        app.processEvents()
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    return time.perf_counter() - start, longest, time.process_time() - cpu


def one_click(app, window, at: np.ndarray) -> None:
    """A lesion by one click in healthy liver: until it is on the screen, and until its viability has been judged."""
    from livervol.edit.gesture import Gesture
    from livervol.workflows.reading_lesions import add_lesion

    desk = window.desk

    def click() -> None:
        desk.do(lambda: add_lesion(desk.reading, Gesture.of("click", at), desk.phase()))

    # once before, so that nothing is compiled in what is measured
    click()
    waited(app, lambda: window.judging.running)
    desk.undo()
    t, c = time.perf_counter(), time.process_time()
    click()
    print(f"{'one click to outline (goal 200)':<34} wall {1000 * (time.perf_counter() - t):15.1f} ms   "
          f"cpu {1000 * (time.process_time() - c):15.1f} ms", flush=True)  # fmt: skip
    wall, longest, cpu = waited(app, lambda: window.judging.running)
    print(f"{'  until its viability is judged':<34} wall {wall:8.2f} s   cpu {cpu:8.2f} s   "
          f"longest the window waited {1000 * longest:.0f} ms", flush=True)  # fmt: skip


def saving(app, window) -> None:
    """Masks, numbers and intervals written while the window goes on."""
    window.report.save()
    wall, longest, cpu = waited(app, lambda: window.jobs.running)
    print(f"{'saving, behind the window':<34} wall {wall:8.2f} s   cpu {cpu:8.2f} s   "
          f"longest the window waited {1000 * longest:.0f} ms", flush=True)  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="a small visit and few strokes")
    parser.add_argument("--slices", type=int, default=60, help="how many slices are scrolled through")
    parser.add_argument("--planes", type=int, default=FULL[0], help="planes of the visit")
    parser.add_argument("--strokes", type=int, default=62)
    words = parser.parse_args()
    if words.tiny:
        run(TINY, 8, 6)
    else:
        run((words.planes, *FULL[1:]), words.strokes, words.slices)
