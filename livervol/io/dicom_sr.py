"""DICOM Structured Report: a visit's numbers as a Comprehensive 3D SR after TID 1500, and such reports read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from livervol import __version__
from livervol.errors import ScanError, refusal
from livervol.files import atomic_file
from livervol.io.dicom_seg import library_quiet
from livervol.io.dicom_seg_codes import PRIVATE_SCHEME, Code
from livervol.io.dicom_seg_read import read_dicom_seg_header, read_dicom_seg_parts
from livervol.io.dicom_source import SourceSeries
from livervol.io.dicom_sr_content import SrGroup, SrNumber, SrReport, visit_groups
from livervol.io.dicom_sr_read import read_dicom_sr
from livervol.io.dicom_tracking import tracking_uid

__all__ = ["SrContext", "SrGroup", "SrNumber", "SrReport", "read_dicom_sr", "write_dicom_sr"]

_UNITS = {"cm3": "cubic centimeter", "mm": "millimeter", "%": "percent", "1": "no units"}
_PROCEDURES = {"CT": ("25045-6", "CT Unspecified body region"), "MR": ("25056-3", "MR Unspecified body region")}


@dataclass(frozen=True)
class SrContext:
    """What the numbers alone do not say.

    ``subject`` is the pseudonym that tracking UIDs are made from; ``visit`` the visit's number in the course, 0 when
    unknown (1 is the baseline); ``responses`` the visit's rows of course.json; ``seg`` the DICOM SEG whose segments the
    volumes belong to.
    """

    subject: str
    visit: int = 0
    responses: Sequence[Mapping[str, Any]] = ()
    seg: Path | None = None


def write_dicom_sr(
    path: str | Path,
    document: Mapping[str, Any],
    source: SourceSeries,
    context: SrContext,
    *,
    overwrite: bool = False,
) -> Path:
    """Write measurements.json's numbers as one Comprehensive 3D SR (TID 1500), atomically.

    Volumes (cm3), diameters (mm) with their end points as 3-D polylines in the source's frame of reference, viable
    parts as enhancing lesions, remnants (%) and responses; what no standard names has a code of scheme 99LIVERVOL.
    Tracking identifiers and UIDs depend on ``context.subject`` and the finding's name alone, so they are the same at
    every visit; a lesion's is also its segment's in the SEG.

    The report carries the patient and study of the source series, as DICOM demands (see ``write_dicom_seg``).
    Raises ``ScanError`` for a document without numbers or a SEG of another study.
    Source: DICOM PS3.3 A.35.13; PS3.16 TID 1500, 1411, 1419, 1501.
    """
    segments, seg_header = _segments(context.seg, source)
    groups = visit_groups(document, context.subject, responses=context.responses, segments=segments)
    if not groups:
        raise ScanError(refusal("nothing to report", expected="measured numbers", got="none", where=str(path)))
    import highdicom as hd

    with library_quiet():
        template = _Template(hd, source, seg_header, context)
        content = hd.sr.MeasurementReport(
            observation_context=template.observer(),
            procedure_reported=template.procedure(),
            imaging_measurements=[template.group(group) for group in groups],
            title=hd.sr.CodedConcept("126000", "DCM", "Imaging Measurement Report"),
        )
        dataset = hd.sr.Comprehensive3DSR(
            evidence=[*source.headers, *([seg_header] if seg_header is not None else [])],
            content=content[0],
            series_instance_uid=hd.UID(),
            series_number=701,
            sop_instance_uid=hd.UID(),
            instance_number=1,
            manufacturer="livervol",
            is_complete=True,
            is_final=False,
            is_verified=False,
        )
        dataset.SeriesDescription = "livervol measurements"
        dataset.SoftwareVersions = __version__
        with atomic_file(path, overwrite=overwrite) as temporary:
            dataset.save_as(temporary, enforce_file_format=True)
    return Path(path)


def _segments(seg: Path | None, source: SourceSeries) -> tuple[dict[tuple[str, int], tuple[str, int]], Dataset | None]:
    """(mask kind, label) to (SEG instance UID, segment number), and the SEG's header."""
    if seg is None:
        return {}, None
    header = read_dicom_seg_header(seg)
    if str(header.get("StudyInstanceUID")) != str(source.headers[0].StudyInstanceUID):
        raise ScanError(
            refusal(
                "segmentation is of another study",
                expected="a SEG of the source's study",
                got="another study UID",
                where=f"file {Path(seg).name}",
                do="Give the SEG written for this visit.",
            )
        )
    uid = str(header.SOPInstanceUID)
    return {(part.kind, part.value): (uid, part.number) for part in read_dicom_seg_parts(seg) if part.kind}, header


