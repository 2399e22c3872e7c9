"""The edge network and its loss."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

#: Channels of 2 mm voxels, of which the CUT'th is the cut's membership; neighbours' probabilities; widths by level.
FINE, CUT, INSIDE, NEIGHBOURS, WIDTHS = 7, 3, 6, 9, (16, 40, 64)

#: The network starts from this many nats for every unit of the cut's channel, and learns what to add.
CUT_NATS = 1.5


class Block(nn.Module):
    """Two 3x3x3 convolutions, group normalisation after the first, and a residual path."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv3d(inputs, outputs, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(4, outputs)
        self.second = nn.Conv3d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv3d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.second(F.relu(self.norm(self.first(x)))) + self.skip(x))


class EdgeNet(nn.Module):
    """U-Net of three levels on (1, 16, z, y, x), sides multiples of 4; score of liver, (1, 1, z, y, x)."""

    def __init__(self) -> None:
        super().__init__()
        fine, middle, coarse = WIDTHS
        self.stem = Block(FINE, fine)
        self.down = Block(fine + NEIGHBOURS, middle)
        self.bottom = Block(middle, coarse)
        self.narrow = nn.Conv3d(coarse, middle, 1)
        self.up = Block(middle, middle)
        self.thin = nn.Conv3d(middle, fine, 1)
        self.last = Block(fine, fine)
        self.head = nn.Conv3d(fine, 1, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen, neighbours = x[:, :FINE], F.avg_pool3d(x[:, FINE:], 2)
        top = self.stem(seen)
        half = self.down(torch.cat([F.avg_pool3d(top, 2), neighbours], dim=1))
        low = self.narrow(self.bottom(F.max_pool3d(half, 2)))
        half = self.thin(self.up(F.interpolate(low, scale_factor=2.0, mode="nearest") + half))
        top = self.last(F.interpolate(half, scale_factor=2.0, mode="nearest") + top)
        return self.head(top) + CUT_NATS * seen[:, CUT : CUT + 1]


def loss_of(score: torch.Tensor, truth: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """Cross-entropy and soft Dice with the share of liver in each voxel, inside the field of view."""
    entropy = F.binary_cross_entropy_with_logits(score, truth, reduction="none")
    share, seen = score.sigmoid() * inside, truth * inside
    overlap = (2 * (share * seen).sum() + 500) / ((share**2).sum() + (seen**2).sum() + 500)
    return 3 * (entropy * inside).sum() / inside.sum().clamp(1) + 1 - overlap
