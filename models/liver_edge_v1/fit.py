"""Fits the edge network; every run resumes from its checkpoint.

    python maps.py --scans SCANS --liver WORK_OF_LIVER --work WORK
    python fit.py --work WORK --name edge_2 --without 2 --steps 2400
    python fit.py --work WORK --name edge_2 --without 2 --test

``--without K`` leaves fold K out: its scans are never seen, and what is seen of the others came from networks that
never saw them. (Those networks had seen fold K: only what they answered on other scans is learnt from.) WORK/NAME.pt
holds the network, its running average (the one that is used), the optimiser and the step. Everything random is seeded
by the step. Without ``--without`` all scans are used: the released weights, edge_final.

The released weights were fitted in two stretches: ``--steps 1200 --even`` on the maps of liver_v2's networks, then
``--start`` from there on the maps of liver_v3's (the card tells the steps).
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

import numpy as np
import torch
from network import CUT, FINE, INSIDE, EdgeNet, loss_of
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "liver_v3"))
from cases import NAMES, NEAR_COPIES, fold_of

PATCH = (56, 64, 64)
RATE, WARM_UP, WEIGHT_DECAY, KEEP, SAVE_EVERY = 2e-3, 50, 1e-4, 0.995, 100
#: Bounds and empty values of the channels, as ``livervol.segment.liver_edge`` has them.
EMPTY = (0.0, 0.0, -2.0, -2.0, -3.0, 0.0, 0.0)
GREY, DEVIATION, NETWORK, ATLAS = 0, 1, 2, 4

Case = tuple[torch.Tensor, torch.Tensor, torch.Tensor, np.ndarray]


class Cases:
    """The maps, read when first needed: channels, neighbours, truth, and places near the outlines."""

    def __init__(self, work: Path) -> None:
        self.folder = work / "maps"
        self.read: dict[str, Case] = {}

    def names(self, without: int | None) -> list[str]:
        return [n for n in NAMES if fold_of(n) != without and (self.folder / f"{n}.npz").exists()]

    def __getitem__(self, name: str) -> Case:
        if name not in self.read:
            with np.load(self.folder / f"{name}.npz") as maps:
                channels, classes, truth = maps["channels"], maps["classes"], maps["truth"]
            cut = channels[CUT].astype(np.float32)
            near = np.argwhere((np.abs(cut) < 1.6) | ((truth > 0.5) != (cut > 0)))
            self.read[name] = (*(torch.from_numpy(a) for a in (channels, classes, truth)), near[::3])
        return self.read[name]


def weight_of(name: str) -> float:
    """How often a scan is drawn."""
    return 0.3 if name in NEAR_COPIES else 1.3 if name.startswith("chaos") else 1.0


def patch_of(case: Case, random: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Input (16, z, y, x) and truth of a patch near an outline, mirrored and turned at random."""
    channels, classes, truth, near = case
    middle = near[random.integers(len(near))] + random.integers(-8, 9, 3)
    first = [int(np.clip(m - p // 2, 0, max(0, n - p))) // 2 * 2
             for m, p, n in zip(middle, PATCH, truth.shape, strict=True)]  # fmt: skip
    box = tuple(slice(a, a + p) for a, p in zip(first, PATCH, strict=True))
    half = tuple(slice(s.start // 2, s.stop // 2) for s in box)
    fine, share = channels[(slice(None), *box)].float(), truth[box].float()
    wide = classes[(slice(None), *half)].float()
    for axis in range(3):
        wide = wide.repeat_interleave(2, dim=axis + 1)
    lack = [p - n for p, n in zip(PATCH, share.shape, strict=True)]
    whole = torch.zeros((FINE + len(wide), *PATCH))
    whole[:FINE] = torch.tensor(EMPTY).reshape(-1, 1, 1, 1)
    there = tuple(slice(0, p - n) for p, n in zip(PATCH, lack, strict=True))
    whole[(slice(0, FINE), *there)], whole[(slice(FINE, None), *there)] = fine, wide
    share = F.pad(share, [0, lack[2], 0, lack[1], 0, lack[0]])
    mirrored = [axis for axis in range(3) if random.random() < 0.5]
    whole, share = whole.flip([axis + 1 for axis in mirrored]), share.flip(mirrored)
    if random.random() < 0.3:
        whole, share = whole.transpose(2, 3), share.transpose(1, 2)
    return whole.clone(), share


def spoil(x: torch.Tensor, random: np.random.Generator) -> None:
    """Other contrast and noise, a first network and an atlas that are surer, less sure or off: in place."""
    x[GREY] = x[GREY] * math.exp(random.normal(0, 0.15)) + random.normal(0, 0.2)
    x[DEVIATION] *= math.exp(random.normal(0, 0.25))
    if random.random() < 0.1:
        x[GREY], x[DEVIATION] = -x[GREY], -x[DEVIATION]
    if random.random() < 0.3:
        noise = torch.from_numpy(random.standard_normal(PATCH, dtype=np.float32)) * random.uniform(0, 0.35)
        x[GREY] += 0.5 * noise
        x[DEVIATION] += noise
    if random.random() < 0.1:
        x[GREY] = 0
    x[NETWORK] = x[NETWORK] * math.exp(random.normal(0, 0.15)) + random.normal(0, 0.12)
    if random.random() < 0.5:
        knots = torch.from_numpy(random.standard_normal((1, 1, 6, 6, 6)).astype(np.float32)) * random.uniform(0, 0.6)
        bend = F.interpolate(knots, size=PATCH, mode="trilinear")[0, 0]
        x[CUT] = 4 * torch.sigmoid(torch.logit((x[CUT] + 2) / 4, 1e-3) + 2 * bend) - 2
    x[ATLAS] += random.normal(0, 0.3)
    for channel, most in ((GREY, 2.2), (DEVIATION, 3.0), (NETWORK, 2.0), (ATLAS, 3.0)):
        x[channel].clamp_(-most, most)


def example(cases: Cases, names: list[str], step: int, stretch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Input and truth of a step's example; the same step gives the same example."""
    random = np.random.default_rng((29 + stretch, step))
    weights = np.array([weight_of(n) for n in names])
    x, truth = patch_of(cases[names[random.choice(len(names), p=weights / weights.sum())]], random)
    spoil(x, random)
    return x[None], truth[None, None]


def fit(path: Path, names: list[str], cases: Cases, steps: int, *, start: Path | None, even: bool) -> None:
    """Learn until ``steps`` have been taken; the rate falls to zero unless ``even``."""
    torch.manual_seed(3)
    net, average = EdgeNet().to(memory_format=torch.channels_last_3d), EdgeNet()
    optimiser = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=WEIGHT_DECAY)
    step, losses = 0, []
    source = path if path.exists() else start
    if source is not None:
        state = torch.load(source, weights_only=True)
        if not set(state["names"]) <= set(names):
            raise SystemExit(f"{source.stem} was fitted on scans that are to be left out")
        net.load_state_dict(state["net"])
        average.load_state_dict(state["average" if source == path else "net"])
        if source == path:
            step = state["step"]
            optimiser.load_state_dict(state["optimiser"])
    else:
        average.load_state_dict(net.state_dict())
    while step < steps:
        rate = RATE * min(1.0, (step + 1) / WARM_UP)
        for group in optimiser.param_groups:
            group["lr"] = rate if even else rate * 0.5 * (1 + math.cos(math.pi * step / steps))
        x, truth = example(cases, names, step, 0 if even else 1)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            score = net(x.to(memory_format=torch.channels_last_3d))
        loss = loss_of(score.float(), truth, x[:, INSIDE : INSIDE + 1])
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        step += 1
        keep = min(KEEP, (step + 1) / (step + 10))
        with torch.no_grad():
            for a, b in zip(average.parameters(), net.parameters(), strict=True):
                a.lerp_(b, 1 - keep)
        losses.append(float(loss.detach()))
        if step % SAVE_EVERY == 0 or step == steps:
            print(f"step {step}, loss {np.mean(losses[-200:]):.4f}", flush=True)
            state = {"net": net.state_dict(), "average": average.state_dict(), "optimiser": optimiser.state_dict(),
                     "step": step, "names": names}  # fmt: skip
            torch.save(state, path.with_suffix(".writing"))
            path.with_suffix(".writing").replace(path)


def test(path: Path, cases: Cases, names: list[str]) -> None:
    """Dice of the cut and of the network on scans that were left out, on the 2 mm lattice."""
    net = EdgeNet()
    net.load_state_dict(torch.load(path, weights_only=True)["average"])
    net.eval()
    for name in names:
        channels, classes, truth, _ = cases[name]
        with np.load(cases.folder / f"{name}.npz") as maps:
            beyond = int(maps["beyond"])
        wide = classes.float()
        for axis in range(3):
            wide = wide.repeat_interleave(2, dim=axis + 1)
        x = torch.cat([channels.float(), wide])[None]
        x = F.pad(x, [v for n in reversed(truth.shape) for v in (0, -n % 4)])
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            score = net(x)[0, 0].float().numpy()[tuple(slice(0, n) for n in truth.shape)]
        drawn, inside = truth.numpy() > 0.5, channels[INSIDE].numpy() > 0
        pair = [2 * np.count_nonzero(mask & drawn) / (mask.sum() + drawn.sum() + beyond)
                for mask in (channels[CUT].numpy() > 0, (score > 0) & inside)]  # fmt: skip
        print(f"{name} cut {pair[0]:.4f} edge {pair[1]:.4f}", flush=True)


def main() -> None:
    """Fit one network, or test it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--without", type=int)
    parser.add_argument("--start", type=Path)
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--even", action="store_true")
    parser.add_argument("--test", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    cases, path = Cases(chosen.work), chosen.work / f"{chosen.name}.pt"
    names = cases.names(chosen.without)
    if chosen.test:
        test(path, cases, [n for n in cases.names(None) if n not in names])
        return
    fit(path, names, cases, chosen.steps, start=chosen.start, even=chosen.even)


if __name__ == "__main__":
    main()
