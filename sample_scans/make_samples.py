"""Make the sample scans again, or check that the committed ones are what this program makes.

python sample_scans/make_samples.py [--out DIR] [--check]
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from phantom.samples import build_truth, samples  # noqa: E402
from phantom.writers import voxel_sha256  # noqa: E402


def make(out: Path, only: str = "") -> list[dict[str, Any]]:
    """Write the samples whose path starts with ``only`` under ``out``, truth.json when it is all of them.

    Returns the samples' rows of truth.json.
    """
    entries = []
    for sample in samples(only):
        sample.write(out)
        entries.append(sample.entry())
    if not only:
        text = json.dumps(build_truth(entries), indent=1, ensure_ascii=False) + "\n"
        (out / "truth.json").write_text(text, encoding="utf-8")
    return entries


def _files(folder: Path) -> dict[str, Path]:
    return {p.relative_to(folder).as_posix(): p for p in sorted(folder.rglob("*")) if p.suffix in (".dcm", ".gz")}


def _content(path: Path) -> tuple[str, str]:
    """sha256 of a file's voxels and its header as text; how they are compressed may differ between libraries."""
    if path.suffix == ".dcm":
        ds = pydicom.dcmread(path)
        voxels = ds.pixel_array
        del ds.PixelData
        return voxel_sha256(voxels), json.dumps([ds.file_meta.to_json_dict(), ds.to_json_dict()], sort_keys=True)
    raw = gzip.decompress(path.read_bytes())
    body: NDArray[np.int16] = np.frombuffer(raw, dtype="<i2", offset=352)
    return voxel_sha256(body), raw[:352].hex()


def differences(made: Path, kept: Path, only: str = "") -> list[str]:
    """One sentence per file whose voxels or header differ, or that only one side has."""
    new, old = _files(made), _files(kept)
    if only:
        old = {name: path for name, path in old.items() if name.startswith(only)}
    found = [f"{name}: only on one side" for name in sorted(new.keys() ^ old.keys())]
    for name in sorted(new.keys() & old.keys()):
        if new[name].read_bytes() == old[name].read_bytes():
            continue
        (voxels, header), (old_voxels, old_header) = _content(new[name]), _content(old[name])
        if voxels != old_voxels:
            found.append(f"{name}: voxels differ, {old_voxels[:12]} kept, {voxels[:12]} made")
        if header != old_header:
            found.append(f"{name}: header differs")
    if not only and (made / "truth.json").read_text() != (kept / "truth.json").read_text():
        found.append("truth.json: differs")
    return found


def main() -> int:
    """Command line; 0 when made or equal, 1 when the check found a difference."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write to (default: this one)")
    parser.add_argument("--check", action="store_true", help="compare with the committed samples, write nothing there")
    arguments = parser.parse_args()
    if not arguments.check:
        make(arguments.out)
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        make(Path(scratch))
        found = differences(Path(scratch), HERE)
    print("\n".join(found) if found else "the committed samples are what this program makes")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
