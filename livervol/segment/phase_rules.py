"""From a few medians of organs to a contrast phase: the rules alone, without voxels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from livervol.scan import Phase

__all__ = [
    "OrganRatios",
    "OrganSamples",
    "arterial_timing",
    "is_between",
    "phase_from_delay",
    "phase_from_description",
    "phase_from_ratios",
    "phase_from_samples",
]

#: No organ above this: no contrast medium in the body (HU).
NATIVE_MAX_HU = 80.0
#: Assumed native liver and spleen when the study has no native series (HU).
NATIVE_LIVER_HU, NATIVE_SPLEEN_HU = 55.0, 45.0
EARLY_GAP_HU, EARLY_PORTAL_MAX_HU, EARLY_LIVER_RISE_HU = 100.0, 100.0, 15.0
EARLY_SPLEEN_RISE_HU, EARLY_CORTEX_MAX_HU = 30.0, 100.0
LATE_GAP_HU, LATE_PORTAL_MIN_HU, LATE_VEIN_MARGIN_HU = 40.0, 90.0, 15.0
CORTICOMEDULLARY_HU = 60.0
DELAYED_GAP_HU, DELAYED_AORTA_MAX_HU, URINE_MIN_HU = 25.0, 135.0, 150.0
PORTAL_GAP_HU, PORTAL_LIVER_RISE_HU, PORTAL_SPLEEN_RISE_HU = 40.0, 35.0, 30.0
#: Liver rise asked of a portal-venous scan when the native value is only assumed: normal livers scatter by 10 HU.
PORTAL_ASSUMED_RISE_HU = 25.0
#: Brightest aorta of portal-venous scans.
PORTAL_AORTA_MAX_HU = 200.0
#: Enhanced over native signal on T1: aorta and portal vein of a late arterial series, hepatic vein of an unfilled one.
RATIO_AORTA_MIN, RATIO_PORTAL_MIN, RATIO_VEIN_MAX = 2.0, 1.5, 1.2
#: Upper ends (s after the start of injection) of native, early arterial, late arterial, portal venous and delayed.
DELAY_BINS_S = (
    (10.0, Phase.NATIVE),
    (30.0, Phase.EARLY_ARTERIAL),
    (50.0, Phase.LATE_ARTERIAL),
    (100.0, Phase.PORTAL_VENOUS),
    (600.0, Phase.DELAYED),
)
_WORDS = (
    (
        Phase.NATIVE,
        ("native", "non con", "noncon", "without", "unenh", "precontrast", "pre contrast", "plain", "nativ"),
    ),
    (Phase.DELAYED, ("delay", "equilib", "late venous")),
    (Phase.LATE_ARTERIAL, ("late art",)),
    (Phase.EARLY_ARTERIAL, ("early art",)),
    (Phase.PORTAL_VENOUS, ("portal", "venous", "porto")),
    (Phase.HEPATOBILIARY, ("hepatobil", "hbp")),
    (Phase.TRANSITIONAL, ("transition",)),
)


@dataclass(frozen=True)
class OrganSamples:
    """Medians in HU of one CT scan; NaN where the organ was not found.

    ``aorta``, ``portal`` vein, ``hepatic_vein`` near the confluence, ``liver``, ``spleen``, renal ``cortex`` and
    ``medulla``, ``urine`` in the renal pelvis.
    """

    aorta: float = math.nan
    portal: float = math.nan
    hepatic_vein: float = math.nan
    liver: float = math.nan
    spleen: float = math.nan
    cortex: float = math.nan
    medulla: float = math.nan
    urine: float = math.nan

    def describe(self) -> str:
        """``aorta 212, portal vein 140 HU, ...`` with what was found."""
        names = ("aorta", "portal vein", "hepatic vein", "liver", "spleen", "renal cortex", "renal medulla", "urine")
        values = (self.aorta, self.portal, self.hepatic_vein, self.liver, self.spleen, self.cortex, self.medulla)
        found = [f"{n} {v:.0f}" for n, v in zip(names, (*values, self.urine), strict=True) if not math.isnan(v)]
        return ", ".join(found) + " HU" if found else "no organ found"


@dataclass(frozen=True)
class OrganRatios:
    """Signal of an enhanced T1 series over the same study's native series; NaN where not found."""

    aorta: float = math.nan
    portal: float = math.nan
    hepatic_vein: float = math.nan


