"""Atomic writing and guards for everything that touches the disk: a file is whole or absent, never half written."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from livervol.errors import LivervolError, refusal

__all__ = ["atomic_file", "atomic_folder", "check_readable", "sha256_of", "write_text"]

_CHUNK_BYTES = 1 << 20

#: The disk itself says no: full, over quota, read-only or failing.
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


def _refuse_existing(target: Path, overwrite: bool) -> None:
    if overwrite or not target.exists():
        return
    if target.is_dir() and not any(target.iterdir()):
        return
    raise LivervolError(
        refusal(
            "output already exists",
            expected="a path that does not exist yet or an empty folder",
            got="something is there",
            where=str(target),
            do="Choose another path or pass --overwrite.",
        )
    )


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(rule: str, error: OSError, folder: Path) -> LivervolError:
    return LivervolError(
        refusal(
            rule,
            expected="a writable folder with free space",
            got=error.strerror or "an operating system error",
            where=str(folder),
            do="Choose another --out or ask for write permission.",
        )
    )


def _make_parent(target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable("output folder cannot be made", error, target.parent) from error


@contextmanager
def atomic_file(target: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside ``target``; on success it is synced and renamed, on failure removed.

    The temporary name keeps the target's suffixes, because image writers choose the format by them.
    Raises ``LivervolError`` when ``target`` exists and ``overwrite`` is false, or when the folder cannot be written.
    """
    target = Path(target)
    _refuse_existing(target, overwrite)
    if target.is_dir():
        raise LivervolError(
            refusal("output is a folder", expected="a file name", got="a folder", where=str(target), do="Name a file.")
        )
    _make_parent(target)
    suffix = "".join(target.suffixes[-2:])
    try:
        descriptor, name = tempfile.mkstemp(prefix=".writing-", suffix=suffix, dir=target.parent)
    except OSError as error:
        raise _unwritable("output cannot be written", error, target.parent) from error
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(target)
        _fsync_folder(target.parent)
    except OSError as error:
        if error.errno in _DISK_ERRORS:
            raise _unwritable("output cannot be written", error, target.parent) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(target: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary folder beside ``target``; on success it becomes ``target``, on failure it is removed.

    An existing non-empty ``target`` is refused unless ``overwrite``; then the old folder is replaced only after the
    new one is complete.
    """
    target = Path(target)
    _refuse_existing(target, overwrite)
    if target.exists() and not target.is_dir():
        raise LivervolError(
            refusal("output is a file", expected="a folder name", got="a file", where=str(target), do="Name a folder.")
        )
    _make_parent(target)
    try:
        temporary = Path(tempfile.mkdtemp(prefix=".writing-", dir=target.parent))
    except OSError as error:
        raise _unwritable("output cannot be written", error, target.parent) from error
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o777 & ~umask)
        if target.exists():
            old = Path(tempfile.mkdtemp(prefix=".replaced-", dir=target.parent))
            target.replace(old / "old")
            temporary.replace(target)
            shutil.rmtree(old)
        else:
            temporary.replace(target)
        _fsync_folder(target.parent)
    except OSError as error:
        if error.errno in _DISK_ERRORS:
            raise _unwritable("output cannot be written", error, target.parent) from error
        raise
    finally:
        if temporary.exists():
            shutil.rmtree(temporary)


def check_readable(path: str | Path, *, max_bytes: int | None = None) -> Path:
    """The path, if it is a readable file no larger than ``max_bytes``; otherwise ``LivervolError``."""
    path = Path(path)
    if not path.is_file():
        got = "a folder" if path.is_dir() else "nothing"
        raise LivervolError(
            refusal("input file not found", expected="a file", got=got, where=str(path), do="Check the path.")
        )
    if not os.access(path, os.R_OK):
        raise LivervolError(
            refusal(
                "input file not readable",
                expected="read permission",
                got="none",
                where=str(path),
                do="Ask for read permission.",
            )
        )
    size = path.stat().st_size
    if max_bytes is not None and size > max_bytes:
        raise LivervolError(
            refusal(
                "input file too large",
                expected=f"at most {max_bytes} bytes",
                got=f"{size} bytes",
                where=str(path),
                do="Check that this is the right file.",
            )
        )
    return path


def write_text(target: str | Path, text: str, *, overwrite: bool = False) -> Path:
    """Write ``text`` as UTF-8 to ``target`` atomically and return the path."""
    with atomic_file(target, overwrite=overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Path(target)


def sha256_of(path: str | Path) -> str:
    """Hex sha256 of a file's bytes."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as handle:
        while chunk := handle.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