@dataclass(frozen=True)
class _Template:
    """Our groups as the library's template rows."""

    hd: Any
    source: SourceSeries
    seg: Dataset | None
    context: SrContext

    def code(self, code: Code) -> Any:
        version = __version__ if code.scheme == PRIVATE_SCHEME else None
        return self.hd.sr.CodedConcept(code.value, code.scheme, code.meaning, version)

    def observer(self) -> Any:
        sr = self.hd.sr
        device = sr.DeviceObserverIdentifyingAttributes(
            uid=tracking_uid("livervol", __version__),
            name="livervol",
            manufacturer_name="livervol",
            model_name=f"livervol {__version__}",
        )
        observer_type = sr.CodedConcept("121007", "DCM", "Device")
        return sr.ObservationContext(observer_device_context=sr.ObserverContext(observer_type, device))

    def procedure(self) -> Any:
        value, meaning = _PROCEDURES.get(str(self.source.headers[0].get("Modality")), _PROCEDURES["CT"])
        return self.hd.sr.CodedConcept(value, "LN", meaning)

    def time_point(self) -> Any:
        visit = self.context.visit
        if not visit:
            return None
        baseline = self.hd.sr.CodedConcept("121079", "DCM", "Baseline") if visit == 1 else None
        return self.hd.sr.TimePointContext(f"visit {visit}", baseline, visit)

    def group(self, group: SrGroup) -> Any:
        sr = self.hd.sr
        common = {
            "tracking_identifier": sr.TrackingIdentifier(uid=group.tracking_uid, identifier=group.tracking_id),
            "time_point_context": self.time_point(),
            "finding_type": self.code(group.finding) if group.finding else None,
            "finding_sites": [sr.FindingSite(self.code(group.site))] if group.site else None,
            "method": self.code(group.method) if group.method else None,
            "measurements": [self.number(number) for number in group.numbers] or None,
            "qualitative_evaluations": [
                sr.QualitativeEvaluation(self.code(name), self.code(value)) for name, value in group.words
            ]
            or None,
        }
        if group.segment is None:
            return sr.MeasurementsAndQualitativeEvaluations(**common)
        region = sr.ReferencedSegment(
            sop_class_uid=str(self.seg.SOPClassUID) if self.seg is not None else "",
            sop_instance_uid=group.segment[0],
            segment_number=group.segment[1],
            source_series=sr.SourceSeriesForSegmentation(self.source.series_uid),
        )
        return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(referenced_segment=region, **common)

    def number(self, number: SrNumber) -> Any:
        sr = self.hd.sr
        line = None
        if number.line_lps_mm is not None:
            import numpy as np

            line = [
                sr.CoordinatesForMeasurement3D(
                    "POLYLINE", np.asarray(number.line_lps_mm), str(self.source.headers[0].FrameOfReferenceUID)
                )
            ]
        return sr.Measurement(
            name=self.code(number.name),
            value=number.value,
            unit=sr.CodedConcept(number.unit, "UCUM", _UNITS[number.unit]),
            method=self.code(number.method) if number.method else None,
            referenced_coordinates=line,
        )