def _is_native(s: OrganSamples) -> bool:
    # the portal estimate is a high percentile, so noise alone lifts it; it only counts where it leaves the liver behind
    seen = [v for v in (s.aorta, s.cortex) if not math.isnan(v)]
    portal_unfilled = math.isnan(s.portal) or s.portal < NATIVE_MAX_HU or s.portal - s.liver < LATE_VEIN_MARGIN_HU
    return bool(seen) and max(seen) < NATIVE_MAX_HU and portal_unfilled


def arterial_timing(s: OrganSamples, native_liver_hu: float | None = None) -> tuple[Phase, str]:
    """Early or late arterial, or unknown, for a scan that is arterial; with the reason.

    Early: the portal vein is not filled (below 100 HU and the aorta at least 100 HU above it), or the organs have
    hardly enhanced (spleen less than 30 HU above native and, where seen, cortex below 100 HU or liver less than 15 HU
    above native). Late: the portal vein is at least 90 HU, or the spleen has risen by 30 HU or more.
    """
    native = NATIVE_LIVER_HU if native_liver_hu is None else native_liver_hu
    gap, liver_rise = s.aorta - s.portal, s.liver - native
    spleen_rise = s.spleen - NATIVE_SPLEEN_HU
    if gap >= EARLY_GAP_HU and s.portal < EARLY_PORTAL_MAX_HU and not liver_rise >= EARLY_LIVER_RISE_HU:
        return Phase.EARLY_ARTERIAL, "portal vein not yet filled"
    if spleen_rise < EARLY_SPLEEN_RISE_HU and (s.cortex < EARLY_CORTEX_MAX_HU or liver_rise < EARLY_LIVER_RISE_HU):
        return Phase.EARLY_ARTERIAL, "spleen and liver or kidney hardly above native"
    if s.portal >= LATE_PORTAL_MIN_HU:
        return Phase.LATE_ARTERIAL, "portal vein filled"
    if spleen_rise >= EARLY_SPLEEN_RISE_HU:
        return Phase.LATE_ARTERIAL, "spleen well above native"
    return Phase.UNKNOWN, "neither portal vein, spleen nor kidney could be judged"


def is_between(s: OrganSamples, native_liver_hu: float | None = None) -> bool:
    """Whether one CT scan lies between late arterial and portal venous, where only its study or header can tell.

    The aorta still stands 40 HU above a filled portal vein, as in the late arterial phase, but is no brighter than
    portal-venous scans have it (up to 200 HU), or the liver, which gets three quarters of its blood from that vein, has
    already risen as in the portal-venous phase.
    """
    if not (s.aorta - s.portal >= LATE_GAP_HU and s.portal >= LATE_PORTAL_MIN_HU):
        return False
    if s.aorta <= PORTAL_AORTA_MAX_HU:
        return True
    if native_liver_hu is not None:
        return s.liver - native_liver_hu >= PORTAL_LIVER_RISE_HU
    return s.liver - NATIVE_LIVER_HU >= PORTAL_ASSUMED_RISE_HU


def phase_from_samples(s: OrganSamples, native_liver_hu: float | None = None) -> tuple[Phase, str]:
    """Contrast phase of one CT scan from its organ medians (HU), with the reason; unknown when no rule fits.

    ``native_liver_hu`` is the liver of the study's own native series; without it 55 HU are assumed. The order of the
    rules matters: native, early arterial, late arterial, delayed, portal venous. A filled renal pelvis decides for
    delayed; a dark one, where kidneys were seen, against it. Thresholds are engineering choices: no consensus exists.
    """
    if math.isnan(s.aorta) and math.isnan(s.cortex):
        return Phase.UNKNOWN, "neither aorta nor kidney was found"
    if _is_native(s):
        return Phase.NATIVE, f"no organ above {NATIVE_MAX_HU:.0f} HU"
    native = NATIVE_LIVER_HU if native_liver_hu is None else native_liver_hu
    gap, rise = s.aorta - s.portal, s.liver - native
    early = s.spleen - NATIVE_SPLEEN_HU < EARLY_SPLEEN_RISE_HU and rise < EARLY_LIVER_RISE_HU
    if gap >= EARLY_GAP_HU and (early or (s.portal < EARLY_PORTAL_MAX_HU and rise < EARLY_LIVER_RISE_HU)):
        return Phase.EARLY_ARTERIAL, "aorta bright, portal vein and organs not yet filled"
    if is_between(s, native_liver_hu):
        return Phase.UNKNOWN, "aorta above portal vein as in late arterial, but it or the liver as in portal venous"
    if gap >= LATE_GAP_HU and s.portal >= LATE_PORTAL_MIN_HU:
        if s.hepatic_vein < s.liver + LATE_VEIN_MARGIN_HU:
            return Phase.LATE_ARTERIAL, "aorta above portal vein, portal vein filled, hepatic veins not"
        if s.cortex - s.medulla > CORTICOMEDULLARY_HU:
            return Phase.LATE_ARTERIAL, "aorta above portal vein, renal cortex far above medulla"
    if abs(gap) <= DELAYED_GAP_HU and _is_delayed(s):
        return Phase.DELAYED, "aorta and portal vein alike and low, or urine filled"
    if s.portal >= s.aorta - PORTAL_GAP_HU and _parenchyma_filled(s, native_liver_hu):
        return Phase.PORTAL_VENOUS, "portal vein as bright as the aorta, liver filled"
    return Phase.UNKNOWN, "the organs fit no phase"


