"""Archives for tests: a real Orthanc on loopback, and an in-process DIMSE archive that misbehaves on demand."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset

from livervol.io.pacs_settings import ArchiveSettings
from tools import need_tool, run_tool

USER, PASSWORD = "reader", "not-a-secret-4711"


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on just now."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@dataclass(frozen=True)
class Orthanc:
    """A running Orthanc: its settings by DICOMweb, by C-GET and by C-MOVE."""

    web: ArchiveSettings
    dimse: ArchiveSettings
    move: ArchiveSettings


@dataclass(frozen=True)
class Certificates:
    """PEM files of an authority made for the test, and of an archive at 127.0.0.1 and a client it vouches for."""

    authority: Path
    archive: Path
    archive_key: Path
    client: Path
    client_key: Path


def make_certificates(folder: Path) -> Certificates:
    """An authority, and the two it signs, by OpenSSL; good for two days."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "place.cnf").write_text("subjectAltName=IP:127.0.0.1")

    def openssl(*words: object) -> None:
        done = run_tool("openssl", *words)
        assert done.returncode == 0, done.stderr

    new = ("-newkey", "rsa:2048", "-nodes")
    own, key = folder / "ca.pem", folder / "ca.key"
    openssl("req", "-x509", *new, "-keyout", key, "-out", own, "-days", 2, "-subj", "/CN=test authority")
    for name in ("archive", "client"):
        asked, signed = folder / f"{name}.csr", folder / f"{name}.pem"
        openssl("req", *new, "-keyout", folder / f"{name}.key", "-out", asked, "-subj", f"/CN={name}")
        openssl("x509", "-req", "-in", asked, "-CA", own, "-CAkey", key, "-CAcreateserial", "-out", signed, "-days", 2,
                "-extfile", folder / "place.cnf")  # fmt: skip
    files = (folder / name for name in ("ca.pem", "archive.pem", "archive.key", "client.pem", "client.key"))
    return Certificates(*files)


