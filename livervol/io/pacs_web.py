"""DICOMweb: QIDO-RS to ask, WADO-RS to fetch, STOW-RS to send."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pydicom import dcmread
from pydicom.dataset import Dataset

from livervol.errors import LivervolError, refusal
from livervol.io.dicom_header import DAMAGE
from livervol.io.pacs_archive import FoundSeries, FoundStudy, Inbox, Parcel, TransferError, VisitQuery, package
from livervol.io.pacs_settings import ArchiveSettings

__all__ = ["WebArchive"]

#: A part as it is stored, in whatever transfer syntax; without it some archives recompress, others answer 400.
_AS_STORED = (("application/dicom", "*"),)

#: One request carries at most so many instances and bytes: a retry repeats little, a proxy refuses nothing.
_BATCH_INSTANCES = 100
_BATCH_BYTES = 64 << 20

#: Fewer missing instances than this are fetched one by one instead of the whole series again.
_FEW = 20

_DONE, _DENIED = 200, (401, 403)
#: Statuses that may pass: time-out, too many requests, and whatever fails inside the archive or a proxy before it.
_PASSING = (408, 425, 429)

T = TypeVar("T")


class WebArchive:
    """An archive behind a DICOMweb address. The library's own silent retries are off: ours report and resume."""

    def __init__(self, settings: ArchiveSettings) -> None:
        self._settings = settings
        web, self._requests = package("dicomweb_client.web"), package("requests")
        session = self._requests.Session()
        # no credentials from ~/.netrc, no certificates or proxies from the environment
        session.trust_env = False
        session.verify = settings.ca_file or True
        if settings.user:
            session.auth = (settings.user, settings.password)
        if settings.client_certificate:
            session.cert = (settings.client_certificate, settings.client_key or settings.client_certificate)
        headers = {"Authorization": f"Bearer {settings.token}"} if settings.token else None
        self._session = session
        self._client = web.DICOMwebClient(
            settings.url.rstrip("/"), session=session, headers=headers, timeout=settings.timeout_s
        )
        self._client.set_http_retry_params(retry=False)

    def close(self) -> None:
        """End the session."""
        self._session.close()

    def studies(self, query: VisitQuery) -> list[FoundStudy]:
        """QIDO-RS on the study level, exact values only."""
        filters = {"PatientID": query.patient, "StudyDate": query.dicom_date, "StudyInstanceUID": query.study}
        rows = self._asked(
            lambda: self._client.search_for_studies(
                search_filters={name: value for name, value in filters.items() if value}, get_remaining=True
            )
        )
        return [FoundStudy(_text(row, "0020000D"), _text(row, "00080020"), _text(row, "00100020")) for row in rows]

    def series(self, study: str) -> list[FoundSeries]:
        """QIDO-RS on the series level, then the instances of each series."""
        found = []
        for row in self._asked(lambda: self._client.search_for_series(study, get_remaining=True)):
            uid, announced = _text(row, "0020000E"), _text(row, "00201209")
            instances = frozenset(_text(one, "00080018") for one in self._instances(study, uid))
            count = int(announced) if announced.isdecimal() else None
            found.append(FoundSeries(study, uid, _text(row, "00080060"), instances - {""}, count))
        return found

    def _instances(self, study: str, series: str) -> Sequence[Mapping[str, Any]]:
        rows: Sequence[Mapping[str, Any]] = self._asked(
            lambda: self._client.search_for_instances(study, series, get_remaining=True)
        )
        return rows

    def fetch(self, series: FoundSeries, missing: Sequence[str], inbox: Inbox) -> None:
        """WADO-RS: the whole series as it streams in, or a few instances one by one."""

        def whole() -> None:
            for dataset in self._client.iter_series(series.study, series.uid, media_types=_AS_STORED):
                _take(dataset, inbox)

        def few() -> None:
            for uid in missing:
                dataset = self._client.retrieve_instance(series.study, series.uid, uid, media_types=_AS_STORED)
                _take(dataset, inbox)

        self._asked(few if len(missing) < min(_FEW, len(series.instances)) else whole)

    def store(self, parcels: Sequence[Parcel]) -> Iterator[str]:
        """STOW-RS in batches; an instance the archive names as failed ends the transfer."""
        for batch in _batches(parcels):
            datasets = [dcmread(one.path) for one in batch]
            answer = self._stored(datasets)
            failed = answer.get("FailedSOPSequence") or []
            if failed:
                reasons = sorted({f"{int(item.get('FailureReason', 0)):#06x}" for item in failed})
                raise self._refused("archive did not store everything", "no failure", len(failed), ", ".join(reasons))
            sent = {one.uid for one in batch}
            for item in answer.get("ReferencedSOPSequence") or []:
                uid = str(item.get("ReferencedSOPInstanceUID", ""))
                if uid in sent:
                    yield uid

    def _stored(self, datasets: Sequence[Dataset]) -> Dataset:
        answer: Dataset = self._asked(lambda: self._client.store_instances(datasets))
        return answer

    def _refused(self, rule: str, expected: str, count: int, reasons: str) -> LivervolError:
        got = f"{count} refused with {reasons}"
        return LivervolError(refusal(rule, expected=expected, got=got, where=self._settings.label))

    def _asked(self, action: Callable[[], T]) -> T:
        """The answer to a request; what the network and the library raise becomes one of two errors."""
        failures = self._requests.exceptions
        try:
            return action()
        except LivervolError:
            raise
        except failures.HTTPError as error:
            raise self._by_status(error) from None
        except failures.SSLError:
            expected, do = "a certificate that ca_file or the system trusts", "Check url and ca_file."
            raise self._error("archive's certificate is not trusted", expected, "another", do) from None
        except (failures.RequestException, OSError, *DAMAGE) as error:
            # their words may quote addresses with identifiers in them
            got = type(error).__name__
            raise TransferError(
                refusal("archive did not answer", expected="a whole answer", got=got, where=self._settings.label)
            ) from None

    def _error(self, rule: str, expected: str, got: str, do: str) -> LivervolError:
        return LivervolError(refusal(rule, expected=expected, got=got, where=self._settings.label, do=do))

    def _by_status(self, error: Any) -> LivervolError:
        status = int(error.response.status_code) if error.response is not None else 0
        if status in _DENIED:
            do = "Check user and password, or the token, in the settings."
            return self._error("archive refused the login", "a user who may do this", f"status {status}", do)
        if status >= 500 or status in _PASSING:
            return TransferError(
                refusal("archive failed", expected="an answer", got=f"status {status}", where=self._settings.label)
            )
        return self._error("archive refused the request", f"status {_DONE}", f"status {status}", "Check the url.")


def _take(dataset: Dataset, inbox: Inbox) -> None:
    inbox.take(lambda path: dataset.save_as(path, enforce_file_format=True))


def _text(row: Mapping[str, Any], tag: str) -> str:
    """The first value of an attribute in DICOM JSON, as text; empty where it is absent."""
    values = row.get(tag, {}).get("Value") or [""]
    return str(values[0]).strip() if not isinstance(values[0], dict) else ""


def _batches(parcels: Sequence[Parcel]) -> Iterator[list[Parcel]]:
    batch: list[Parcel] = []
    for one in parcels:
        size = sum(other.n_bytes for other in batch)
        if batch and (len(batch) >= _BATCH_INSTANCES or size + one.n_bytes > _BATCH_BYTES):
            yield batch
            batch = []
        batch.append(one)
    if batch:
        yield batch
