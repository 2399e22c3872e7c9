"""How to reach an archive: settings from a file that only its owner may read, and from the environment."""

from __future__ import annotations

import ipaddress
import os
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from livervol.errors import LivervolError, refusal
from livervol.files import check_readable

__all__ = ["DEFAULT_FILE", "ArchiveSettings", "load_settings"]

#: Where settings are looked for when neither an option nor the environment names a file.
DEFAULT_FILE = Path("~/.config/livervol/pacs.toml")

_PREFIX = "LIVERVOL_PACS_"
_FILE_BYTES = 1 << 16


@dataclass(frozen=True)
class ArchiveSettings:
    """One archive. ``url`` makes it DICOMweb; ``host``, ``port`` and ``called`` (its AE title) make it DIMSE.

    ``user``, ``password``, ``token``   DICOMweb: basic authentication, or a bearer token.
    ``calling``                         DIMSE: our AE title.
    ``tls``                             DIMSE over TLS; DICOMweb takes it from the URL. Certificates are always checked,
                                        against ``ca_file`` where given.
    ``client_certificate``, ``client_key``  shown to an archive that asks for them.
    ``move_port``, ``move_host``        DIMSE: receive by C-MOVE at this address instead of C-GET.
    ``timeout_s``, ``retries``          longest silence, and how often a broken transfer is taken up again.
    ``pause_s``                         before the first retry; doubled before each further one, up to 30 s.
    """

    url: str = ""
    host: str = ""
    port: int = 0
    called: str = "ANY-SCP"
    calling: str = "LIVERVOL"
    user: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    tls: bool = False
    ca_file: str = ""
    client_certificate: str = ""
    client_key: str = field(default="", repr=False)
    move_port: int = 0
    move_host: str = "127.0.0.1"
    timeout_s: float = 30.0
    retries: int = 4
    pause_s: float = 0.5

    def __post_init__(self) -> None:
        if bool(self.url) == bool(self.host):
            raise _refuse("archive has no address", "url (DICOMweb), or host and port (DIMSE)", "both or neither")
        if self.url:
            _check_url(self)
        elif not 0 < self.port < 65536:
            raise _refuse("archive's port is not a port", "1 to 65535", str(self.port))
        for name in ("called", "calling"):
            title = getattr(self, name)
            if not (1 <= len(title) <= 16 and title.isascii() and title.isprintable() and "\\" not in title):
                raise _refuse(f"AE title '{name}' is not valid", "1 to 16 ASCII characters", f"{len(title)} characters")
        if not 0 <= self.move_port < 65536 or not 0 <= self.retries <= 20 or not 0 < self.timeout_s <= 3600:
            got = f"move_port {self.move_port}, retries {self.retries}, timeout_s {self.timeout_s:g}"
            raise _refuse("archive settings are out of range", "ports to 65535, retries to 20, timeout_s to 3600", got)
        if not 0 <= self.pause_s <= 60:
            raise _refuse("archive settings are out of range", "pause_s of 0 to 60", f"{self.pause_s:g}")

    @property
    def label(self) -> str:
        """The archive's address for messages, without anything secret."""
        return self.url or f"{self.called} at {self.host}:{self.port}"


