"""DIMSE: C-FIND to ask, C-GET or C-MOVE to fetch, C-STORE to send; over TLS where the settings say so."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset

from livervol.errors import LivervolError, refusal
from livervol.io.dicom_header import DAMAGE
from livervol.io.pacs_archive import FoundSeries, FoundStudy, Inbox, Parcel, TransferError, VisitQuery, package
from livervol.io.pacs_settings import ArchiveSettings

__all__ = ["DimseArchive"]

_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
_GET = "1.2.840.10008.5.1.4.1.2.2.3"

_PLAIN = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")
#: Lossless compressions this program can decode; each gets a context of its own, so that files travel as stored.
_PACKED = (
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.5",
)

#: What a liver visit may hold: images, segmentations, reports, structures, registrations, presentation states.
_IMAGES = tuple(
    f"1.2.840.10008.5.1.4.1.1.{tail}"
    for tail in ("2", "2.1", "2.2", "4", "4.1", "4.4", "7", "7.2", "7.4", "20", "128", "130", "66.4", "66.7", "30")
)
_OTHERS = tuple(
    f"1.2.840.10008.5.1.4.1.1.{tail}"
    for tail in ("66", "66.1", "66.3", "67", "11.1", "88.11", "88.22", "88.33", "88.34", "88.59", "88.67", "88.71",
                 "481.2", "481.3", "481.5", "104.1")
)  # fmt: skip

#: An association cannot propose more contexts (PS3.8 9.3.2.2: odd numbers of one byte).
_MOST_CONTEXTS = 128

_OK, _PENDING, _CANCELLED = 0x0000, (0xFF00, 0xFF01), 0xFE00
#: Stored, with a remark: attributes coerced or ignored (PS3.4 B.2.3).
_STORED = (0x0000, 0xB000, 0xB006, 0xB007)
_NOT_TAKEN = 0xA900
_OUT_OF_RESOURCES = range(0xA700, 0xA800)

#: Instance UIDs in one request for the rest of a series.
_ASK_AT_ONCE = 100


class DimseArchive:
    """An archive behind an AE title, host and port."""

    def __init__(self, settings: ArchiveSettings) -> None:
        self._settings = settings
        self._net = package("pynetdicom")

    def close(self) -> None:
        """Nothing stays open between requests."""

    def studies(self, query: VisitQuery) -> list[FoundStudy]:
        """C-FIND on the study level, exact values only."""
        asked = _keys("STUDY", StudyInstanceUID=query.study, StudyDate=query.dicom_date, PatientID=query.patient)
        return [
            FoundStudy(_text(row, "StudyInstanceUID"), _text(row, "StudyDate"), _text(row, "PatientID"))
            for row in self._find(asked)
        ]

    def series(self, study: str) -> list[FoundSeries]:
        """C-FIND on the series level, then on the image level of each series."""
        keys = {
            "StudyInstanceUID": study,
            "SeriesInstanceUID": "",
            "Modality": "",
            "NumberOfSeriesRelatedInstances": "",
        }
        found = []
        for row in self._find(_keys("SERIES", **keys)):
            uid, announced = _text(row, "SeriesInstanceUID"), _text(row, "NumberOfSeriesRelatedInstances")
            images = self._find(_keys("IMAGE", StudyInstanceUID=study, SeriesInstanceUID=uid, SOPInstanceUID=""))
            instances = frozenset(_text(one, "SOPInstanceUID") for one in images) - {""}
            count = int(announced) if announced.isdecimal() else None
            found.append(FoundSeries(study, uid, _text(row, "Modality"), instances, count))
        return found

    def fetch(self, series: FoundSeries, missing: Sequence[str], inbox: Inbox) -> None:
        """C-GET, or C-MOVE where the settings give a port: the whole series at first, later only what is missing."""
        if len(missing) == len(series.instances):
            wanted = [_keys("SERIES", StudyInstanceUID=series.study, SeriesInstanceUID=series.uid)]
        else:
            pieces = [list(missing[n : n + _ASK_AT_ONCE]) for n in range(0, len(missing), _ASK_AT_ONCE)]
            place = {"StudyInstanceUID": series.study, "SeriesInstanceUID": series.uid}
            wanted = [_keys("IMAGE", **place, SOPInstanceUID=piece) for piece in pieces]
        for keys in wanted:
            if self._settings.move_port:
                self._move(keys, inbox)
            else:
                self._get(keys, inbox)

    def store(self, parcels: Sequence[Parcel]) -> Iterator[str]:
        """C-STORE, each file in the transfer syntax it has; an instance the archive refuses for good ends it."""
        pairs = sorted({(one.sop_class, one.syntax) for one in parcels})
        if len(pairs) > _MOST_CONTEXTS:
            expected, got = f"at most {_MOST_CONTEXTS} kinds of object", str(len(pairs))
            raise self._refused("too many kinds of object at once", expected, got, "Send them in several commands.")
        contexts = [self._net.build_context(sop_class, syntax) for sop_class, syntax in pairs]
        with self._association(contexts) as peer:
            taken = {(str(c.abstract_syntax), str(s)) for c in peer.accepted_contexts for s in c.transfer_syntax}
            for one in parcels:
                if (one.sop_class, one.syntax) not in taken:
                    got = f"none for {one.modality} in its transfer syntax"
                    do = "Ask the archive's keeper to accept these objects, or use DICOMweb."
                    raise self._refused("archive does not take this kind of object", "an agreement", got, do)
                try:
                    answer = peer.send_c_store(dcmread(one.path))
                except (RuntimeError, *DAMAGE) as error:
                    raise self._broken(type(error).__name__) from None
                self._judge_store(answer)
                yield one.uid

    def _judge_store(self, answer: Dataset) -> None:
        if "Status" not in answer:
            raise self._broken("no answer to an instance")
        status = int(answer.Status)
        if status in _OUT_OF_RESOURCES:
            raise self._broken(f"status {status:#06x}, out of resources")
        if status not in _STORED:
            raise self._refused("archive did not store an instance", "status 0x0000", f"{status:#06x}")

    # ------------------------------------------------------------------------------------------------------- asking

    def _find(self, keys: Dataset) -> list[Dataset]:
        found = []
        with self._association([self._net.build_context(_FIND)]) as peer:
            for status, row in peer.send_c_find(keys, _FIND):
                if self._going_on(status, "search") and row is not None:
                    found.append(row)
        return found

    def _going_on(self, status: Dataset, what: str) -> bool:
        """Whether an answer is one of several; the last one must be success."""
        if "Status" not in status:
            raise self._broken(f"no answer to a {what}")
        code = int(status.Status)
        if code in _PENDING:
            return True
        if code != _OK and code != 0xB000:  # 0xB000: some sub-operations failed; what is missing is counted elsewhere
            where = "out of resources" if code in _OUT_OF_RESOURCES else "failed"
            if code in _OUT_OF_RESOURCES or code == _CANCELLED:
                raise self._broken(f"status {code:#06x}, {where}")
            raise self._refused(f"archive refused the {what}", "status 0x0000", f"{code:#06x}")
        return False

    def _get(self, keys: Dataset, inbox: Inbox) -> None:
        classes = [*_IMAGES, *_OTHERS]
        contexts = [self._net.build_context(_GET)]
        contexts += [self._net.build_context(one, list(_PLAIN)) for one in classes]
        contexts += [self._net.build_context(one, syntax) for one in _IMAGES for syntax in _PACKED]
        roles = [self._net.build_role(one, scp_role=True) for one in classes]
        handlers = [(self._net.evt.EVT_C_STORE, _received, [inbox])]
        with self._association(contexts, ext_neg=roles, evt_handlers=handlers) as peer:
            for status, _ in peer.send_c_get(keys, _GET):
                self._going_on(status, "transfer")

    def _move(self, keys: Dataset, inbox: Inbox) -> None:
        settings, server = self._settings, self._net.AE(ae_title=self._settings.calling)
        for one in (*_IMAGES, *_OTHERS):
            server.add_supported_context(one, [*_PLAIN, *_PACKED])
        # only the archive that was asked may call, and only us
        server.require_called_aet = True
        server.require_calling_aet = [settings.called]
        handlers = [(self._net.evt.EVT_C_STORE, _received, [inbox])]
        try:
            listening = server.start_server(
                (settings.move_host, settings.move_port),
                block=False,
                evt_handlers=handlers,
                ssl_context=self._tls(serving=True) if settings.tls else None,
            )
        except OSError as error:
            got = error.strerror or "an operating system error"
            expected = f"to listen at {settings.move_host}:{settings.move_port}"
            raise self._refused("cannot receive by C-MOVE", expected, got, "Choose another move_port.") from None
        try:
            with self._association([self._net.build_context(_MOVE)]) as peer:
                for status, _ in peer.send_c_move(keys, settings.calling, _MOVE):
                    self._going_on(status, "transfer")
        finally:
            listening.shutdown()

    # --------------------------------------------------------------------------------------------------- connecting

    @contextmanager
    def _association(self, contexts: Sequence[Any], **options: Any) -> Iterator[Any]:
        settings, entity = self._settings, self._net.AE(ae_title=self._settings.calling)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = settings.timeout_s
        entity.connection_timeout = settings.timeout_s
        entity.maximum_pdu_size = 0  # no limit: fewer, larger pieces
        if settings.tls:
            options["tls_args"] = (self._tls(serving=False), settings.host)
        try:
            peer = entity.associate(settings.host, settings.port, list(contexts), settings.called, **options)
        except (OSError, RuntimeError) as error:
            raise self._broken(type(error).__name__) from None
        if not peer.is_established:
            if peer.is_rejected and peer.acceptor.primitive is not None and peer.acceptor.primitive.result == 1:
                do = "Ask the archive's keeper to admit our AE title (calling), and check its own (called)."
                raise self._refused("archive refused the association", "to be admitted", "a rejection for good", do)
            _hang_up(peer)
            got = "a rejection for now" if peer.is_rejected else "none"
            raise self._broken(f"{got}: no association")
        try:
            yield peer
        finally:
            if peer.is_established:
                peer.release()

    def _tls(self, *, serving: bool) -> ssl.SSLContext:
        settings = self._settings
        purpose = ssl.Purpose.CLIENT_AUTH if serving else ssl.Purpose.SERVER_AUTH
        try:
            context = ssl.create_default_context(purpose, cafile=settings.ca_file or None)
            if serving:
                context.verify_mode = ssl.CERT_REQUIRED if settings.ca_file else ssl.CERT_NONE
            if settings.client_certificate:
                context.load_cert_chain(settings.client_certificate, settings.client_key or None)
        except (OSError, ssl.SSLError):
            expected = "readable PEM files in ca_file, client_certificate and client_key"
            raise self._refused("certificate cannot be loaded", expected, "something else") from None
        return context

    def _broken(self, got: str) -> TransferError:
        where = self._settings.label
        return TransferError(refusal("archive did not answer", expected="a whole answer", got=got, where=where))

    def _refused(self, rule: str, expected: str, got: str, do: str = "") -> LivervolError:
        return LivervolError(refusal(rule, expected=expected, got=got, where=self._settings.label, do=do))


def _hang_up(peer: Any) -> None:
    # a peer that closes during the greeting, as for want of a certificate, leaves pynetdicom's socket open
    connection = peer.dul.socket
    if connection is not None and connection.socket is not None:
        connection.socket.close()


def _received(event: Any, inbox: Inbox) -> int:
    """Answer one arriving instance; errors are kept in the box, because the library would swallow them."""
    if inbox.trouble is not None and not isinstance(inbox.trouble, TransferError):
        return _NOT_TAKEN
    try:
        content: bytes = event.encoded_dataset()
        inbox.take(lambda path: path.write_bytes(content))
    except TransferError:
        return _OUT_OF_RESOURCES.start
    except (LivervolError, OSError):
        return _NOT_TAKEN
    return _OK


def _keys(level: str, **values: str | list[str]) -> Dataset:
    """A query; an empty value asks for the attribute."""
    keys = Dataset()
    keys.QueryRetrieveLevel = level
    for name, value in values.items():
        setattr(keys, name, value)
    return keys


def _text(row: Mapping[Any, Any] | Dataset, name: str) -> str:
    return str(row.get(name, "") or "").strip()
