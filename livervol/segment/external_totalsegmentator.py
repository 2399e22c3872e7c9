"""The liver by TotalSegmentator (Wasserthal et al. 2023, Radiol Artif Intell 5:e230024)."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from livervol.errors import ModelError, refusal
from livervol.scan import Scan
from livervol.segment.external_process import ask, check_pins
from livervol.segment.liver import LiverResult

__all__ = ["segment_by_totalsegmentator", "totalsegmentator_folder"]

#: Folders TotalSegmentator needs, and the task they answer: the finer choice first.
_TOTALSEGMENTATOR = {
    "CT": (
        (
            "total",
            False,
            (
                "Dataset291_TotalSegmentator_part1_organs_1559subj",
                "Dataset292_TotalSegmentator_part2_vertebrae_1532subj",
                "Dataset293_TotalSegmentator_part3_cardiac_1559subj",
                "Dataset294_TotalSegmentator_part4_muscles_1559subj",
                "Dataset295_TotalSegmentator_part5_ribs_1559subj",
                "Dataset298_TotalSegmentator_total_6mm_1559subj",
            ),
        ),
        ("total", True, ("Dataset297_TotalSegmentator_total_3mm_1559subj",)),
    ),
    "MR": (
        (
            "total_mr",
            False,
            (
                "Dataset850_TotalSegMRI_part1_organs_1088subj",
                "Dataset851_TotalSegMRI_part2_muscles_1088subj",
                "Dataset852_TotalSegMRI_total_3mm_1088subj",
            ),
        ),
        ("total_mr", True, ("Dataset852_TotalSegMRI_total_3mm_1088subj",)),
    ),
}


def totalsegmentator_folder() -> Path:
    """Where TotalSegmentator keeps its weights, by its own variables or in the user's home."""
    given = os.environ.get("TOTALSEG_WEIGHTS_PATH")
    home = Path(os.environ.get("TOTALSEG_HOME_DIR", Path.home() / ".totalsegmentator"))
    return Path(given) if given else home / "nnunet" / "results"


def segment_by_totalsegmentator(scan: Scan, weights: Path) -> LiverResult:
    """Liver mask of one scan by TotalSegmentator, at 1.5 mm where all weights it needs are there, else at 3 mm.

    ``weights`` holds TotalSegmentator's ``Dataset…`` folders; nothing is downloaded, written or deleted there: the
    package sees a private folder of links and a private configuration with usage statistics off. Raises
    ``ModelError`` when the weights or the package are absent or the weights are not pinned.
    """
    choices = _TOTALSEGMENTATOR[scan.modality]
    choice = next((c for c in choices if all((weights / name).is_dir() for name in c[2])), None)
    if choice is None:
        raise ModelError(
            refusal(
                "TotalSegmentator's weights are absent",
                expected=f"{choices[-1][2][0]} (3 mm) or {len(choices[0][2])} folders (1.5 mm)",
                got="not all of either",
                where=str(weights),
                do="Download them with totalseg_download_weights: livervol never does.",
            )
        )
    task, fast, folders = choice
    digests = "+".join(check_pins(weights / f, sorted((weights / f).rglob("*.pth"))) for f in folders)
    turn = np.diag([-1.0, -1.0, 1.0, 1.0])
    order = {
        "kind": "totalsegmentator",
        "task": task,
        "fast": fast,
        # LPS of (z, y, x) to RAS of (x, y, z)
        "ras_affine": (turn @ scan.grid.matrix[:, [2, 1, 0, 3]]).tolist(),
        "weights": {name: str((weights / name).resolve()) for name in folders},
    }
    about = f"task {task}, {'3' if fast else '1.5'} mm, sha256 {digests}"
    return ask("TotalSegmentator", order, scan, about, [])
