"""Fits the Couinaud shape network: from the liver mask alone to the eight segments.

    python fit.py --labels LABELS/couinaud --work FIRST --minutes 90
    python fit.py --labels LABELS/couinaud --work WORK --minutes 53 --stop 41 --rate 1.2e-3 --seed 23 --start A.pt

Reads the label maps of the training split, writes checkpoints into WORK (a run resumes from the last one), and at the
end ``weights.onnx``. A.pt is FIRST/average.pt: the released weights went on from those of the version before, with the
learning rate raised once more; they are the mean of the running averages at the last three checkpoints. Needs the
``train`` extra. Everything random is seeded; elapsed time decides the learning rate, so two runs agree in
quality, not in bits.
"""

from __future__ import annotations

import argparse
import csv
import math
import time
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import onnx
import torch
from scipy import ndimage
from torch import nn
from torch.nn import functional as F

from livervol.grid import Grid
from livervol.scan import Segmentation
from livervol.segment.couinaud_shape import BOX_SHAPE_ZYX, N_CHANNELS, box_grid, shape_channels

#: One patient or near-copies: drawn as often as one case together.
NEAR_COPIES = {"006", "007", "008", "009", "010", "079", "100", "103"}
#: Held back from fitting to watch it; the test split is never opened here.
WATCHED = ("012", "021", "048", "057", "066", "081", "091", "112")
CLASSES = 8
#: Groups of segments whose share of the liver counts, because operations remove or spare them.
GROUPS = ((1,), (2, 3), (4,), (5, 8), (6, 7), (2, 3, 4), (5, 6, 7, 8), (4, 5, 8), (2, 3, 4, 5, 8))
VOLUME_WEIGHT = 5.0


class Block(nn.Module):
    """Two 3x3x3 convolutions with group normalisation and a residual path."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv3d(inputs, outputs, 3, padding=1)
        self.second = nn.Conv3d(outputs, outputs, 3, padding=1)
        self.norm1, self.norm2 = nn.GroupNorm(8, outputs), nn.GroupNorm(8, outputs)
        self.skip = nn.Conv3d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.silu(self.norm1(self.first(x)))
        return F.silu(self.norm2(self.second(y)) + self.skip(x))


class ShapeNet(nn.Module):
    """U-Net; widths grow as the grid coarsens, because the parameters are cheap there."""

    def __init__(self, widths: tuple[int, ...] = (16, 40, 80, 128)) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(
            Block(inputs, outputs) for inputs, outputs in zip((N_CHANNELS, *widths[:-1]), widths, strict=True)
        )
        self.decoders = nn.ModuleList(
            Block(low + high, high) for low, high in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.head = nn.Conv3d(widths[0], CLASSES, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept = []
        for level, encoder in enumerate(self.encoders):
            x = encoder(x if level == 0 else F.max_pool3d(x, 2))
            kept.append(x)
        x = kept.pop()
        for decoder in self.decoders:
            side = kept.pop()
            x = decoder(torch.cat([F.interpolate(x, size=side.shape[2:], mode="trilinear"), side], dim=1))
        return self.head(x)


def read_segments(path: Path) -> tuple[np.ndarray, float]:
    """Label array in canonical (z, y, x) order and its isotropic spacing in mm."""
    image = nibabel.load(path)
    spacing = float(image.header.get_zooms()[0])
    ras = np.asarray(image.dataobj).astype(np.uint8)
    return np.ascontiguousarray(ras[::-1, ::-1, :].transpose(2, 1, 0)) if image.affine[0, 0] > 0 else ras, spacing


class Case:
    """One liver on a 2 mm lattice round its box: soft mask, and segments carried on beyond the surface."""

    def __init__(self, path: Path) -> None:
        labels, spacing = read_segments(path)
        self.name = path.name[5:8]
        self.labels, self.spacing = labels, spacing
        liver = Segmentation((labels > 0).astype(np.uint8), Grid.from_parts(labels.shape, (spacing,) * 3), {1: "liver"})
        self.box = box_grid(liver)
        nearest = ndimage.distance_transform_edt(labels == 0, return_distances=False, return_indices=True)
        carried = labels[tuple(nearest)]
        soft = ndimage.gaussian_filter((labels > 0).astype(np.float32), 0.35 * self.box.spacing_mm[0] / spacing)
        self.soft = torch.from_numpy(soft)[None, None]
        self.carried = torch.from_numpy(carried.astype(np.float32))[None, None]

    def sample(self, points_lps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Soft mask and segment at LPS points of shape (z, y, x, 3)."""
        size = torch.tensor(self.labels.shape[::-1], dtype=torch.float32)
        where = (points_lps / self.spacing) * 2 / (size - 1) - 1
        soft = F.grid_sample(self.soft, where[None], align_corners=True, padding_mode="zeros")[0, 0]
        near = F.grid_sample(self.carried, where[None], mode="nearest", align_corners=True, padding_mode="border")[0, 0]
        return soft, near.long()


