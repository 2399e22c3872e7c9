"""The liver network and its loss.

Voxels of 2 mm are folded into the channels of a 4 mm lattice (space to depth), so that the U-Net costs what a 4 mm
network costs and still answers every 2 mm voxel.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

#: Liver scores of the eight 2 mm voxels in a 4 mm voxel, then one per class (other, liver, ..., pancreas) at 4 mm.
FINE, COARSE = 8, 11
WIDTHS = (32, 64, 128, 192)


class Block(nn.Module):
    """Two 3x3x3 convolutions, group normalisation after the first, and a residual path."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv3d(inputs, outputs, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(8, outputs)
        self.second = nn.Conv3d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv3d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.second(F.relu(self.norm(self.first(x)))) + self.skip(x))


class LiverNet(nn.Module):
    """U-Net on (1, 16, z, y, x): grey value and field of view of eight 2 mm voxels per 4 mm voxel."""

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        pairs = list(pairwise(widths))
        self.stem = Block(16, widths[0])
        self.encoders = nn.ModuleList(Block(fine, coarse) for fine, coarse in pairs)
        self.narrow = nn.ModuleList(nn.Conv3d(coarse, fine, 1) for fine, coarse in pairs)
        self.decoders = nn.ModuleList(Block(fine, fine) for fine, _ in pairs)
        self.head = nn.Conv3d(widths[0], FINE + COARSE, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept = []
        x = self.stem(x)
        for encoder in self.encoders:
            kept.append(x)
            x = encoder(F.max_pool3d(x, 2))
        for narrow, decoder in zip(reversed(self.narrow), reversed(self.decoders), strict=True):
            x = decoder(F.interpolate(narrow(x), scale_factor=2.0, mode="nearest") + kept.pop())
        return self.head(x)


def fold(fine: torch.Tensor) -> torch.Tensor:
    """(channels, 2z, 2y, 2x) to (channels * 8, z, y, x); the eight voxels of a block in z, y, x order."""
    c, z, y, x = fine.shape
    blocks = fine.reshape(c, z // 2, 2, y // 2, 2, x // 2, 2).permute(0, 2, 4, 6, 1, 3, 5)
    return blocks.reshape(c * 8, z // 2, y // 2, x // 2)


def network_input(grey: torch.Tensor) -> torch.Tensor:
    """Channels of uint8 grey values (z, y, x; 255 outside the field of view)."""
    inside = grey != 255
    value = torch.where(inside, grey.float() * (4.0 / 254.0) - 2.0, torch.zeros(()))
    return fold(torch.stack([value, inside.float()]))[None]


def loss_of(scores: torch.Tensor, grey: torch.Tensor, classes: torch.Tensor, drawn: tuple[int, ...]) -> torch.Tensor:
    """Cross-entropy and soft Dice: liver at 2 mm; classes at 4 mm, where what a source did not draw counts as other."""
    inside = fold((grey != 255)[None])
    liver = fold((classes == 1)[None]) & inside
    score = scores[0, :FINE].float()
    truth, seen = liver.float(), inside.float()
    entropy = (F.binary_cross_entropy_with_logits(score, truth, reduction="none") * seen).sum() / seen.sum().clamp(1)
    probability = score.sigmoid() * seen
    overlap = (2 * (probability * truth).sum() + 500) / (probability.sum() + truth.sum() + 500)
    loss = 2 * entropy + (1 - overlap)
    target, known = classes[::2, ::2, ::2].long(), inside[0]
    logs = F.log_softmax(scores[0, FINE:].float(), dim=0)
    hidden = [c for c in range(COARSE) if c not in drawn]
    other = torch.logsumexp(logs[hidden], dim=0)
    picked = torch.where(target == 0, other, logs.gather(0, target.clamp(max=COARSE - 1)[None])[0])
    loss = loss - 0.5 * (picked * known).sum() / known.sum().clamp(1)
    shares = []
    for c in drawn:
        mask = (target == c) & known
        if mask.any():
            share = logs[c].exp() * known
            shares.append((2 * share[mask].sum() + 20) / (share.sum() + mask.sum() + 20))
    if shares:
        loss = loss + 0.5 * (1 - torch.stack(shares).mean())
    return loss
