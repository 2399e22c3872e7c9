"""Which MR contrast a header describes: T1, T2, DWI or other."""

from __future__ import annotations

import re

from pydicom.dataset import Dataset

from livervol.io.dicom_kind import first_group

__all__ = ["mr_sequence"]

#: Echo times in ms. Spin echoes of the abdomen are T2-weighted from about 60 ms on (fast spin echo 70-100, single
#: shot 80-180) and T1-weighted below 30 ms when the repetition is short; gradient echoes longer than 10 ms weigh T2*.
#: Bernstein, King, Zhou: Handbook of MRI Pulse Sequences (2004), chapters 14 and 16.
T2_ECHO_MS = 60.0
T1_SPIN_ECHO_MS = 30.0
T1_SPIN_REPETITION_MS = 1500.0
T1_GRADIENT_ECHO_MS = 10.0
T1_GRADIENT_REPETITION_MS = 500.0

_DIFFUSION = re.compile(r"\bdwi|diff|trace|\bep_b\d|\bb\s?[=_]?\s?\d{2,4}\b")
_DERIVED = re.compile(r"\badc|\bsub(traction)?\b|\bfa[_ ]?map|fat.?fraction|r2.?star|\bt[12].?map|elasto")
_BALANCED = re.compile(r"trufi|true.?fisp|fiesta|b-?ffe|\bssfp|btfe|\*tfi")
_T1_WORDS = re.compile(r"\bt1|vibe|lava|thrive|dixon|flash|spgr|fspgr|in.?phase|opp.?phase|out.?of.?phase")
_T2_WORDS = re.compile(r"\bt2(?!\s?\*|.?star)|haste|ss-?fse|ss-?tse|spair|spir\b|blade|propeller")

#: EchoPulseSequence of enhanced MR as ScanningSequence of the classic object.
_ENHANCED_TECHNIQUES = {"SPIN": {"SE"}, "GRADIENT": {"GR"}}


def _words(header: Dataset, *names: str) -> str:
    return " ".join(str(header.get(name) or "") for name in names).lower().replace("_", " ").strip()


def _float(header: Dataset, name: str) -> float | None:
    value = header.get(name)
    return None if value is None or value == "" else float(value)


def _by_timing(techniques: set[str], echo: float, repetition: float | None) -> str:
    if "EP" in techniques:
        return "other"
    if "SE" in techniques:
        if echo >= T2_ECHO_MS:
            return "T2"
        short = repetition is not None and repetition < T1_SPIN_REPETITION_MS
        return "T1" if echo < T1_SPIN_ECHO_MS and short else "other"
    if "GR" in techniques:
        short = repetition is not None and repetition <= T1_GRADIENT_REPETITION_MS
        return "T1" if echo <= T1_GRADIENT_ECHO_MS and short else "other"
    return "T2" if echo >= T2_ECHO_MS else ""


def mr_sequence(header: Dataset) -> str:
    """T1, T2, DWI or other.

    Diffusion weighting is told by the b-value, the sequence's name or the description; calculated maps, subtractions
    and balanced steady-state sequences are ``other``. The rest goes by ``AcquisitionContrast``, then by the scanning
    sequence with its echo and repetition time (constants above), then by words of the description.
    """
    description = _words(header, "SeriesDescription", "ImageType")
    name = _words(header, "SequenceName", "PulseSequenceName")
    if _DERIVED.search(description):
        return "other"
    b_value = _float(header, "DiffusionBValue") or _float(first_group(header, "MRDiffusionSequence"), "DiffusionBValue")
    if (b_value or 0) > 0 or _DIFFUSION.search(description) or "ep b" in name:
        return "DWI"
    contrast = _words(header, "AcquisitionContrast") or _words(
        first_group(header, "MRImageFrameTypeSequence"), "AcquisitionContrast"
    )
    if contrast in ("t1", "t2", "diffusion"):
        return "DWI" if contrast == "diffusion" else contrast.upper()
    if _BALANCED.search(description) or _BALANCED.search(name):
        return "other"
    echo = _float(header, "EchoTime") or _float(first_group(header, "MREchoSequence"), "EffectiveEchoTime")
    repetition = _float(header, "RepetitionTime") or _float(
        first_group(header, "MRTimingAndRelatedParametersSequence"), "RepetitionTime"
    )
    techniques = set(re.findall("[A-Z]+", str(header.get("ScanningSequence") or "")))
    techniques |= _ENHANCED_TECHNIQUES.get(str(header.get("EchoPulseSequence") or ""), set())
    judged = _by_timing(techniques, echo, repetition) if echo is not None else ""
    if judged:
        return judged
    if _T1_WORDS.search(description):
        return "T1"
    return "T2" if _T2_WORDS.search(description) else "other"
