"""How many visits fit into memory at once, learned from those already done."""

from __future__ import annotations

from collections.abc import Sequence

from livervol.batch.memory import available_mb

__all__ = ["Budget"]

#: The program itself with its libraries, and a visit's arrays per byte on the disk: a first guess on the safe side,
#: until visits have been measured.
BASE_MB = 400.0
FIRST_FACTOR = 20.0

#: Share of the free memory that is used unless told.
SHARE = 0.8

#: Kept above the largest peak seen, in parts of it.
MARGIN = 1.15

#: Arrays per byte that are reckoned with however little was seen, and visits seen before the guess may fall.
LEAST_FACTOR = 4.0
_MEASURED = 3


class Budget:
    """Estimates a visit's peak from the size of its files; the estimate follows the largest need seen."""

    def __init__(self, memory_mb: float | None = None) -> None:
        self.memory_mb = memory_mb if memory_mb is not None else SHARE * available_mb()
        self._seen = 0
        self._factor, self._largest = FIRST_FACTOR, LEAST_FACTOR

    def estimate_mb(self, file_bytes: int) -> float:
        """Peak memory of a visit whose files have so many bytes."""
        return BASE_MB + self._factor * file_bytes / 2**20

    def learn(self, file_bytes: int, peak_mb: float) -> None:
        """A visit of that size had that peak."""
        size = max(file_bytes / 2**20, 0.1)
        needed = max(0.0, MARGIN * peak_mb - BASE_MB) / size
        self._seen += 1
        self._largest = max(self._largest, needed)
        if self._seen >= _MEASURED or needed > self._factor:
            self._factor = self._largest

    def fits(self, need_mb: float, running_mb: Sequence[float]) -> bool:
        """Whether one more visit fits beside those under way; one alone always does."""
        return not running_mb or sum(running_mb) + need_mb <= self.memory_mb
