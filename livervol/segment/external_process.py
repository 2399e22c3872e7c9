"""A model of others, asked in a process of its own: offline, no usage statistics, weights compared before they load."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from livervol.errors import ModelError, refusal
from livervol.files import sha256_of
from livervol.scan import Scan, Segmentation
from livervol.segment import external_worker
from livervol.segment.liver import LEAST_ML, LiverResult

__all__ = ["PINS", "PYTHON_VARIABLE", "ask", "check_pins"]

#: File in a folder of weights that pins them, written by ``sha256sum``: a digest, two spaces, a relative path a line.
PINS = "weights.sha256"

#: Names a Python that has the packages, when they are not installed beside livervol.
PYTHON_VARIABLE = "LIVERVOL_MODEL_PYTHON"


def check_pins(folder: Path, weights: Sequence[Path]) -> str:
    """First 12 digits of the weights' sha256, joined by "+", after each agrees with ``folder/weights.sha256``.

    Raises ``ModelError`` when the file is absent, leaves a weight out or names another digest.
    """
    command = f"(cd '{folder}' && find . -name '*.pth' | sort | xargs -d '\\n' sha256sum > {PINS})"
    pins = folder / PINS
    if not pins.is_file():
        raise ModelError(
            refusal(
                "model weights are not pinned",
                expected=f"their sha256 in {PINS}",
                got="no such file",
                where=str(folder),
                do=f"Check where they come from, for loading them can run code, then pin them: {command}.",
            )
        )
    known = _pinned(pins)
    found = []
    for path in sorted(weights):
        name = path.relative_to(folder).as_posix()
        digest = sha256_of(path)
        if known.get(name) != digest:
            raise ModelError(
                refusal(
                    "model weights are not the pinned ones",
                    expected=f"sha256 {known[name][:12]}…" if name in known else f"a line in {PINS}",
                    got=f"{digest[:12]}…",
                    where=str(path),
                    do="Get them again from where they were pinned; they were not loaded.",
                )
            )
        found.append(digest[:12])
    return "+".join(found)


def _pinned(path: Path) -> Mapping[str, str]:
    known = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        digest, _, name = line.strip().partition(" ")
        if len(digest) == 64:
            known[name.lstrip(" *").removeprefix("./")] = digest.lower()
    return known


def ask(package: str, order: Mapping[str, Any], scan: Scan, about: str, doubts: Sequence[str]) -> LiverResult:
    """The answer of a package to an order (see the worker) about a scan; ``about`` says which weights answered."""
    python = _python_with(package)
    with tempfile.TemporaryDirectory(prefix="livervol-model-") as scratch:
        folder = Path(scratch)
        np.save(folder / "image.npy", np.ascontiguousarray(scan.voxels))
        (folder / "order.json").write_text(json.dumps(order), encoding="utf-8")
        command = [python, str(Path(external_worker.__file__)), str(folder / "order.json")]
        done = subprocess.run(
            command, env=_environment(order, folder), capture_output=True, text=True, errors="replace", check=False
        )
        if done.returncode != 0 or not (folder / "mask.npy").is_file():
            last = next((line.strip() for line in reversed(done.stderr.splitlines()) if line.strip()), "no message")
            raise ModelError(
                refusal(f"{package} did not run", expected="a mask", got=last[:300], do="Try the model by itself.")
            )
        mask = np.load(folder / "mask.npy")
        made_by = f"{(folder / 'made_by.txt').read_text(encoding='utf-8')}, {about}"
    if mask.shape != scan.grid.shape_zyx:
        raise ModelError(
            refusal(f"{package} answered on another grid", expected=str(scan.grid.shape_zyx), got=str(mask.shape))
        )
    volume_ml = float(np.count_nonzero(mask)) * scan.grid.voxel_ml
    said = [*doubts, f"the liver was drawn by {package}, which states no confidence: check the outline."]
    if volume_ml < LEAST_ML:
        said.append(f"the liver it drew has {volume_ml:.0f} ml, usually above {LEAST_ML:.0f} ml.")
    inside = scan.voxels[mask.view(bool)]
    facts = {"volume_ml": volume_ml, "parenchyma_median": float(np.median(inside)) if inside.size else math.nan}
    segmentation = Segmentation(mask, scan.grid, {1: "liver"}, made_by)
    return LiverResult(segmentation, math.nan, tuple(said), MappingProxyType(facts))


def _python_with(package: str) -> str:
    other = os.environ.get(PYTHON_VARIABLE)
    if other:
        return other
    module = package.lower()
    if importlib.util.find_spec(module) is None:
        extra = "nnunet" if module == "nnunetv2" else "totalseg"
        raise ModelError(
            refusal(
                f"{package} is not installed",
                expected=f"the package {package}",
                got="none",
                do=f'Run pip install "livervol[{extra}]", or name a Python that has it in {PYTHON_VARIABLE}.',
            )
        )
    return sys.executable


def _environment(order: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """The child's environment: private folders, so that nothing of the user's is read, sent or changed."""
    home, links = folder / "home", folder / "weights"
    home.mkdir()
    links.mkdir()
    config = {
        "totalseg_id": "livervol",
        "send_usage_stats": False,
        "prediction_counter": 0,
        "statistics_disclaimer_shown": True,
    }
    (home / "config.json").write_text(json.dumps(config), encoding="utf-8")
    # TotalSegmentator deletes old weights from the folder it is given: it gets links to those it needs alone
    for name, place in order.get("weights", {}).items():
        (links / name).symlink_to(place, target_is_directory=True)
    return {
        **os.environ,
        "TOTALSEG_HOME_DIR": str(home),
        "TOTALSEG_WEIGHTS_PATH": str(links),
        "nnUNet_raw": str(links),
        "nnUNet_preprocessed": str(links),
        "nnUNet_results": str(links),
        "HF_HUB_OFFLINE": "1",
        "WANDB_MODE": "disabled",
    }
