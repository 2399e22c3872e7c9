"""One prediction by TotalSegmentator or nnU-Net, in a process of its own, without a network.

Started as a plain script by :mod:`livervol.segment.external`, perhaps with another Python, so it imports nothing of
livervol. The one argument is a JSON order; the answer is ``mask.npy`` (uint8, axes as the input) and ``made_by.txt``.
"""

from __future__ import annotations

import importlib.metadata
import json
import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["main"]


def _stay_offline() -> None:
    connect = socket.socket.connect

    def local_only(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            raise OSError("no network: weights are used from disk only")
        connect(self, address)

    # by name, so that a type checker takes no offence
    setattr(socket.socket, "connect", local_only)  # noqa: B010


def _nnunet(order: dict[str, Any], folder: Path) -> NDArray[np.uint8]:
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    predictor = nnUNetPredictor(
        use_mirroring=False,
        perform_everything_on_device=device.type == "cuda",
        device=device,
        verbose=False,
        allow_tqdm=False,
    )
    # reads pickled checkpoints: their sha256 were compared before this process was started
    predictor.initialize_from_trained_model_folder(order["model"], order["folds"], order["checkpoint"])
    image = np.load(folder / "image.npy")
    labels = predictor.predict_single_npy_array(
        image[None].astype(np.float32), {"spacing": order["spacing_mm"]}, None, None, False
    )
    return np.isin(labels, order["values"]).astype(np.uint8)


def _totalsegmentator(order: dict[str, Any], folder: Path) -> NDArray[np.uint8]:
    # TOTALSEG_HOME_DIR with usage statistics off is in the environment before this first import
    import nibabel as nib
    from totalsegmentator.config import get_config_key
    from totalsegmentator.map_to_binary import class_map
    from totalsegmentator.python_api import totalsegmentator

    if get_config_key("send_usage_stats"):
        raise RuntimeError("usage statistics are on")
    affine = np.array(order["ras_affine"])
    # NIfTI counts x first
    image = nib.Nifti1Image(np.load(folder / "image.npy").transpose(2, 1, 0), affine)
    names = {name: value for value, name in class_map[order["task"]].items()}
    found = totalsegmentator(
        image,
        None,
        ml=True,
        task=order["task"],
        fast=order["fast"],
        roi_subset=None if order["fast"] else ["liver"],
        quiet=True,
        device="gpu",
        nr_thr_resamp=1,
        nr_thr_saving=1,
    )
    if found.shape != image.shape or not np.allclose(found.affine, affine, atol=1e-3):
        raise RuntimeError("the answer lies on another grid than the scan")
    mask = (np.asanyarray(found.dataobj) == names["liver"]).transpose(2, 1, 0)
    return np.ascontiguousarray(mask).astype(np.uint8)


def main(order_path: str) -> None:
    """Predict as the order says and write the answer beside it."""
    _stay_offline()
    path = Path(order_path)
    order = json.loads(path.read_text(encoding="utf-8"))
    ask, package = (_nnunet, "nnunetv2") if order["kind"] == "nnunet" else (_totalsegmentator, "TotalSegmentator")
    mask = ask(order, path.parent)
    np.save(path.parent / "mask.npy", mask)
    (path.parent / "made_by.txt").write_text(f"{package} {importlib.metadata.version(package)}", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
