"""One data set without what names the patient: every element judged by the table, else by its kind."""

from __future__ import annotations

import datetime
import hashlib
import hmac
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from livervol.io.deidentify_table import (
    BINARY_KEPT,
    CHARACTERISTICS,
    CLEANED,
    EMPTIED,
    EMPTY_TEXTS,
    PLACEHOLDERS,
    REMOVED,
    REPLACED,
    TEXT_KEPT,
    UIDS_KEPT,
    cleaned,
)

__all__ = ["Cleaner", "DateRule"]

DateRule = Literal["shift", "keep", "remove"]

_TEXT = {"AE", "AS", "LO", "LT", "SH", "ST", "UC", "UR", "UT"}
_BINARY = {"OB", "OD", "OF", "OL", "OV", "OW", "UN", "OB or OW", "US or OW", "US or SS", "US or SS or OW"}
_DATES = {"DA", "DT", "TM"}

#: Dates and times that modules require (type 1): a fixed one stands where dates are removed.
_REQUIRED_DATES = {"ContentDate": "19000101", "ContentTime": "000000", "DateTime": "19000101", "Date": "19000101",
                   "Time": "000000", "ObservationDateTime": "19000101"}  # fmt: skip
#: Dates that may be empty (type 2); all others go.
_EMPTY_DATES = {"StudyDate", "StudyTime", "StructureSetDate", "StructureSetTime", "AcquisitionDate", "AcquisitionTime"}

_STANDARD_ROOT = "1.2.840.10008."

#: Days a subject's dates move back: more than a year, so that the season goes too, less than ten.
_SHIFT_DAYS = (366, 3652)

#: Older patients are rare enough to be known by their age.
_OLDEST_YEARS = 90

#: Shorter words are looked for nowhere else: they are parts of too many others.
_SHORT = 4

#: Names that modules require (type 1).
_REQUIRED_NAMES = ("PersonName", "VerifyingObserverName")

#: Terms without which a file is no longer what it is; all are checked by every reader.
_STRUCTURE = {"ImageType", "FrameType", "Modality", "PhotometricInterpretation", "ValueType", "RelationshipType",
              "SegmentationType", "ContourGeometricType", "SpecificCharacterSet"}  # fmt: skip


