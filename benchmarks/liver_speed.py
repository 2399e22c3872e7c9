"""Whole liver of a CT of 512 x 512 x 200 voxels: wall and CPU seconds of read, look, refine and write, peak memory.

    python benchmarks/liver_speed.py [--slices 200]

A labelled CT of LIVERVOL_SHARED is resampled to that many voxels. The first run of a kernel compiles it: compiled once
before timing.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from livervol.grid import Grid
from livervol.io.images import read_image
from livervol.io.nifti import write_nifti_labels, write_nifti_scan
from livervol.scan import Scan
from livervol.segment import liver
from livervol.segment.body import straight_scan
from livervol.segment.liver_net import LATTICE_MM
from livervol.segment.liver_search import find_liver, survey_of
from livervol.segment.model import find_model


@contextmanager
def timed(name: str) -> Iterator[None]:
    """Print wall and CPU seconds of a step."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    print(f"{name:24} {time.perf_counter() - wall:6.2f} s wall  {time.process_time() - cpu:6.2f} s CPU", flush=True)


def large(scan: Scan, slices: int) -> Scan:
    """The scan on 512 x 512 voxels in as many slices."""
    shape = (slices, 512, 512)
    extent = np.array(scan.grid.shape_zyx) * scan.grid.spacing_mm
    grid = Grid.from_parts(shape, tuple(extent / shape), scan.grid.origin_lps_mm)
    return Scan(scan.resampled(grid).voxels.astype(np.int16), grid)


def main() -> None:
    """Print the split."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=200)
    chosen = parser.parse_args()
    shared = os.environ.get("LIVERVOL_SHARED")
    if not shared:
        sys.exit("set LIVERVOL_SHARED to the folder that holds scans/")
    small = read_image(Path(shared) / "scans" / "train_ct" / "sabs_01" / "ct.nii.gz", modality="CT")
    liver.segment_liver(small)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ct.nii.gz"
        write_nifti_scan(path, large(small, chosen.slices))
        with timed("read"):
            scan = read_image(path, modality="CT")
        with timed("coarse lattice"):
            straight = straight_scan(scan, LATTICE_MM)
        with timed("look (network)"):
            card = find_model(liver.MODEL)
            find_liver(straight, card, survey_of(straight, card))
        with timed("lattice, look, refine"):
            found = liver.segment_liver(scan)
        with timed("write"):
            write_nifti_labels(Path(folder) / "liver.nii.gz", found.segmentation)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