@contextmanager
def running_orthanc(folder: Path, certificates: Certificates | None = None) -> Iterator[Orthanc]:
    """Start Orthanc with its DICOMweb plugin on free loopback ports; stopped at the end by its process.

    With ``certificates`` DIMSE is over TLS and clients must show one that the authority signed. The web is not: some
    builds of Orthanc end with a segmentation fault at the first request over HTTPS.
    """
    program = need_tool("Orthanc")
    plugin = next((p for p in sorted(Path("/usr").glob("**/libOrthancDicomWeb.so*")) if p.is_file()), None)
    assert plugin is not None, "orthanc-dicomweb is not installed"
    http, dicom, move = free_ports(3)
    settings = {
        "Name": "test",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "HttpPort": http,
        "DicomPort": dicom,
        "DicomAet": "ORTHANC",
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": True,
        "RegisteredUsers": {USER: PASSWORD},
        "UnknownSopClassAccepted": True,  # label maps are newer than this Orthanc
        "DicomAlwaysAllowGet": True,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowMove": True,
        "DicomModalities": {"livervol": ["LIVERVOL", "127.0.0.1", move]},
        "Plugins": [str(plugin)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    folder.mkdir(parents=True, exist_ok=True)
    quick: dict[str, Any] = {"timeout_s": 20.0, "pause_s": 0.05}
    secure: dict[str, Any] = {}
    if certificates is not None:
        settings |= {
            "DicomTlsEnabled": True,
            "DicomTlsCertificate": str(certificates.archive),
            "DicomTlsPrivateKey": str(certificates.archive_key),
            "DicomTlsTrustedCertificates": str(certificates.authority),
        }
        settings["DicomModalities"] = {
            "livervol": {"AET": "LIVERVOL", "Host": "127.0.0.1", "Port": move, "UseDicomTls": True}
        }
        secure = {
            "tls": True,
            "ca_file": str(certificates.authority),
            "client_certificate": str(certificates.client),
            "client_key": str(certificates.client_key),
        }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with (folder / "orthanc.log").open("wb") as log:
        process = subprocess.Popen([str(program), str(folder / "orthanc.json")], stdout=log, stderr=log)
        try:
            _wait_for(f"http://127.0.0.1:{http}/system", process, folder / "orthanc.log")
            dimse = ArchiveSettings(host="127.0.0.1", port=dicom, called="ORTHANC", **quick, **secure)
            yield Orthanc(
                ArchiveSettings(url=f"http://127.0.0.1:{http}/dicom-web", user=USER, password=PASSWORD, **quick),
                dimse,
                replace(dimse, move_port=move),
            )
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for(url: str, process: subprocess.Popen, log: Path) -> None:
    for _ in range(300):
        assert process.poll() is None, log.read_text(errors="replace")[-2000:]
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except urllib.error.HTTPError as error:  # it answers, and wants a password
            error.close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("Orthanc did not start")


# ------------------------------------------------------------------------------------------------ a bad DIMSE archive


@dataclass
class Misbehaviour:
    """What the in-process archive does wrong; counts go down with each offence."""

    drop_after: int = -1  # abort the association after so many instances of a C-GET
    drops: int = 0  # how many times
    hide: int = 0  # instances announced and never sent
    announce: int | None = None  # a wrong count in the series
    foreign: Dataset | None = None  # sent beside what was asked for
    refuse_store: int = 0  # status of every C-STORE
    busy_stores: int = 0  # C-STOREs answered "out of resources" first
    reject: bool = False
    stored: list[Dataset] = field(default_factory=list)
    associations: int = 0


@contextmanager
def bad_archive(files: list[Path], wrong: Misbehaviour) -> Iterator[ArchiveSettings]:
    """A DIMSE archive in this process that holds some files and misbehaves."""
    from pynetdicom import AE, AllStoragePresentationContexts, build_context, evt
    from pynetdicom.presentation import PresentationContext

    held = [dcmread(path) for path in files]

    def on_find(event: Any) -> Iterator[tuple[int, Dataset | None]]:
        asked = event.identifier
        level = asked.QueryRetrieveLevel
        seen = set()
        for one in held:
            key = {"STUDY": one.StudyInstanceUID, "SERIES": one.SeriesInstanceUID, "IMAGE": one.SOPInstanceUID}[level]
            patient = asked.get("PatientID", "")
            if key in seen or (patient and patient != one.PatientID):
                continue
            seen.add(key)
            row = Dataset()
            row.StudyInstanceUID, row.SeriesInstanceUID = one.StudyInstanceUID, one.SeriesInstanceUID
            row.SOPInstanceUID, row.PatientID, row.StudyDate = one.SOPInstanceUID, one.PatientID, one.StudyDate
            row.Modality = one.Modality
            if level == "SERIES":
                row.NumberOfSeriesRelatedInstances = len(held) if wrong.announce is None else wrong.announce
            yield 0xFF00, row
        yield 0x0000, None

    def on_get(event: Any) -> Iterator[Any]:
        asked = event.identifier.get("SOPInstanceUID")
        uids = None if not asked else {asked} if isinstance(asked, str) else set(asked)
        sent = [one for one in held[wrong.hide :] if uids is None or one.SOPInstanceUID in uids]
        sent += [wrong.foreign] if wrong.foreign is not None else []
        yield len(sent)
        for number, one in enumerate(sent):
            if number == wrong.drop_after and wrong.drops > 0:
                wrong.drops -= 1
                event.assoc.abort()
                return
            yield 0xFF00, one

    def on_store(event: Any) -> int:
        if wrong.busy_stores > 0:
            wrong.busy_stores -= 1
            return 0xA700
        if not wrong.refuse_store:
            wrong.stored.append(event.dataset)
        return wrong.refuse_store

    def on_accepted(event: Any) -> None:
        wrong.associations += 1

    entity = AE(ae_title="BAD")
    for uid in ("1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.5.1.4.1.2.2.3"):
        entity.add_supported_context(uid)
    contexts: list[PresentationContext] = [build_context(c.abstract_syntax) for c in AllStoragePresentationContexts]
    for context in contexts:
        entity.add_supported_context(context.abstract_syntax, scu_role=True, scp_role=True)
    if wrong.reject:
        entity.require_calling_aet = ["SOMEBODY"]
    handlers: list[tuple[Any, Callable]] = [
        (evt.EVT_C_FIND, on_find),
        (evt.EVT_C_GET, on_get),
        (evt.EVT_C_STORE, on_store),
        (evt.EVT_ACCEPTED, on_accepted),
    ]
    (port,) = free_ports(1)
    server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
    try:
        yield ArchiveSettings(host="127.0.0.1", port=port, called="BAD", timeout_s=5.0, pause_s=0.01, retries=2)
    finally:
        server.shutdown()


# --------------------------------------------------------------------------------------------- a bad DICOMweb archive


@contextmanager
def bad_web(
    answer: Callable[[str, int], tuple[int, bytes, bool]], certificates: Certificates | None = None
) -> Iterator[ArchiveSettings]:
    """A web server whose ``answer(path, number of this request)`` is (status, JSON, whether the body is cut short).

    With ``certificates`` it is one over HTTPS.
    """
    count = [0]

    class Handler(BaseHTTPRequestHandler):
        def _reply(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            self.rfile.read(length)
            status, body, cut = answer(self.path, count[0])
            count[0] += 1
            self.send_response(status)
            self.send_header("Content-Type", "application/dicom+json")
            self.send_header("Content-Length", str(len(body) + 100 * cut))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = True

        do_GET = do_POST = _reply

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificates is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.archive, certificates.archive_key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}/dicom-web"
        yield ArchiveSettings(url=url, timeout_s=5.0, pause_s=0.01, retries=2)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