def _refuse(rule: str, expected: str, got: str, where: str = "", do: str = "") -> LivervolError:
    return LivervolError(refusal(rule, expected=expected, got=got, where=where, do=do or "Correct the settings."))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_url(settings: ArchiveSettings) -> None:
    try:
        parts = urlsplit(settings.url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise _refuse("archive's url is not valid", "https://host/path", "something else") from None
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise _refuse("archive's url is not valid", "https://host/path", f"scheme {parts.scheme or 'none'}")
    if parts.username is not None or parts.password is not None:
        raise _refuse(
            "archive's url holds a name or password", "them in user and password", "them in the url",
            do="The url appears in messages; keep secrets out of it.",
        )  # fmt: skip
    if parts.scheme == "http" and (settings.password or settings.token) and not _is_loopback(host):
        raise _refuse(
            "password would travel unprotected", "https", "http to another machine", do="Use the archive's https url."
        )
    if settings.password and settings.token:
        raise _refuse("two ways to log in", "a password or a token", "both")


def load_settings(
    path: str | Path | None = None, archive: str = "", environment: Mapping[str, str] | None = None
) -> ArchiveSettings:
    """The settings of one archive, from a TOML file and the environment.

    The file is ``path``, else ``LIVERVOL_PACS_FILE``, else ``DEFAULT_FILE`` where it exists. It holds one table per
    archive; ``archive`` (or ``LIVERVOL_PACS_ARCHIVE``) names the one meant when there are several. Every field can be
    given as ``LIVERVOL_PACS_<FIELD>`` too, which wins. The file must belong to the caller (or to root) and be closed
    to everybody else (mode 0600). Raises ``LivervolError``; no message repeats a secret.
    """
    environment = os.environ if environment is None else environment
    named = path or environment.get(f"{_PREFIX}FILE")
    file = Path(named).expanduser() if named else DEFAULT_FILE.expanduser()
    values: dict[str, Any] = {}
    if named or file.is_file():
        values = _table(_read(file), archive or environment.get(f"{_PREFIX}ARCHIVE", ""), file)
    values |= _from_environment(environment)
    if not values:
        raise _refuse(
            "no archive is known", f"{DEFAULT_FILE} or {_PREFIX}URL", "neither",
            do="See docs/pacs.md for the settings file.",
        )  # fmt: skip
    return _checked(values, str(file) if named or file.is_file() else "environment")


def _read(file: Path) -> dict[str, Any]:
    check_readable(file, max_bytes=_FILE_BYTES)
    about = file.stat()
    if os.name == "posix":
        if stat.S_IMODE(about.st_mode) & 0o077:
            raise _refuse(
                "settings file is open to others", "mode 0600", f"mode {stat.S_IMODE(about.st_mode):04o}", str(file),
                f"Run: chmod 600 {file}",
            )  # fmt: skip
        if about.st_uid not in (os.getuid(), 0):
            raise _refuse("settings file belongs to somebody else", "your own file", "another owner", str(file))
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError):
        raise _refuse(
            "settings file is not TOML", "[name] and lines key = value", "something else", str(file)
        ) from None


def _table(document: Mapping[str, Any], archive: str, file: Path) -> dict[str, Any]:
    tables = {name: values for name, values in document.items() if isinstance(values, dict)}
    if archive:
        chosen = tables.get(archive)
    else:
        chosen = next(iter(tables.values())) if len(tables) == 1 else None
    if chosen is None or len(tables) != len(document):
        got = ", ".join(tables) or "none"
        expected = f"a table [{archive}]" if archive else "one table [name], or --archive NAME"
        raise _refuse("archive is not in the settings", expected, got, str(file))
    return dict(chosen)


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for known in fields(ArchiveSettings):
        text = environment.get(f"{_PREFIX}{known.name.upper()}")
        if text is None:
            continue
        default: Any = known.default
        try:
            if isinstance(default, bool):
                found[known.name] = {"0": False, "1": True, "false": False, "true": True}[text.lower()]
            else:
                found[known.name] = type(default)(text)
        except (ValueError, KeyError):
            expected = "0 or 1" if isinstance(default, bool) else "a number"
            raise _refuse(f"{_PREFIX}{known.name.upper()} is not valid", expected, "something else") from None
    return found


def _checked(values: Mapping[str, Any], where: str) -> ArchiveSettings:
    known = {one.name: one.default for one in fields(ArchiveSettings)}
    for name, value in values.items():
        if name not in known:
            raise _refuse("setting is not known", ", ".join(known), name, where)
        wanted = type(known[name])
        fits = isinstance(value, wanted) or (wanted is float and isinstance(value, int))
        if not fits or (isinstance(value, bool) and wanted is not bool):
            raise _refuse(f"setting {name} has the wrong type", wanted.__name__, type(value).__name__, where)
    return ArchiveSettings(**values)