def _is_delayed(s: OrganSamples) -> bool:
    if not math.isnan(s.urine):
        return s.urine >= URINE_MIN_HU
    return s.aorta < DELAYED_AORTA_MAX_HU


def _parenchyma_filled(s: OrganSamples, native_liver_hu: float | None) -> bool:
    # a fatty liver stays dark: the spleen vouches for it
    if s.hepatic_vein < s.liver:
        return False
    if native_liver_hu is not None:
        return s.liver - native_liver_hu >= PORTAL_LIVER_RISE_HU
    spleen_filled = s.spleen - NATIVE_SPLEEN_HU >= PORTAL_SPLEEN_RISE_HU
    return s.liver - NATIVE_LIVER_HU >= PORTAL_ASSUMED_RISE_HU or spleen_filled


def phase_from_ratios(r: OrganRatios) -> tuple[Phase, str]:
    """Contrast phase of one enhanced T1 series from ratios to the study's native series, with the reason.

    MR signal has no absolute unit, so only ratios count: late arterial has the aorta at least 2 times and the portal
    vein at least 1.5 times its native signal while the hepatic vein stays below 1.2 times.
    """
    if math.isnan(r.aorta):
        return Phase.UNKNOWN, "the aorta was not found"
    if r.aorta < RATIO_VEIN_MAX:
        return Phase.NATIVE, f"aorta {r.aorta:.2f} times its native signal"
    if math.isnan(r.portal) or math.isnan(r.hepatic_vein):
        return Phase.UNKNOWN, "the liver's veins could not be sampled"
    if r.aorta >= RATIO_AORTA_MIN and r.hepatic_vein < RATIO_VEIN_MAX:
        late = r.portal >= RATIO_PORTAL_MIN
        return (Phase.LATE_ARTERIAL if late else Phase.EARLY_ARTERIAL), "hepatic veins not filled, aorta bright"
    if r.portal >= RATIO_PORTAL_MIN and r.hepatic_vein >= RATIO_VEIN_MAX and r.aorta <= 1.25 * r.portal:
        return Phase.PORTAL_VENOUS, "portal and hepatic veins filled"
    return Phase.UNKNOWN, "the ratios fit no phase"


def _seconds(clock: str) -> float | None:
    digits = clock.strip()
    whole = digits.split(".")[0]
    if len(whole) != 6 or not whole.isdigit():
        return None
    fraction = float("0." + digits.split(".")[1]) if "." in digits and digits.split(".")[1].isdigit() else 0.0
    return 3600.0 * int(whole[:2]) + 60.0 * int(whole[2:4]) + int(whole[4:]) + fraction


def phase_from_delay(hints: Mapping[str, str]) -> tuple[Phase, str]:
    """Phase from acquisition time minus start of contrast injection (DICOM times), unknown when either is absent."""
    start, taken = _seconds(hints.get("contrast_start_time", "")), _seconds(hints.get("acquisition_time", ""))
    if start is None or taken is None:
        return Phase.UNKNOWN, "no contrast start time in the header"
    delay = taken - start
    for limit, phase in DELAY_BINS_S:
        if 0 <= delay < limit:
            return phase, f"{delay:.0f} s after the start of injection by the header"
    return Phase.UNKNOWN, f"header times are {delay:.0f} s apart"


def phase_from_description(hints: Mapping[str, str]) -> tuple[Phase, str]:
    """Phase named in the series description; the abbreviation AP says nothing (it often means abdomen and pelvis)."""
    text = " ".join(hints.get("series_description", "").lower().replace("_", " ").replace("-", " ").split())
    named = [phase for phase, words in _WORDS if any(word in text for word in words)]
    if len(named) == 2 and Phase.DELAYED in named and Phase.PORTAL_VENOUS in named:
        named = [Phase.DELAYED] if "delay" in text else named
    if len(named) == 1:
        return named[0], "named in the series description"
    return Phase.UNKNOWN, "the series description names no single phase"