@dataclass
class Cleaner:
    """Cleans the data sets of one subject; counts what it did by attribute name, never the values.

    ``key`` makes UIDs and the date offset: the same key and input give the same output, and without the key neither
    can be undone. ``secrets`` are texts of the original (names, numbers); an element that still holds one is removed.
    """

    key: bytes = field(repr=False)
    pseudonym: str
    subject: str = field(repr=False)
    dates: DateRule = "shift"
    keep_characteristics: bool = False
    secrets: frozenset[str] = field(default=frozenset(), repr=False)
    removed: Counter[str] = field(default_factory=Counter)
    emptied: Counter[str] = field(default_factory=Counter)
    replaced: Counter[str] = field(default_factory=Counter)
    _numbers: Counter[str] = field(default_factory=Counter, repr=False)

    @property
    def shift_days(self) -> int:
        """Days this subject's dates move back."""
        low, high = _SHIFT_DAYS
        return low + int.from_bytes(self._keyed("date", self.subject)[:8], "big") % (high - low)

    def _keyed(self, purpose: str, text: str) -> bytes:
        return hmac.new(self.key, f"{purpose}\0{text}".encode(), hashlib.sha256).digest()

    def uid(self, uid: str) -> str:
        """The UID that stands for another: ``2.25.`` and 122 keyed bits (PS3.5 B.2), the same one every time."""
        number = int.from_bytes(self._keyed("uid", uid)[:16], "big")
        # version and variant bits of a UUID made from a hash (RFC 9562, version 8)
        number = number & ~(0xF << 76) | (8 << 76)
        number = number & ~(3 << 62) | (2 << 62)
        return f"2.25.{number}"

    def clean(self, dataset: Dataset) -> None:
        """Change a data set in place, sequences at any depth included."""
        for tag in list(dataset.keys()):
            self._element(dataset, tag)

    def _element(self, dataset: Dataset, tag: BaseTag) -> None:
        if tag.is_private:
            self._remove(dataset, tag, "private attributes")
            return
        if 0x5000 <= tag.group <= 0x50FF or 0x6000 <= tag.group <= 0x60FF:
            self._remove(dataset, tag, "curves" if tag.group < 0x6000 else "overlays")
            return
        element = dataset[tag]
        name = element.keyword
        if not name:
            self._remove(dataset, tag, "unknown attributes")
        elif self.keep_characteristics and name in CHARACTERISTICS:
            if name == "PatientAge":
                self._cap_age(element)
        elif name in REMOVED:
            self._remove(dataset, tag, name)
        elif name in REPLACED:
            self._replace(element, name, REPLACED[name])
        elif name in EMPTIED:
            self._empty(element, name)
        elif name in ("PatientID", "PatientName"):
            self._replace(element, name, self.pseudonym)
        elif element.VR == "SQ":
            for item in element.value:
                self.clean(item)
        else:
            self._by_kind(dataset, element, name)

    def _by_kind(self, dataset: Dataset, element: DataElement, name: str) -> None:
        kind = str(element.VR)
        if kind in _DATES:
            self._date(dataset, element, name)
        elif kind == "UI":
            if name not in UIDS_KEPT:
                self._map_uids(element, name)
        elif kind == "PN":
            if name in _REQUIRED_NAMES:
                self._replace(element, name, "removed")
            else:
                self._empty(element, name)
        elif name in CLEANED or name in PLACEHOLDERS:
            self._clean_text(dataset, element, name)
        elif (kind in _TEXT and name not in TEXT_KEPT) or (kind in _BINARY and name not in BINARY_KEPT):
            self._remove(dataset, element.tag, name)
        elif (kind in _TEXT or kind == "CS") and name not in _STRUCTURE and self._tells(element):
            if name == "CodeMeaning":
                self._replace(element, name, "removed")
            else:
                self._remove(dataset, element.tag, name)

    # ------------------------------------------------------------------------------------------------------ actions

    def _remove(self, dataset: Dataset, tag: BaseTag, name: str) -> None:
        del dataset[tag]
        self.removed[name] += 1

    def _empty(self, element: DataElement, name: str) -> None:
        if element.is_empty:
            return
        element.value = None
        self.emptied[name] += 1

    def _replace(self, element: DataElement, name: str, value: Any) -> None:
        if element.value != value:
            element.value = value
            self.replaced[name] += 1

    def _map_uids(self, element: DataElement, name: str) -> None:
        def mapped(uid: str) -> str:
            return uid if not uid or uid.startswith(_STANDARD_ROOT) else self.uid(uid)

        if not element.is_empty:
            value = [mapped(str(one)) for one in element.value] if element.VM > 1 else mapped(str(element.value))
            self._replace(element, name, value)

    def _tells(self, element: DataElement) -> bool:
        """Whether a text still holds a word of the patient's own."""
        words = str(element.value).casefold()
        return any(secret in words for secret in self.secrets)

    def _clean_text(self, dataset: Dataset, element: DataElement, name: str) -> None:
        before = "\\".join(str(one) for one in element.value) if element.VM > 1 else str(element.value or "")
        kept = cleaned(before)
        if any(secret in kept.casefold() for secret in self.secrets):
            kept = ""
        if element.VR == "CS":
            kept = kept.upper()[:16]
        if not kept and name in PLACEHOLDERS:
            self._numbers[name] += 1
            kept = PLACEHOLDERS[name].format(self._numbers[name])
        if kept:
            self._replace(element, name, kept)
        elif before and name in EMPTY_TEXTS:
            self._empty(element, name)
        elif before:
            self._remove(dataset, element.tag, name)

    def _cap_age(self, element: DataElement) -> None:
        text = str(element.value or "")
        if text.endswith("Y") and text[:-1].isdecimal() and int(text[:-1]) > _OLDEST_YEARS:
            self._replace(element, "PatientAge", f"{_OLDEST_YEARS:03d}Y")

    def _date(self, dataset: Dataset, element: DataElement, name: str) -> None:
        if self.dates == "keep" or element.is_empty:
            return
        if self.dates == "shift":
            if element.VR != "TM":
                values = [str(one) for one in element.value] if element.VM > 1 else [str(element.value)]
                moved = [self._shifted(text) for text in values]
                self._replace(element, name, moved if len(moved) > 1 else moved[0])
        elif name in _REQUIRED_DATES:
            self._replace(element, name, _REQUIRED_DATES[name])
        elif name in _EMPTY_DATES:
            self._empty(element, name)
        else:
            self._remove(dataset, element.tag, name)

    def _shifted(self, text: str) -> str:
        """A DICOM date or date and time moved back by whole days; nothing for one that cannot be read."""
        day, rest = text.strip()[:8], text.strip()[8:]
        try:
            moved = datetime.date(int(day[:4]), int(day[4:6]), int(day[6:8])) - datetime.timedelta(self.shift_days)
        except (ValueError, OverflowError):
            return ""
        return moved.strftime("%Y%m%d") + rest


def secrets_of(dataset: Dataset) -> frozenset[str]:
    """Words of a data set that name its patient, in lower case: parts of names and numbers from 4 letters."""
    found: set[str] = set()
    for name in ("PatientName", "OtherPatientNames", "PatientBirthName", "PatientMotherBirthName", "PatientID",
                 "OtherPatientIDs", "AccessionNumber", "PatientBirthDate", "PatientTelephoneNumbers", "StudyID",
                 "ReferringPhysicianName", "OperatorsName", "PerformingPhysicianName", "InstitutionName"):  # fmt: skip
        text = str(dataset.get(name, "") or "")
        for mark in "^=\\,[]'()":
            text = text.replace(mark, " ")
        found |= {word.casefold() for word in text.split() if len(word) >= _SHORT}
    return frozenset(found)


def as_items(*codes: tuple[str, str]) -> Sequence:
    """DICOM code items of the DCM scheme."""
    items = []
    for value, meaning in codes:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
        items.append(item)
    return Sequence(items)
