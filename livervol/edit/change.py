"""Changes a reader makes: which voxels of which mask, from what to what, and why; each can be undone.

``Change`` is one mask's difference as runs of voxels. ``Setting`` is anything else a reader decides (a landmark, a
role, the chosen resection). ``Step`` is one gesture: the changes and settings that are done and undone together, and
the unit of the journal. Masks are integer arrays [z, y, x], C order; runs count through them x fastest.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livervol.errors import LivervolError, refusal
from livervol.kernels.changes import change_runs, write_change

__all__ = ["Box", "Change", "Setting", "Step", "applied_settings", "box_of"]

Box = tuple[slice, slice, slice]
Shape = tuple[int, int, int]

_HEAD = struct.Struct(">II")


@dataclass(frozen=True, eq=False)
class Change:
    """One mask's difference: run k sets ``lengths[k]`` voxels from ``starts[k]`` on from ``before[k]`` to ``after[k]``.

    ``mask`` names the mask, ``tool`` what the reader used, ``reason`` the reader's words ("" when none were asked).
    ``starts`` (flat index, increasing) and ``lengths`` int64, ``before`` and ``after`` uint16, all of shape (n,).
    """

    mask: str
    tool: str
    shape_zyx: Shape
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    before: NDArray[np.uint16]
    after: NDArray[np.uint16]
    reason: str = ""

    @classmethod
    def between(
        cls,
        before: NDArray[Any],
        after: NDArray[Any],
        mask: str,
        tool: str,
        place: tuple[Shape, Sequence[int]] | None = None,
    ) -> Change:
        """The change that turns ``before`` into ``after``.

        ``place`` is (shape of the whole mask, start_zyx of the box) when the two arrays are a box of it.
        """
        starts, lengths, old, new = change_runs(_bytes(before), _bytes(after))
        shape = _shape_of(before)
        if place is not None:
            z, y, x = np.unravel_index(starts, shape)
            shape, (dz, dy, dx) = place
            starts = ((z + dz) * shape[1] + (y + dy)) * shape[2] + (x + dx)
        return cls(mask, tool, shape, starts, lengths, old, new)

    @classmethod
    def of_voxels(
        cls,
        mask: str,
        tool: str,
        shape_zyx: Shape,
        flat: NDArray[np.int64],
        values: tuple[NDArray[np.uint16], NDArray[np.uint16]],
    ) -> Change:
        """The change of single voxels: increasing ``flat`` indices, ``values`` (before, after) of the same length."""
        old, new = values
        if flat.size == 0:
            first = np.zeros(0, bool)
        else:
            first = np.ones(flat.size, bool)
            first[1:] = (np.diff(flat) != 1) | (old[1:] != old[:-1]) | (new[1:] != new[:-1])
        at = np.flatnonzero(first)
        lengths = np.diff(np.append(at, flat.size)).astype(np.int64)
        return cls(mask, tool, shape_zyx, flat[at], lengths, old[at], new[at])

    @property
    def voxels(self) -> int:
        """How many voxels change."""
        return int(self.lengths.sum())

    @property
    def flat(self) -> NDArray[np.int64]:
        """Flat index of every changed voxel, increasing."""
        ends = np.cumsum(self.lengths)
        within = np.arange(int(ends[-1]) if ends.size else 0) - np.repeat(ends - self.lengths, self.lengths)
        flat: NDArray[np.int64] = np.repeat(self.starts, self.lengths) + within
        return flat

    @property
    def box(self) -> Box | None:
        """The smallest box that holds every changed voxel; None when nothing changes."""
        return None if self.starts.size == 0 else box_of(self.starts, self.lengths, self.shape_zyx)

    @property
    def values(self) -> tuple[int, ...]:
        """Every value that appears before or after, background left out."""
        return tuple(int(v) for v in np.union1d(self.before, self.after) if v)

    def apply(self, labels: NDArray[Any]) -> None:
        """Make the change in ``labels``, in place.

        Refuses (``LivervolError``) when the mask has another shape or does not hold ``before``: nothing is changed.
        """
        if labels.shape != self.shape_zyx:
            raise LivervolError(
                refusal(
                    "change is not of this mask", expected=str(self.shape_zyx), got=str(labels.shape), where=self.mask
                )
            )
        if not labels.flags.c_contiguous:
            raise LivervolError(refusal("mask cannot be edited", expected="a contiguous array", got="a strided view"))
        if self.after.size and int(self.after.max()) > np.iinfo(labels.dtype).max:
            raise LivervolError(
                refusal("label overflow", expected=f"values of {labels.dtype}", got=str(int(self.after.max())))
            )
        wrong = write_change(labels.reshape(-1), self.starts, self.lengths, self.before, self.after)
        if wrong:
            raise LivervolError(
                refusal(
                    "change does not fit the mask",
                    expected="the values it was made from",
                    got=f"{wrong} of {self.voxels} voxels with other values",
                    where=f"{self.mask}, {self.tool}",
                    do="Undo the later edits first.",
                )
            )

    def inverted(self) -> Change:
        """The change that undoes this one."""
        return replace(self, before=self.after, after=self.before)

    def because(self, reason: str) -> Change:
        """The same change with the reader's reason."""
        return replace(self, reason=reason)

    def encode(self) -> bytes:
        """The change as bytes: a JSON head and the runs, compressed."""
        head = {"mask": self.mask, "tool": self.tool, "shape_zyx": list(self.shape_zyx), "reason": self.reason}
        # gaps are small numbers and compress well
        ends = np.concatenate([[0], self.starts + self.lengths])[: self.starts.size]
        columns = (self.starts - ends, self.lengths, self.before, self.after)
        words = json.dumps({**head, "runs": int(self.starts.size)}, sort_keys=True).encode()
        body = zlib.compress(b"".join(c.astype("<i8" if k < 2 else "<u2").tobytes() for k, c in enumerate(columns)), 6)
        return _HEAD.pack(len(words), len(body)) + words + body

    @classmethod
    def decode(cls, data: bytes) -> Change:
        """The change that ``encode`` wrote; ``LivervolError`` for anything else."""
        try:
            words, body = _HEAD.unpack_from(data)
            head = json.loads(data[_HEAD.size : _HEAD.size + words])
            packed = data[_HEAD.size + words :]
            if len(packed) != body:
                raise ValueError("length")
            return cls._from_columns(head, zlib.decompress(packed))
        except (struct.error, ValueError, KeyError, TypeError, zlib.error) as error:
            raise LivervolError(
                refusal("change cannot be read", expected="an encoded change", got=type(error).__name__)
            ) from error

    @classmethod
    def _from_columns(cls, head: Mapping[str, Any], data: bytes) -> Change:
        n = int(head["runs"])
        if len(data) != 20 * n:
            raise ValueError("length")
        gaps, lengths = np.frombuffer(data, "<i8", 2 * n).reshape(2, n)
        before, after = np.frombuffer(data, "<u2", 2 * n, 16 * n).reshape(2, n)
        starts = np.cumsum(gaps + np.concatenate([[0], lengths])[:n])
        z, y, x = (int(v) for v in head["shape_zyx"])
        end = int(starts[-1] + lengths[-1]) if n else 0
        if n and (gaps.min() < 0 or lengths.min() < 1 or end > z * y * x):
            raise ValueError("runs")
        return cls(
            str(head["mask"]), str(head["tool"]), (z, y, x),
            starts.astype(np.int64), lengths.astype(np.int64), before.astype(np.uint16), after.astype(np.uint16),
            str(head["reason"]),
        )  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """One decision that is not voxels: ``key`` (``lesion.3.role``, ``landmarks``, ``resections``), before and after.

    Values are what JSON holds; None means not set.
    """

    key: str
    before: Any
    after: Any

    def inverted(self) -> Setting:
        """The setting that undoes this one."""
        return Setting(self.key, self.after, self.before)


