"""Input made to harm: bombs, sizes beyond memory, deep nesting, links and paths out of the tree, words for a browser.

Memory is measured: what is refused must be refused before it is unpacked or allocated.
"""

from __future__ import annotations

import bz2
import gzip
import json
import struct
import subprocess
import sys
import zlib
from html.parser import HTMLParser

import numpy as np
import pytest

from dicom_factory import HOSTILE, pattern, write_enhanced, write_object, write_series
from image_factory import write_mha, write_nifti, write_nrrd
from livervol.errors import CriteriaError, LivervolError, ScanError
from livervol.io.csv_rows import quoted
from livervol.io.dicom import read_dicom
from livervol.io.images import read_image, read_labels
from livervol.io.response_tables import read_response_table
from livervol.report.visit import VisitPage, visit_html

GIB = 1 << 30


def zeros_packed(count, level=9):
    """A gzip stream of ``count`` zeros, made without holding them."""
    packer, pieces = zlib.compressobj(level, zlib.DEFLATED, 31), []
    block = bytes(1 << 20)
    for _ in range(count >> 20):
        pieces.append(packer.compress(block))
    return b"".join([*pieces, packer.flush()])


def refused_in_little_memory(path, words, *, limit_mb=900):
    """The refusal of ``livervol run`` in a process that may hold so much address space, and how much it held."""
    script = (
        "import resource, sys\n"
        f"resource.setrlimit(resource.RLIMIT_AS, ({limit_mb} << 20, {limit_mb} << 20))\n"
        "from livervol.io.images import read_image\n"
        "from livervol.errors import LivervolError\n"
        "try:\n    read_image(sys.argv[1])\n"
        "except LivervolError as error:\n    print(error)\n"
        # not ru_maxrss: a child inherits that of the process it was forked from
        "high = next(line for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "print(int(high.split()[1]) // 1024)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-800:]
    sentence, peak_mb = done.stdout.rsplit("\n", 2)[0], int(done.stdout.split()[-1])
    assert words in sentence
    assert peak_mb < 400
    return sentence


# --------------------------------------------------------------------------------------------------------------- bombs


def test_a_nifti_bomb_with_an_honest_header(tmp_path):
    """3 GiB of voxels from a few kilobytes are refused before the first is unpacked."""
    header = bytearray(write_nifti(tmp_path / "scan.nii", np.zeros((5, 6, 7), np.int16)).read_bytes()[:352])
    struct.pack_into("<8h", header, 40, 3, 1200, 1200, 1200, 1, 1, 1, 1)
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    (tmp_path / "bomb.nii.gz").write_bytes(
        packer.compress(bytes(header)) + packer.compress(bytes(8 << 20)) + packer.flush()
    )
    refused_in_little_memory(
        tmp_path / "bomb.nii.gz", "image unpacks to far more than it holds: expected at most 100 times"
    )


def test_a_nifti_bomb_behind_a_small_header(tmp_path):
    """200 MiB of zeros behind 420 bytes of voxels."""
    small = gzip.compress(write_nifti(tmp_path / "scan.nii", np.zeros((5, 6, 7), np.int16)).read_bytes())
    (tmp_path / "bomb.nii.gz").write_bytes(small + zeros_packed(200 << 20))
    refused_in_little_memory(tmp_path / "bomb.nii.gz", "image file is longer than its voxels")


@pytest.mark.parametrize("encoding", ["gzip", "bzip2"])
def test_an_nrrd_bomb_behind_a_small_header(tmp_path, encoding):
    """What pours out of the stream is not read beyond the sizes of the header."""
    packed = zeros_packed(600 << 20) if encoding == "gzip" else bz2.compress(bytes(64 << 20)) * 10
    bomb = write_nrrd(tmp_path / "bomb.nrrd", packed, encoding=encoding)
    refused_in_little_memory(
        bomb, "damaged or truncated: expected every voxel of the header's sizes, got more than 420"
    )


def test_an_nrrd_bomb_with_an_honest_header(tmp_path):
    bomb = write_nrrd(tmp_path / "bomb.nrrd", zeros_packed(1 << 20), encoding="gzip", sizes="1200 1200 1200")
    refused_in_little_memory(bomb, "image unpacks to far more than it holds")


def test_a_metaimage_bomb(tmp_path):
    packed = zlib.compress(bytes(300 << 20))
    bomb = write_mha(tmp_path / "bomb.mha", packed, CompressedData="True", DimSize="1200 1200 1200")
    refused_in_little_memory(bomb, "image unpacks to far more than it holds")


@pytest.mark.parametrize(
    "build",
    [
        lambda folder: write_nrrd(folder / "a.nrrd", sizes="100000 100000 100000"),
        lambda folder: write_nrrd(folder / "a.nrrd", encoding="gzip", sizes="2000000000 2 2"),
        lambda folder: write_mha(folder / "a.mha", DimSize="100000 100000 100000"),
        lambda folder: write_nifti(
            folder / "a.nii", np.zeros((2, 2, 2), np.int16), edit=lambda h: h["dim"].__setitem__(slice(1, 4), 32767)
        ),
    ],
    ids=["nrrd", "nrrd gzip", "mha", "nifti"],
)
def test_sizes_beyond_every_scan(tmp_path, build):
    refused_in_little_memory(build(tmp_path), "image is too large: expected at most 2147483648 voxels")


def test_a_real_mask_that_packs_well_is_read(tmp_path):
    """A mask of 200 slices packs several hundredfold; that is no bomb."""
    mask = np.zeros((200, 256, 256), np.uint8)
    mask[50:150, 60:180, 70:200] = 1
    path = write_nifti(tmp_path / "mask.nii.gz", mask)
    assert path.stat().st_size * 100 < mask.nbytes
    assert np.count_nonzero(read_labels(path).labels) == 100 * 120 * 130


# --------------------------------------------------------------------------------------------------------------- DICOM


def nested(depth):
    item = struct.pack("<HH2sHI", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF) + struct.pack(
        "<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    return item * depth


@pytest.mark.parametrize("depth", [100, 2000, 50_000])
def test_sequences_nested_without_end(tmp_path, depth):
    path = write_object(tmp_path / "deep" / "object.dcm", "CT")
    path.write_bytes(path.read_bytes() + nested(depth))
    with pytest.raises(ScanError) as caught:
        read_dicom(tmp_path / "deep")
    assert not any(word in str(caught.value) for word in HOSTILE)


def test_a_length_of_four_gigabytes(tmp_path):
    path = write_series(tmp_path / "in")[3]
    content = path.read_bytes()
    at = content.rindex(b"\xe0\x7f\x10\x00OW")
    path.write_bytes(content[: at + 8] + b"\xfe\xff\xff\xff" + content[at + 12 :])
    with pytest.raises(ScanError, match="pixel data is truncated"):
        read_dicom(tmp_path / "in")


def test_a_million_frames_declared(tmp_path):
    path = write_enhanced(tmp_path / "a.dcm", edit=lambda ds: setattr(ds, "NumberOfFrames", 1_000_000))
    with pytest.raises(ScanError, match="frame count is wrong: expected 1000000 frames"):
        read_dicom(path)


def test_a_deflated_bomb_in_dicom(tmp_path):
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    path = write_enhanced(tmp_path / "a.dcm", voxels=pattern((3, 8, 9)), syntax=DeflatedExplicitVRLittleEndian)
    content = path.read_bytes()
    (length,) = struct.unpack_from("<I", content, 140)
    meta = content[: 144 + length]
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = packer.compress(struct.pack("<HH2sHI", 0x0009, 0x1001, b"OB", 0, 700 << 20))
    for _ in range(700):
        bomb += packer.compress(bytes(1 << 20))
    path.write_bytes(meta + bomb + packer.flush())
    refused_in_little_memory(path, "DICOM file unpacks to far more than it holds: expected at most 100 times its size")


# --------------------------------------------------------------------------------------------------- paths and links


@pytest.mark.parametrize("name", ["../outside.raw", "/etc/passwd", "sub/../../outside.raw", "a\x00b", "x" * 5000])
def test_a_header_cannot_name_a_file_elsewhere(tmp_path, name):
    (tmp_path / "outside.raw").write_bytes(bytes(420))
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    for write, ending, key in ((write_nrrd, "nhdr", "data_file"), (write_mha, "mhd", "ElementDataFile")):
        path = write(folder / f"scan.{ending}", b"", **{key: name})
        with pytest.raises(
            ScanError, match="data file lies elsewhere|data file is missing|not MetaImage|not valid"
        ) as told:
            read_image(path)
        assert len(str(told.value)) < 1000


def test_a_link_out_of_the_folder_is_not_followed_by_a_header(tmp_path):
    (tmp_path / "outside.raw").write_bytes(bytes(420))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "voxels.raw").symlink_to(tmp_path / "outside.raw")
    with pytest.raises(ScanError, match="data file lies elsewhere"):
        read_image(write_nrrd(tmp_path / "in" / "scan.nhdr", b"", data_file="voxels.raw"))


def test_a_data_file_beside_its_header_is_read(tmp_path):
    (tmp_path / "voxels.raw").write_bytes(write_nrrd(tmp_path / "a.nrrd").read_bytes()[-420:])
    path = write_nrrd(tmp_path / "scan.nhdr", b"", data_file="voxels.raw")
    assert np.array_equal(read_image(path).voxels, read_image(tmp_path / "a.nrrd").voxels)


def test_folders_that_link_in_circles_and_special_files_end(tmp_path):
    import os

    write_series(tmp_path / "in" / "a")
    (tmp_path / "in" / "a" / "up").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "self").symlink_to("self")
    os.mkfifo(tmp_path / "in" / "pipe")
    (tmp_path / "in" / "zero").symlink_to("/dev/zero")
    with pytest.raises(ScanError, match="DICOM file is damaged"):  # the link that leads nowhere is a missing file
        read_dicom(tmp_path / "in")
    (tmp_path / "in" / "self").unlink()
    (tmp_path / "in" / "zero").unlink()
    assert len(read_dicom(tmp_path / "in")) == 1


# -------------------------------------------------------------------------------------------------------------- tables


def test_a_table_that_lost_a_quotation_mark_quotes_no_row(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text('patient,"visit,date\nMustermann-1950,1,2024\n"x,1,2\n')
    with pytest.raises(CriteriaError, match="column name is no name") as caught:
        read_response_table(path)
    assert "Mustermann" not in str(caught.value)


@pytest.mark.parametrize("cell", ["A" * 200_000, "\x00", "=cmd|' /C calc'!A0", "<script>alert(1)</script>", "\u202e"])
def test_hostile_cells_are_refused_in_one_short_line(tmp_path, cell):
    path = tmp_path / "table.csv"
    path.write_text(f"patient,reader,visit,date,sum_mm\np1,r1,1,{cell},80\n")
    with pytest.raises(LivervolError) as caught:
        read_response_table(path)
    assert len(str(caught.value)) < 600
    assert str(caught.value).isprintable()


def test_quoted():
    assert quoted("plain 12.5 mm") == "plain 12.5 mm"
    assert quoted("a\nb\x1b[31m\u202e") == "a\\nb\\x1b[31m\\u202e"
    assert quoted("x" * 500) == "x" * 160 + "… (500 characters)"


# -------------------------------------------------------------------------------------------------------------- report

ATTACKS = (
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "' onmouseover='alert(1)",
    "</style><svg onload=alert(1)>", "{{ 7*7 }}", "javascript:alert(1)", "<!--", "]]>", "&lt;b&gt;", "\u202eevil",
)  # fmt: skip


class Tags(HTMLParser):
    """Every tag and attribute of a page."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes = set(), []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]


def page_of(word):
    document = {
        "liver": {"volume_ml": None, "volume_ml_reason": word, word: word},
        "tumor": {"volume_ml": 12.0},
        "segments": {word: {"volume_ml": 3.0}},
        "remnant": {word: {"volume_ml": 3.0, "flr_of_functional_percent": 30.0}},
        "lesions": [{"number": word, "site": word, "state": word, "volume_ml": None, "volume_ml_reason": word}],
        "phases": [{"phase": word, "modality": word, "date": word, "reason": word, "shape_zyx": [1, 2, 3],
                    "spacing_mm": [1.0, 1.0, 1.0]}],
        "quality": [word],
        "mrecist_evaluable": word,
        "mrecist_evaluable_reason": word,
        "provenance": {"version": word, word: word, "nested": {word: [word]}},
    }  # fmt: skip
    return visit_html(VisitPage(word, json.loads(json.dumps(document)), {}))


@pytest.mark.parametrize("word", ATTACKS)
def test_the_report_escapes_every_string(word):
    """A page full of an attack has the same tags and attributes as one full of a plain word."""
    hostile, plain = Tags(), Tags()
    hostile.feed(page_of(word))
    plain.feed(page_of("plain"))
    assert hostile.tags == plain.tags
    assert [(tag, name) for tag, name, _ in hostile.attributes] == [(tag, name) for tag, name, _ in plain.attributes]
    links = [value for _, name, value in hostile.attributes if name in ("href", "src", "action")]
    assert not any(value.startswith("javascript:") for value in links)
