"""The liver by a trained nnU-Net v2 folder (Isensee et al. 2021, Nat Methods 18:203)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from livervol.errors import ModelError, refusal
from livervol.scan import Scan
from livervol.segment.external_process import ask, check_pins
from livervol.segment.liver import LiverResult

__all__ = ["NnunetModel", "read_nnunet_folder", "segment_by_nnunet"]

#: Labels of nnU-Net data sets that are liver, and those inside it that a liver label leaves out.
_LIVER = ("liver", "whole liver", "liver parenchyma", "healthy liver")
_IN_LIVER = ("tumour", "tumor", "cancer", "lesion", "hcc", "liver tumour", "liver tumor", "liver lesion", "metastasis")


@dataclass(frozen=True)
class NnunetModel:
    """A trained nnU-Net v2 folder: its folds, checkpoint name, whether it was trained on CT, and its liver labels."""

    folder: Path
    folds: tuple[str, ...]
    checkpoint: str
    channel: str
    values: tuple[int, ...]

    @property
    def weights(self) -> tuple[Path, ...]:
        """The checkpoints that will be loaded."""
        return tuple(self.folder / f"fold_{fold}" / self.checkpoint for fold in self.folds)


def read_nnunet_folder(folder: Path) -> NnunetModel:
    """What a trained nnU-Net v2 folder holds; raises ``ModelError`` when it is none or draws no liver."""
    dataset = _json_of(folder / "dataset.json")
    _json_of(folder / "plans.json")
    for checkpoint in ("checkpoint_final.pth", "checkpoint_best.pth"):
        folds = tuple(sorted(path.parent.name.removeprefix("fold_") for path in folder.glob(f"fold_*/{checkpoint}")))
        if folds:
            break
    else:
        raise _no_folder("a fold_*/checkpoint_final.pth", "none", folder)
    channels = dataset.get("channel_names") or dataset.get("modality") or {}
    if not isinstance(channels, dict) or len(channels) != 1:
        raise _no_folder("one input channel", f"{len(channels)}", folder)
    return NnunetModel(folder, folds, checkpoint, str(next(iter(channels.values()))), _liver_values(dataset, folder))


def _json_of(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _no_folder(f"a readable {path.name}", type(error).__name__, path.parent) from error
    if not isinstance(content, dict):
        raise _no_folder(f"an object in {path.name}", type(content).__name__, path.parent)
    return content


def _no_folder(expected: str, got: str, folder: Path) -> ModelError:
    return ModelError(
        refusal(
            "folder is no trained nnU-Net v2 liver model",
            expected=expected,
            got=got,
            where=str(folder),
            do="Give the folder that holds plans.json and fold_0.",
        )
    )


def _liver_values(dataset: Mapping[str, Any], folder: Path) -> tuple[int, ...]:
    """Label values that are liver, tumours inside it included."""
    labels = dataset.get("labels")
    if not isinstance(labels, dict):
        raise _no_folder("labels in dataset.json", "none", folder)
    named = {str(k).lower().replace("_", " ").replace("-", " ").strip(): v for k, v in labels.items()}
    liver = [named[name] for name in _LIVER if name in named]
    if not liver:
        raise _no_folder("a label named liver", ", ".join(map(str, labels)) or "none", folder)
    inside = [value for name, value in named.items() if name in _IN_LIVER]
    values: set[int] = set()
    for value in liver + inside:
        # a region of several values comes as a list
        values.update(int(v) for v in (value if isinstance(value, list) else [value]))
    return tuple(sorted(values - {0}))


def segment_by_nnunet(scan: Scan, model: NnunetModel) -> LiverResult:
    """Liver mask of one scan by a trained nnU-Net v2 folder, all its folds together, without mirroring.

    The voxels are given feet to head, front to back, right to left. Liver tumours that the model labels apart count as
    liver. Raises ``ModelError`` when the weights are not pinned, the package is absent or the model is for CT and the
    scan is not; ``ScanError`` is left to the checks that follow a segmentation.
    """
    if model.channel.upper() == "CT" and scan.modality != "CT":
        raise ModelError(
            refusal("model is for another modality", expected="CT", got=scan.modality, where=str(model.folder))
        )
    digests = check_pins(model.folder, model.weights)
    order = {
        "kind": "nnunet",
        "model": str(model.folder.resolve()),
        "folds": [int(fold) if fold.isdigit() else fold for fold in model.folds],
        "checkpoint": model.checkpoint,
        "values": list(model.values),
        "spacing_mm": list(scan.grid.spacing_mm),
    }
    doubts = []
    if model.channel.upper() != "CT" and scan.modality == "CT":
        doubts.append(f"the liver model was trained on {model.channel}, and the scan is CT.")
    return ask("nnunetv2", order, scan, f"{model.folder.name}, sha256 {digests}", doubts)
