"""Fits the liver network; every run resumes from its checkpoint.

    python cases.py --scans SCANS --work WORK
    python fit.py --work WORK --name trunk_01 --folds 0 1 --steps 3000
    python fit.py --work WORK --name fold_2 --folds 0 1 3 4 --start trunk_01 --steps 1200 --shuffle 6500 --decay
    python fit.py --work WORK --name end_2 --folds 0 1 3 4 --start fold_2 --steps 700 --shuffle 4000 --decay \\
        --recipe finish

The released weights: trunks of folds 0, 1 and of 2, 3, 4 (1,450 and 2,150 steps); from them the heads fold_0 (1,300),
fold_1 to fold_4 and final (1,100 each, --decay); from those, with --shuffle 6000 --decay, v2_fold_2 and v2_fold_3
(1,200), v2_fold_4 (1,000) and v2_final (1,800); last, 700 steps with --shuffle 4000 --decay --recipe finish on each of
these and on fold_0 and fold_1.

A network is fitted on the scans of ``--folds`` alone. A trunk sees the examples in order, at an even rate; the
networks that start from it (``--start``; its folds must be among their own, so that no network has ever seen a scan it
is tested on) draw from the examples made so far, and their rate decays to zero at the last step. WORK/NAME.pt holds
the network, its running average (the one that is used), the optimiser and the step; WORK/pool keeps examples, because
several networks share them. Everything random is seeded by the step.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from cases import DRAWN, fold_of
from examples import RECIPES, Cases, Recipe, case_of, stored_example
from network import LiverNet, loss_of, network_input
from torch import nn

RATE, FINISHING_RATE, WARM_UP, WEIGHT_DECAY, KEEP = 1.5e-3, 8e-4, 150, 1e-4, 0.998
SAVE_EVERY_S = 150


def numbers(folds: list[int], shuffle: int, recipe: Recipe) -> Iterator[int]:
    """Example numbers whose scan lies in ``folds``: in order, or the first ``shuffle`` in random order."""
    turn = 0
    while True:
        order = np.random.default_rng((23, turn)).permutation(shuffle) if shuffle else iter(range(1_000_000))
        for number in order:
            if fold_of(case_of(int(number), recipe)) in folds:
                yield int(number)
        turn += 1


class Run:
    """A network in the making."""

    def __init__(self, work: Path, name: str, start: str | None, folds: list[int]) -> None:
        torch.manual_seed(7)
        self.path, self.folds, self.step = work / f"{name}.pt", folds, 0
        self.net = LiverNet().to(memory_format=torch.channels_last_3d)
        self.average = LiverNet().to(memory_format=torch.channels_last_3d)
        self.optimiser = torch.optim.AdamW(self.net.parameters(), lr=RATE, weight_decay=WEIGHT_DECAY)
        self.seen = set(folds)
        if self.path.exists():
            state = torch.load(self.path, weights_only=True)
            self.step = state["step"]
            self.optimiser.load_state_dict(state["optimiser"])
        elif start:
            state = torch.load(work / f"{start}.pt", weights_only=True)
        else:
            self.average.load_state_dict(self.net.state_dict())
            return
        if not set(state["folds"]) <= self.seen:
            raise SystemExit(f"{start or name} was fitted on folds {state['folds']}, not only on {folds}")
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])

    def save(self) -> None:
        state = {"net": self.net.state_dict(), "average": self.average.state_dict(), "step": self.step,
                 "optimiser": self.optimiser.state_dict(), "folds": self.folds}  # fmt: skip
        writing = self.path.with_suffix(".writing")
        torch.save(state, writing)
        writing.replace(self.path)

    def learn(self, grey: torch.Tensor, classes: torch.Tensor, drawn: tuple[int, ...], rate: float) -> float:
        """One step on one example; returns its loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        channels = network_input(grey).to(memory_format=torch.channels_last_3d)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            scores = self.net(channels)
        loss = loss_of(scores, grey, classes, drawn)
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        keep = min(KEEP, (self.step + 1) / (self.step + 10))
        with torch.no_grad():
            for a, b in zip(self.average.parameters(), self.net.parameters(), strict=True):
                a.lerp_(b, 1 - keep)
        return float(loss.detach())


def fit(run: Run, work: Path, recipe: Recipe, *, steps: int, shuffle: int, decay: bool) -> None:
    """Learn until ``steps`` have been taken in all."""
    highest = FINISHING_RATE if recipe.name == "finish" else RATE
    cases = Cases(work / "cases")
    order = numbers(run.folds, shuffle, recipe)
    for _ in range(run.step):
        next(order)
    saved = told = time.monotonic()
    losses: list[float] = []
    while run.step < steps:
        number = next(order)
        grey, classes = stored_example(cases, work / "pool", number, recipe)
        if (grey == 255).float().mean() > 0.97:
            run.step += 1
            continue
        rate = highest * min(1.0, (run.step + 1) / WARM_UP)
        if decay:
            rate *= 0.5 * (1 + math.cos(math.pi * run.step / steps))
        losses.append(run.learn(grey, classes, DRAWN[case_of(number, recipe).split("_")[0]], rate))
        if run.step % 50 == 0:
            now = time.monotonic()
            print(f"step {run.step}, example {number}, loss {np.mean(losses[-200:]):.4f}, "
                  f"{(now - told) / 50:.2f} s a step", flush=True)  # fmt: skip
            told = now
        if time.monotonic() - saved > SAVE_EVERY_S:
            run.save()
            saved = time.monotonic()
    run.save()


def main() -> None:
    """Fit one network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--folds", type=int, nargs="+", required=True)
    parser.add_argument("--start")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--shuffle", type=int, default=0)
    parser.add_argument("--decay", action="store_true")
    parser.add_argument("--recipe", choices=RECIPES, default="broad")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    run = Run(chosen.work, chosen.name, chosen.start, chosen.folds)
    fit(run, chosen.work, RECIPES[chosen.recipe], steps=chosen.steps, shuffle=chosen.shuffle, decay=chosen.decay)


if __name__ == "__main__":
    main()
