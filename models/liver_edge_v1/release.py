"""Makes this folder's weights, self-test and card from a finished fit; and the weights of the folds.

    python release.py --work WORK --export
    python release.py --work WORK

WORK holds edge_final.pt and edge_0.pt ... edge_4.pt. The first command makes their ONNX files and needs torch and onnx;
the second makes this folder and needs livervol alone.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).resolve().parent

CARD = """\
name = "liver_edge_v1"
task = "liver outline"
version = "1"
weights = "weights.onnx"
sha256 = "{weights}"
licence = "CC BY-SA 4.0"
training_data = [
  "BTCV abdomen (Synapse syn3193805), 26 CT with 13 organs; licence believed CC BY 4.0, not confirmed",
  "LiTS = MSD Task03_Liver, 14 CT (CC BY-SA 4.0)",
  "CHAOS, 12 MR T2-SPIR (CC BY-SA 4.0)",
]
intended_use = "The liver's outline after liver_v3, in CT and MR of adults, for livervol.segment.liver. Research only."

[input]
name = "channels"
shape = [1, 16, "z", "y", "x"]
meaning = "livervol.segment.liver_edge.edge_channels; sides are multiples of 4 voxels of 2 mm"

[output]
name = "scores"
shape = [1, 1, "z", "y", "x"]
meaning = "log odds of liver"

[selftest]
input = "selftest/input.npz"
output = "selftest/output.npz"
tolerance = 0.1
"""


def export(work: Path) -> None:
    """Write every network of ``work`` as ONNX."""
    import torch
    from network import EdgeNet

    sys.path.insert(0, str(FOLDER.parent / "liver_v3"))
    from export import write_onnx

    for checkpoint in sorted(work.glob("edge_*.pt")):
        state = torch.load(checkpoint, weights_only=True)
        net = EdgeNet()
        net.load_state_dict(state["average"])
        write_onnx(net, checkpoint.with_suffix(".onnx"), 16, int(state["step"]))
        print(checkpoint.stem, state["step"])


def write_selftest(work: Path) -> None:
    """A block at the edge of a CHAOS liver as input, the network's scores as expected output, rounded to be small."""
    from livervol.segment.model import predict, read_card

    with np.load(work / "maps" / "chaos_mr_01.npz") as maps:
        channels, classes = maps["channels"], maps["classes"]
    cut = channels[3].astype(np.float32)
    middle = [int(v) // 2 * 2 for v in np.argwhere(cut > 0).mean(axis=0)]
    middle[2] = int(np.flatnonzero(cut[middle[0], middle[1]] > 0)[0]) // 2 * 2
    box = tuple(slice(max(0, m - 12), max(0, m - 12) + 24) for m in middle)
    half = tuple(slice(s.start // 2, s.stop // 2) for s in box)
    wide = classes[(slice(None), *half)].repeat(2, axis=1).repeat(2, axis=2).repeat(2, axis=3)
    values = np.concatenate([channels[(slice(None), *box)], wide])[None]
    (FOLDER / "selftest").mkdir(exist_ok=True)
    np.savez_compressed(FOLDER / "selftest" / "input.npz", values=values)
    expected = predict(read_card(FOLDER), values.astype(np.float32), threads=1)
    np.savez_compressed(FOLDER / "selftest" / "output.npz", values=(np.round(expected * 16) / 16).astype(np.float16))


def main() -> None:
    """Export every network, or release the one of all data."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--export", action="store_true")
    chosen = parser.parse_args()
    if chosen.export:
        export(chosen.work)
        return
    shutil.copyfile(chosen.work / "edge_final.onnx", FOLDER / "weights.onnx")
    weights = hashlib.sha256((FOLDER / "weights.onnx").read_bytes()).hexdigest()
    (FOLDER / "model.toml").write_text(CARD.format(weights=weights), encoding="utf-8")
    write_selftest(chosen.work)


if __name__ == "__main__":
    main()
