from __future__ import annotations

import errno
import os

import pytest

from livervol.errors import LivervolError
from livervol.files import atomic_file, atomic_folder, check_readable, sha256_of, write_text


def leftovers(folder):
    return sorted(p.name for p in folder.iterdir())


def test_file_appears_whole(tmp_path):
    with atomic_file(tmp_path / "mask.nii.gz") as temporary:
        temporary.write_bytes(b"abc")
        assert temporary.name.endswith(".nii.gz")
        assert not (tmp_path / "mask.nii.gz").exists()
    assert leftovers(tmp_path) == ["mask.nii.gz"]
    assert (tmp_path / "mask.nii.gz").read_bytes() == b"abc"


def test_failed_file_leaves_the_old_one(tmp_path):
    write_text(tmp_path / "a.json", "old")
    with pytest.raises(RuntimeError, match="disk"), atomic_file(tmp_path / "a.json", overwrite=True) as temporary:
        temporary.write_text("half")
        raise RuntimeError("disk")
    assert leftovers(tmp_path) == ["a.json"]
    assert (tmp_path / "a.json").read_text() == "old"


def test_existing_file_is_not_overwritten_unasked(tmp_path):
    write_text(tmp_path / "a.json", "old")
    with pytest.raises(LivervolError, match=r"already exists.*a\.json.*--overwrite"):
        write_text(tmp_path / "a.json", "new")
    write_text(tmp_path / "a.json", "new", overwrite=True)
    assert (tmp_path / "a.json").read_text() == "new"


def test_folder_appears_whole_or_not_at_all(tmp_path):
    with pytest.raises(RuntimeError, match="stop"), atomic_folder(tmp_path / "visit") as temporary:
        (temporary / "liver.nii.gz").write_bytes(b"x")
        raise RuntimeError("stop")
    assert leftovers(tmp_path) == []
    with atomic_folder(tmp_path / "visit") as temporary:
        (temporary / "liver.nii.gz").write_bytes(b"x")
    assert leftovers(tmp_path / "visit") == ["liver.nii.gz"]


def test_folder_replaced_only_when_asked_and_whole(tmp_path):
    (tmp_path / "visit").mkdir()
    with atomic_folder(tmp_path / "visit") as temporary:  # an empty folder is free
        (temporary / "one").write_text("1")
    with pytest.raises(LivervolError, match="already exists"), atomic_folder(tmp_path / "visit"):
        pass
    with pytest.raises(RuntimeError, match="stop"), atomic_folder(tmp_path / "visit", overwrite=True):
        raise RuntimeError("stop")
    assert leftovers(tmp_path / "visit") == ["one"]
    with atomic_folder(tmp_path / "visit", overwrite=True) as temporary:
        (temporary / "two").write_text("2")
    assert leftovers(tmp_path / "visit") == ["two"]
    assert leftovers(tmp_path) == ["visit"]


def test_wrong_kind_of_target(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("x")
    with pytest.raises(LivervolError, match="output is a folder"), atomic_file(tmp_path / "folder"):
        pass
    with pytest.raises(LivervolError, match="output is a file"), atomic_folder(tmp_path / "file", overwrite=True):
        pass
    with pytest.raises(LivervolError, match="cannot be made"), atomic_file(tmp_path / "file" / "a.json"):
        pass


def test_check_readable(tmp_path):
    path = write_text(tmp_path / "a.txt", "12345")
    assert check_readable(path) == path
    with pytest.raises(LivervolError, match="got nothing"):
        check_readable(tmp_path / "b.txt")
    with pytest.raises(LivervolError, match="got a folder"):
        check_readable(tmp_path)
    with pytest.raises(LivervolError, match="at most 4 bytes, got 5 bytes"):
        check_readable(path, max_bytes=4)


def test_sha256(tmp_path):
    # FIPS 180-2 appendix B.1
    path = write_text(tmp_path / "a.txt", "abc")
    assert sha256_of(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize("guard", [atomic_file, atomic_folder])
def test_a_full_disk_is_a_sentence_and_leaves_nothing(tmp_path, guard):
    with pytest.raises(LivervolError, match=r"cannot be written: .*got No space left"), guard(tmp_path / "visit.gz"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert leftovers(tmp_path) == []


def test_other_errors_of_the_system_are_not_renamed(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_folder(tmp_path / "visit"):
        raise FileNotFoundError(errno.ENOENT, "gone")
    assert leftovers(tmp_path) == []