@dataclass(frozen=True, eq=False)
class Step:
    """One gesture of the reader: every change and setting that is done, and undone, together."""

    tool: str
    changes: tuple[Change, ...] = ()
    settings: tuple[Setting, ...] = field(default=())
    reason: str = ""

    @property
    def is_empty(self) -> bool:
        """True when nothing would change."""
        return not any(c.voxels for c in self.changes) and all(s.before == s.after for s in self.settings)

    def inverted(self) -> Step:
        """The step that undoes this one: last change first."""
        return Step(
            self.tool,
            tuple(c.inverted() for c in reversed(self.changes)),
            tuple(s.inverted() for s in reversed(self.settings)),
            self.reason,
        )


def applied_settings(values: Mapping[str, Any], settings: Sequence[Setting]) -> dict[str, Any]:
    """The decisions after ``settings``; refuses (``LivervolError``) a setting whose ``before`` is not what is set."""
    result = dict(values)
    for one in settings:
        if result.get(one.key) != one.before:
            raise LivervolError(
                refusal(
                    "setting does not fit",
                    expected=f"{one.key} = {one.before!r}",
                    got=repr(result.get(one.key)),
                    do="Undo the later edits first.",
                )
            )
        if one.after is None:
            result.pop(one.key, None)
        else:
            result[one.key] = one.after
    return result


def box_of(starts: NDArray[np.int64], lengths: NDArray[np.int64], shape_zyx: Shape) -> Box:
    """The smallest box around runs of voxels; a run that crosses rows takes whole rows."""
    _, ny, nx = shape_zyx
    ends = starts + lengths - 1
    rows, last_rows = starts // nx, ends // nx
    z0, z1 = int(rows[0] // ny), int(last_rows[-1] // ny) + 1
    if (last_rows > rows).any():
        crossing = bool(((last_rows // ny) > (rows // ny)).any())
        y0, y1 = (0, ny) if crossing else (int((rows % ny).min()), int((last_rows % ny).max()) + 1)
        return (slice(z0, z1), slice(y0, y1), slice(0, nx))
    y, x0, x1 = rows % ny, starts % nx, ends % nx
    return (slice(z0, z1), slice(int(y.min()), int(y.max()) + 1), slice(int(x0.min()), int(x1.max()) + 1))


def _shape_of(labels: NDArray[Any]) -> Shape:
    z, y, x = labels.shape
    return (z, y, x)


def _bytes(labels: NDArray[Any]) -> NDArray[Any]:
    return labels.view(np.uint8) if labels.dtype == np.bool_ else labels
