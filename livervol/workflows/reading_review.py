"""Two readers of one visit side by side, and the reading that stands.

Readers are blinded: nothing here shows a reading that is not signed off. ``compare`` gives differences as data (masks,
lesions, numbers, responses), ``agreement`` kappa over many visits, ``open_adjudication`` a reading of its own in
``readers/adjudicated`` that starts from the adjudicator's picks and is edited, saved and signed off like any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from livervol.edit.change import Change, Setting, Step
from livervol.edit.journal import State, read_records, rebuild, verify
from livervol.endpoints.agreement import Agreement, cohen_kappa
from livervol.errors import LivervolError, refusal
from livervol.kernels.tally import overlap_counts
from livervol.workflows.reading import CRITERIA, Reading, ReadingSettings
from livervol.workflows.reading_folder import (
    ADJUDICATED,
    JOURNAL,
    MASKS,
    SIGN_OFF,
    read_document,
    reader_folder,
    write_json,
)

__all__ = [
    "Comparison",
    "LesionPair",
    "MaskDifference",
    "agreement",
    "compare",
    "differing_voxels",
    "open_adjudication",
    "readers_of",
    "write_comparison",
]

#: Two readers mean the same lesion when their outlines share at least this part of both (Dice).
SAME_LESION_DICE = 0.1

_NUMBERS = ("volume_ml", "longest_mm", "short_axis_mm", "viable_longest_mm", "viable_volume_ml")


@dataclass(frozen=True)
class MaskDifference:
    """One mask by two readers: volumes in ml, Dice (1 when both are empty), ml that only one of them marked."""

    mask: str
    first_ml: float
    second_ml: float
    dice: float
    only_first_ml: float
    only_second_ml: float


@dataclass(frozen=True)
class LesionPair:
    """A lesion by two readers: their numbers (None: not found), Dice, role and state each, lengths and volumes each."""

    first: int | None
    second: int | None
    dice: float
    roles: tuple[str, str] = ("", "")
    states: tuple[str, str] = ("", "")
    values: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """Two signed readings of one visit.

    ``numbers`` are liver, tumour and remnant values by dotted name, (first, second); ``responses`` the overall category
    by criterion.
    """

    visit: str
    readers: tuple[str, str]
    masks: tuple[MaskDifference, ...]
    lesions: tuple[LesionPair, ...]
    numbers: Mapping[str, tuple[float | None, float | None]]
    responses: Mapping[str, tuple[str, str]]

    @property
    def disagreements(self) -> tuple[str, ...]:
        """Sentences on what decides: responses, lesions only one reader found, roles and states that differ."""
        found = []
        for criterion, (one, two) in self.responses.items():
            if one != two:
                found.append(f"{criterion}: {self.readers[0]} says {one or 'baseline'}, {self.readers[1]} {two}")
        for pair in self.lesions:
            name = f"lesion {pair.first if pair.first is not None else pair.second}"
            if pair.first is None or pair.second is None:
                who = self.readers[pair.first is None]
                found.append(f"{name}: only {who} marked it")
                continue
            for what, (one, two) in (("role", pair.roles), ("state", pair.states)):
                if one != two:
                    found.append(f"{name}: {what} {one} or {two}")
        return tuple(found)


def readers_of(visit: str | Path) -> dict[str, bool]:
    """Readers who have begun a visit, and whether each has signed off; the adjudicated reading is left out."""
    folder = Path(visit) / "readers"
    names = sorted(p.name for p in folder.iterdir() if (p / JOURNAL).is_file()) if folder.is_dir() else []
    return {name: (folder / name / SIGN_OFF).is_file() for name in names if name != ADJUDICATED}


def compare(visit: str | Path, first: str, second: str) -> Comparison:
    """Where two readers of a visit differ; refused until both have signed off, and for a journal that does not verify.

    Masks come from the journals at the signed heads, numbers from the signed measurements.json.
    """
    states = [_signed(Path(visit), reader) for reader in (first, second)]
    documents = [read_document(reader_folder(visit, r) / "measurements.json") for r in (first, second)]
    voxel_ml = _voxel_ml(states[0], documents[0])
    masks = tuple(_mask_difference(n, states, voxel_ml) for n in MASKS if all(n in s.masks for s in states))
    flat = [_flat({k: d.get(k, {}) for k in ("liver", "tumor", "remnant")}) for d in documents]
    names = dict.fromkeys([*flat[0], *flat[1]])
    responses = {
        c: tuple(str(d.get("responses", {}).get(c, {}).get("overall", "")) for d in documents) for c in CRITERIA
    }
    return Comparison(
        Path(visit).name,
        (first, second),
        masks,
        _lesion_pairs(states, documents),
        {n: (flat[0].get(n), flat[1].get(n)) for n in names},
        {c: (r[0], r[1]) for c, r in responses.items()},
    )


def differing_voxels(visit: str | Path, first: str, second: str, mask: str) -> NDArray[np.uint8]:
    """Where two signed readings of a mask differ, to be shown: 1 only the first, 2 only the second, 3 both."""
    one, two = (_signed(Path(visit), r).masks[mask] != 0 for r in (first, second))
    shown: NDArray[np.uint8] = one.view(np.uint8) + 2 * two.view(np.uint8)
    return shown


def agreement(comparisons: Sequence[Comparison], criterion: str = "mrecist") -> Agreement:
    """Cohen's kappa of the two readers' overall responses over visits; visits without a response are left out."""
    pairs = [c.responses.get(criterion, ("", "")) for c in comparisons]
    read = [(a, b) for a, b in pairs if a and b]
    if len(read) < 2:
        raise LivervolError(refusal("kappa needs visits", expected="two or more read by both", got=str(len(read))))
    return cohen_kappa([a for a, _ in read], [b for _, b in read])


def write_comparison(comparison: Comparison, path: str | Path) -> Path:
    """The comparison as JSON, for a report or a view."""
    return write_json(Path(path), {**asdict(comparison), "disagreements": list(comparison.disagreements)})


def open_adjudication(
    visit: str | Path,
    readers: tuple[str, str],
    picks: Mapping[str, str],
    *,
    earlier: Sequence[str | Path] = (),
    settings: ReadingSettings | None = None,
) -> Reading:
    """The adjudicated reading: begun from the machine's masks, then one step that takes what was picked.

    ``picks`` says for each mask (``liver``, ``lesions``, ...) and for ``decisions`` (roles, states, landmarks) whose
    stands; what is not picked stays the machine's. Viable and uncertain parts follow the lesions' reader unless picked.
    Refused until both readers have signed off. An adjudication that was begun before is gone on with.
    """
    states = {reader: _signed(Path(visit), reader) for reader in readers}
    for what, reader in picks.items():
        if reader not in states or what not in (*MASKS, "decisions"):
            raise LivervolError(
                refusal("pick", expected=f"a mask or decisions, by {' or '.join(readers)}", got=f"{what} by {reader}")
            )
    begun = (reader_folder(visit, ADJUDICATED) / JOURNAL).is_file()
    reading = Reading.open(visit, ADJUDICATED, earlier=earlier, settings=settings)
    if begun:
        return reading
    chosen = dict(picks)
    if "lesions" in chosen:
        for part in ("viable", "uncertain"):
            chosen.setdefault(part, chosen["lesions"])
    changes = []
    for mask in MASKS:
        theirs = states[chosen[mask]].masks.get(mask) if mask in chosen else None
        if theirs is not None:
            changes.append(Change.between(reading.canvas(mask).labels, theirs, mask, "adjudicate"))
    decisions: tuple[Setting, ...] = ()
    # where a lesion lies goes with the lesion
    whose = chosen.get("decisions", chosen.get("lesions", ""))
    if whose:
        decided = states[whose].settings
        keys = [k for k in {**decided, **reading.settings} if not k.startswith("mask.")]
        if "decisions" not in chosen:
            keys = [k for k in keys if k.endswith((".site", ".node"))]
        settings_made = (Setting(k, reading.settings.get(k), decided.get(k)) for k in sorted(keys))
        decisions = tuple(s for s in settings_made if s.before != s.after)
    words = ", ".join(f"{what} by {reader}" for what, reader in picks.items())
    reading.apply(Step("adjudicate", tuple(c for c in changes if c.voxels), decisions, words))
    return reading


def _signed(visit: Path, reader: str) -> State:
    folder = reader_folder(visit, reader)
    document = read_document(folder / SIGN_OFF)
    if not document:
        raise LivervolError(
            refusal(
                "reading is not signed off",
                expected="both readers' sign-off",
                got=f"none by {reader}",
                where=str(folder),
                do="Readers stay blinded until both have signed off.",
            )
        )
    verify(folder / JOURNAL, head=str(document.get("journal", {}).get("head", "")))
    return rebuild(read_records(folder / JOURNAL), int(document["journal"]["records"]))


def _voxel_ml(state: State, document: Mapping[str, Any]) -> float:
    voxels = int(np.count_nonzero(state.masks["liver"]))
    return float(document["liver"]["volume_ml"]) / voxels if voxels else 0.0


def _mask_difference(name: str, states: Sequence[State], voxel_ml: float) -> MaskDifference:
    one, two = (s.masks[name] != 0 for s in states)
    a, b, both = (int(np.count_nonzero(m)) for m in (one, two, one & two))
    dice = 2 * both / (a + b) if a + b else 1.0
    return MaskDifference(name, a * voxel_ml, b * voxel_ml, dice, (a - both) * voxel_ml, (b - both) * voxel_ml)


def _lesion_pairs(states: Sequence[State], documents: Sequence[Mapping[str, Any]]) -> tuple[LesionPair, ...]:
    joint = overlap_counts(states[0].masks["lesions"], states[1].masks["lesions"])
    sizes = (joint.sum(axis=1), joint.sum(axis=0))
    numbers = [[int(n) for n in np.flatnonzero(size) if n] for size in sizes]
    dice = np.array([[2 * joint[i, j] / (sizes[0][i] + sizes[1][j]) for j in numbers[1]] for i in numbers[0]])
    dice = dice.reshape(len(numbers[0]), len(numbers[1]))
    entries = [{int(e["number"]): e for e in d.get("lesions", ())} for d in documents]
    pairs = []
    matched: tuple[set[int], set[int]] = (set(), set())
    for row, column in zip(*linear_sum_assignment(-dice), strict=True):
        if dice[row, column] >= SAME_LESION_DICE:
            i, j = numbers[0][row], numbers[1][column]
            matched[0].add(i)
            matched[1].add(j)
            pairs.append(_pair(i, j, float(dice[row, column]), entries))
    pairs += [_pair(i, None, 0.0, entries) for i in numbers[0] if i not in matched[0]]
    pairs += [_pair(None, j, 0.0, entries) for j in numbers[1] if j not in matched[1]]
    return tuple(pairs)


def _pair(
    first: int | None, second: int | None, dice: float, entries: Sequence[Mapping[int, Mapping[str, Any]]]
) -> LesionPair:
    one = entries[0].get(first, {}) if first is not None else {}
    two = entries[1].get(second, {}) if second is not None else {}
    values = {n: (one.get(n), two.get(n)) for n in _NUMBERS if n in one or n in two}
    roles = (str(one.get("role", "")), str(two.get("role", "")))
    return LesionPair(first, second, dice, roles, (str(one.get("state", "")), str(two.get("state", ""))), values)


def _flat(tree: Mapping[str, Any], stem: str = "") -> dict[str, float | None]:
    values: dict[str, float | None] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            values.update(_flat(value, f"{stem}{key}."))
        elif value is None or isinstance(value, int | float):
            values[f"{stem}{key}"] = value
    return values
