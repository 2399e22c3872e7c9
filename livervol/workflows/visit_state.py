"""One visit while it is worked on: given masks, settings, the state between the steps, and what a run returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from livervol.grid import Grid
from livervol.io.images import read_labels
from livervol.measure.pairing import Track
from livervol.measure.remnant import SegmentSpread
from livervol.measure.standard_volume import PatientSize
from livervol.measure.visit import VisitMeasurements
from livervol.report.pages import ReportSettings
from livervol.scan import Phase, Scan, Segmentation, Source
from livervol.segment.vessels import VesselsResult
from livervol.segment.viability import Judgement

__all__ = ["MASK_NAMES", "GivenMasks", "Progress", "VisitOutput", "VisitSettings", "Work", "silent"]

Progress = Callable[[str], None]

#: Masks a caller may give instead of having them segmented, in nesting order.
MASK_NAMES = ("liver", "lesions", "viable", "segments", "vessels")


@dataclass(frozen=True)
class GivenMasks:
    """Paths of masks that replace a segmentation step; None means: segment it (or leave it out)."""

    liver: Path | None = None
    lesions: Path | None = None
    viable: Path | None = None
    segments: Path | None = None
    vessels: Path | None = None

    def read(self, scans: Sequence[Scan] = ()) -> dict[str, Segmentation]:
        """The given masks by name; DICOM objects are put on the grid of the one of ``scans`` they lie on."""
        paths = {name: getattr(self, name) for name in MASK_NAMES}
        grids = [scan.grid for scan in scans]
        return {
            name: read_labels(path, made_by="given", structure=name, grids=grids)
            for name, path in paths.items()
            if path is not None
        }


@dataclass(frozen=True)
class VisitSettings:
    """What a user may decide about a visit; recorded in the provenance.

    ``sites`` (lesion number, word of ``records.SITES``) places lesions of a given mask outside the liver.
    """

    accept_early_arterial: bool = False
    overwrite: bool = False
    resections: tuple[str, ...] = ()
    patient: PatientSize | None = None
    model: str | None = None
    segments_method: str = "shape"
    report: ReportSettings = field(default_factory=ReportSettings)
    sites: tuple[tuple[int, str], ...] = ()

    @property
    def extrahepatic(self) -> tuple[int, ...]:
        """Numbers of the lesions that lie outside the liver."""
        return tuple(number for number, site in self.sites if site != "liver")


@dataclass(frozen=True, eq=False)
class VisitOutput:
    """What a run wrote: the folder, the document of measurements.json, the measured numbers and the masks."""

    folder: Path
    document: Mapping[str, Any]
    measured: VisitMeasurements
    masks: Mapping[str, Segmentation]
    date: str


@dataclass(eq=False)
class Work:
    """A visit's state between the steps."""

    masks: dict[str, Segmentation]
    phases: dict[Phase, Scan] = field(default_factory=dict)
    reference: Phase | None = None
    grid: Grid | None = None
    phase_rows: list[dict[str, Any]] = field(default_factory=list)
    quality: list[str] = field(default_factory=list)
    confidence: dict[str, Any] = field(default_factory=dict)
    evaluable: bool = False
    evaluable_reason: str = "no arterial phase was given"
    viability_method: str = ""
    sources: list[Source] = field(default_factory=list)
    not_subtracted: set[Phase] = field(default_factory=set)
    spread: SegmentSpread | None = None
    tracks: tuple[Track, ...] = ()
    judgement: Judgement | None = None
    lesion_words: dict[int, dict[str, str]] = field(default_factory=dict)
    vessels: VesselsResult | None = None
    disagreement_percent: dict[str, float] = field(default_factory=dict)

    @property
    def stored(self) -> Grid | None:
        """The grid on which masks are written: the reference scan's own file order."""
        return self.phases[self.reference].source.stored if self.reference is not None else self.grid

    def apart(self) -> Work:
        """The same visit for a step that runs beside others: what it adds stays with it until ``join``."""
        return replace(self, masks=dict(self.masks), phases=dict(self.phases), quality=[], confidence={})

    def join(self, apart: Work) -> None:
        """Take over what a step found apart, as if it had run now."""
        self.masks.update({name: mask for name, mask in apart.masks.items() if name not in self.masks})
        self.quality += [words for words in apart.quality if words not in self.quality]
        self.confidence.update(apart.confidence)
        self.vessels, self.spread = apart.vessels, apart.spread
        self.disagreement_percent = apart.disagreement_percent


def silent(_: str) -> None:
    """Progress that tells nobody."""
