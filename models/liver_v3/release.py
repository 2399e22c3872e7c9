"""Makes this folder's weights, self-test and card from a finished fit; and the weights of the folds for evaluate.py.

    python release.py --work WORK --export
    python release.py --work WORK

WORK holds final.pt and fold_0.pt ... fold_4.pt. The first command makes their ONNX files (float16 weights, computed
with as float32) and needs torch and onnx; the second makes this folder and needs livervol alone.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).resolve().parent

CARD = """\
name = "liver_v3"
task = "liver"
version = "3"
weights = "weights.onnx"
sha256 = "{weights}"
licence = "CC BY-SA 4.0"
training_data = [
  "BTCV abdomen (Synapse syn3193805), 26 CT with 13 organs; licence believed CC BY 4.0, not confirmed",
  "LiTS = MSD Task03_Liver, 14 CT (CC BY-SA 4.0)",
  "CHAOS, 12 MR T2-SPIR (CC BY-SA 4.0)",
]
intended_use = "Liver and its neighbours in CT and MR of adults, for livervol.segment.liver. Research only."

[input]
name = "channels"
shape = [1, 16, "z", "y", "x"]
meaning = "livervol.segment.liver_net.network_channels; sides are multiples of 8 voxels of 4 mm"

[output]
name = "scores"
shape = [1, 19, "z", "y", "x"]
meaning = "liver in eight 2 mm voxels, then other, liver and livervol.segment.liver_net.NEIGHBOURS at 4 mm"

[selftest]
input = "selftest/input.npz"
output = "selftest/output.npz"
tolerance = 0.1
"""


def export(checkpoint: Path, path: Path) -> int:
    """Write the averaged network of a checkpoint as ONNX; returns its step."""
    import torch
    from export import write_onnx
    from network import LiverNet

    state = torch.load(checkpoint, weights_only=True)
    net = LiverNet()
    net.load_state_dict(state["average"])
    write_onnx(net, path, 16, int(state["step"]))
    return int(state["step"])


def write_selftest(work: Path) -> None:
    """A block of a CHAOS liver as input, the network's scores as expected output, rounded to be small."""
    from livervol.segment.liver_net import network_channels
    from livervol.segment.model import predict, read_card

    with np.load(work / "cases" / "chaos_mr_01.npz") as case:
        middle = np.argwhere(case["classes"] == 1).mean(axis=0).astype(int)
        grey = case["grey"][tuple(slice(m - 16, m + 16) for m in middle)]
    channels = network_channels(np.where(grey == 255, 0, grey).astype(np.float32) / 254, grey != 255).astype(np.float16)
    (FOLDER / "selftest").mkdir(exist_ok=True)
    np.savez_compressed(FOLDER / "selftest" / "input.npz", values=channels)
    expected = predict(read_card(FOLDER), channels.astype(np.float32), threads=1)
    np.savez_compressed(FOLDER / "selftest" / "output.npz", values=(np.round(expected * 16) / 16).astype(np.float16))


def write_card() -> None:
    weights = hashlib.sha256((FOLDER / "weights.onnx").read_bytes()).hexdigest()
    (FOLDER / "model.toml").write_text(CARD.format(weights=weights), encoding="utf-8")


def main() -> None:
    """Export every network, or release the one of all data."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--export", action="store_true")
    chosen = parser.parse_args()
    if chosen.export:
        for checkpoint in sorted([*chosen.work.glob("fold_?.pt"), *chosen.work.glob("final.pt")]):
            print(checkpoint.stem, export(checkpoint, checkpoint.with_suffix(".onnx")))
        return
    shutil.copyfile(chosen.work / "final.onnx", FOLDER / "weights.onnx")
    write_card()
    write_selftest(chosen.work)


if __name__ == "__main__":
    main()