def box_points(box: Grid) -> torch.Tensor:
    """LPS points of the box, shape (z, y, x, 3)."""
    index = np.stack(np.meshgrid(*map(np.arange, BOX_SHAPE_ZYX), indexing="ij"), axis=-1)
    return torch.from_numpy(box.index_to_lps(index).astype(np.float32))


def random_warp(points: torch.Tensor, random: np.random.Generator) -> torch.Tensor:
    """Rotate, scale and bend the box about its middle; every second time gently, close to livers as they are."""
    calm = 0.4 if random.random() < 0.5 else 1.0
    angles = np.radians(random.uniform(-16, 16, 3) * calm)
    turn = np.eye(3)
    for axis, angle in enumerate(angles):
        i, j = [a for a in range(3) if a != axis]
        one = np.eye(3)
        one[i, i] = one[j, j] = math.cos(angle)
        one[i, j], one[j, i] = -math.sin(angle), math.sin(angle)
        turn = turn @ one
    scale = random.uniform(0.84, 1.19) ** calm * random.uniform(0.91, 1.1, 3) ** calm
    middle = points.reshape(-1, 3).mean(dim=0)
    linear = torch.from_numpy((turn * scale).astype(np.float32))
    moved = (points - middle) @ linear.T + middle + torch.from_numpy(random.uniform(-8, 8, 3).astype(np.float32))
    bend = torch.from_numpy(random.normal(0, calm * random.uniform(0, 7), (1, 3, 4, 5, 5)).astype(np.float32))
    return moved + F.interpolate(bend, size=BOX_SHAPE_ZYX, mode="trilinear", align_corners=True)[0].permute(1, 2, 3, 0)


def spoil(occupancy: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """An imperfect mask: eroded or dilated, a tip missing, tumour-sized holes."""
    if random.random() < 0.4:
        soft = ndimage.gaussian_filter(occupancy, random.uniform(0.5, 1.3))
        occupancy = np.clip((soft - random.uniform(0.3, 0.7)) * 4 + 0.5, 0, 1)
    inside = np.argwhere(occupancy > 0.5)
    if len(inside) < 500:
        return occupancy
    if random.random() < 0.2:
        axis = int(random.integers(3))
        low, high = np.percentile(inside[:, axis], [100 * random.uniform(0, 0.08), 100 - 100 * random.uniform(0, 0.08)])
        keep = [slice(None)] * 3
        keep[axis] = slice(int(low), int(high) + 1)
        cut = np.zeros_like(occupancy)
        cut[tuple(keep)] = occupancy[tuple(keep)]
        occupancy = cut
    if random.random() < 0.25:
        index = np.stack(np.meshgrid(*map(np.arange, BOX_SHAPE_ZYX), indexing="ij"), axis=-1)
        for _ in range(int(random.integers(1, 4))):
            centre, radius = inside[random.integers(len(inside))], random.uniform(1.5, 8)
            occupancy = np.where(((index - centre) ** 2).sum(axis=-1) < radius**2, 0, occupancy)
    return occupancy.astype(np.float32)


def example(case: Case, random: np.random.Generator | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Input channels and target (segment - 1, or -1 outside the liver)."""
    points = box_points(case.box)
    if random is not None:
        points = random_warp(points, random)
    soft, near = case.sample(points)
    occupancy = soft.numpy()
    if random is not None:
        occupancy = spoil(occupancy, random)
    channels = torch.from_numpy(shape_channels(occupancy, case.box.spacing_mm[0]))
    target = torch.where(torch.from_numpy(occupancy >= 0.5), near - 1, torch.full_like(near, -1))
    return channels[None], target[None]


def loss_of(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Cross-entropy with a little smoothing (the maps are partly schematic) plus soft Dice, inside the liver,
    plus the mean error of the groups' shares of the liver."""
    entropy = F.cross_entropy(logits, target, ignore_index=-1, label_smoothing=0.03)
    inside = target[0] >= 0
    probability = logits.softmax(dim=1)[0][:, inside]
    truth = F.one_hot(target[0][inside], CLASSES).T.float()
    overlap = (2 * (probability * truth).sum(1) + 1) / (probability.sum(1) + truth.sum(1) + 1)
    groups = torch.tensor([[float(value + 1 in group) for value in range(CLASSES)] for group in GROUPS])
    shares = groups @ (probability - truth).mean(dim=1)
    return entropy + (1 - overlap.mean()) + VOLUME_WEIGHT * shares.abs().mean()


@torch.no_grad()
def dice_of(net: nn.Module, case: Case) -> np.ndarray:
    """Dice per segment in the box."""
    channels, target = example(case, None)
    got = net(channels).argmax(dim=1)[0]
    inside = target[0] >= 0
    scores = []
    for value in range(CLASSES):
        a, b = (got == value) & inside, target[0] == value
        scores.append(float(2 * (a & b).sum() / max(1, int(a.sum() + b.sum()))))
    return np.array(scores)


@dataclass(frozen=True)
class Plan:
    """How to train: wall time that the learning rate falls over, when to stop, first learning rate, seed, and the
    weights to start from (none: random)."""

    minutes: float
    stop: float
    rate: float
    seed: int
    start: Path | None


def copied(net: nn.Module) -> dict[str, torch.Tensor]:
    """The weights as they are now."""
    return {name: values.clone() for name, values in net.state_dict().items()}


def fit(cases: list[Case], watched: list[Case], work: Path, plan: Plan) -> nn.Module:
    """Train for the planned wall time in all, resuming from WORK/checkpoint.pt; returns the mean of the running
    averages at the last three checkpoints."""
    torch.manual_seed(plan.seed)
    net, average = ShapeNet(), ShapeNet()
    if plan.start is not None:
        net.load_state_dict(torch.load(plan.start, weights_only=True))
    average.load_state_dict(net.state_dict())
    net = net.to(memory_format=torch.channels_last_3d)
    minutes = plan.minutes
    optimiser = torch.optim.AdamW(net.parameters(), lr=plan.rate, weight_decay=1e-4)
    done_s, step, recent = 0.0, 0, [copied(average)]
    checkpoint = work / "checkpoint.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        net.load_state_dict(state["net"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        done_s, step, recent = state["done_s"], state["step"], state["recent"]
    weights = np.array([1 / len(NEAR_COPIES) if c.name in NEAR_COPIES else 1.0 for c in cases])
    weights /= weights.sum()
    started, told, losses = time.monotonic() - done_s, time.monotonic(), []
    while (elapsed := time.monotonic() - started) < min(minutes, plan.stop) * 60:
        random = np.random.default_rng((plan.seed + 4, step))
        rate = plan.rate * min(1, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * elapsed / (minutes * 60)))
        for group in optimiser.param_groups:
            group["lr"] = rate
        channels, target = example(cases[random.choice(len(cases), p=weights)], random)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = net(channels.contiguous(memory_format=torch.channels_last_3d))
        loss = loss_of(logits.float(), target)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        step += 1
        keep = min(0.998, (step + 1) / (step + 10))
        with torch.no_grad():
            for a, b in zip(average.parameters(), net.parameters(), strict=True):
                a.lerp_(b, 1 - keep)
        losses.append(float(loss.detach()))
        if time.monotonic() - told > 240:
            told = time.monotonic()
            state = {"net": net.state_dict(), "average": average.state_dict(), "optimiser": optimiser.state_dict()}
            recent = [*recent[-2:], copied(average)]
            torch.save({**state, "recent": recent, "done_s": elapsed, "step": step}, work / "writing.pt")
            (work / "writing.pt").replace(checkpoint)
            score = np.mean([dice_of(average, c) for c in watched], axis=0)
            print(f"{elapsed / 60:.1f} min, step {step}, loss {np.mean(losses[-200:]):.3f}, "
                  f"watched Dice {score.mean():.4f} {np.round(score, 3)}", flush=True)  # fmt: skip
    average.load_state_dict({name: sum(one[name] for one in recent) / len(recent) for name in recent[0]})
    return average


def export(net: nn.Module, path: Path) -> None:
    """Write the network as ONNX: float32 (1, 8, z, y, x) to logits (1, 8, z, y, x)."""
    net.eval()
    blank = torch.zeros(1, N_CHANNELS, *BOX_SHAPE_ZYX)
    net = net.to(memory_format=torch.contiguous_format)
    torch.onnx.export(net, (blank,), str(path), input_names=["shape"], output_names=["logits"], dynamo=False)
    halve(path)


def halve(path: Path) -> None:
    """Keep large weights in half precision, widened when the model is loaded: half the file, scores within 0.05."""
    model = onnx.load(path)
    casts = []
    for weight in model.graph.initializer:
        values = onnx.numpy_helper.to_array(weight)
        if values.dtype == np.float32 and values.size >= 1000:
            name = weight.name
            weight.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), f"{name}_half"))
            casts.append(onnx.helper.make_node("Cast", [f"{name}_half"], [name], to=onnx.TensorProto.FLOAT))
    kept = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*casts, *kept])
    onnx.checker.check_model(model)
    onnx.save(model, path)


def main() -> None:
    """Fit and export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=90)
    parser.add_argument("--stop", type=float, default=math.inf, help="end after so many minutes all the same")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--start", type=Path, help="average.pt of an earlier fit to go on from")
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    chosen.work.mkdir(parents=True, exist_ok=True)
    with (chosen.labels / "split.csv").open() as table:
        names = [row["file"] for row in csv.DictReader(table) if row["split"] == "train"]
    everything = [Case(chosen.labels / name) for name in names]
    watched = [c for c in everything if c.name in WATCHED]
    plan = Plan(chosen.minutes, chosen.stop, chosen.rate, chosen.seed, chosen.start)
    net = fit([c for c in everything if c.name not in WATCHED], watched, chosen.work, plan)
    torch.save(net.state_dict(), chosen.work / "average.pt")
    export(net, chosen.work / "weights.onnx")


if __name__ == "__main__":
    main()
