from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from conftest import oblique_grid
from livervol.errors import ModelError
from livervol.files import sha256_of
from livervol.scan import Scan
from livervol.segment import external_worker
from livervol.segment.external import liver_segmenter
from livervol.segment.external_nnunet import read_nnunet_folder
from livervol.segment.external_process import PINS, PYTHON_VARIABLE, check_pins
from livervol.segment.external_totalsegmentator import totalsegmentator_folder
from livervol.segment.liver import segment_liver

LABELS = {"background": 0, "Liver": 1, "liver_tumor": 2, "spleen": 3}


def nnunet_folder(folder, labels=LABELS, channels=None, folds=("0", "1")):
    """The files of a trained folder; the checkpoints hold no network."""
    folder.mkdir(exist_ok=True)
    for fold in folds:
        (folder / f"fold_{fold}").mkdir()
        (folder / f"fold_{fold}" / "checkpoint_final.pth").write_bytes(f"weights {fold}".encode())
    dataset = {"channel_names": channels or {"0": "CT"}, "labels": labels}
    (folder / "dataset.json").write_text(json.dumps(dataset))
    (folder / "plans.json").write_text("{}")
    return folder


def pin(folder):
    lines = [f"{sha256_of(p)}  ./{p.relative_to(folder).as_posix()}" for p in sorted(folder.rglob("*.pth"))]
    (folder / PINS).write_text("\n".join(lines) + "\n")


def scan(modality="CT"):
    values = np.random.default_rng(0).normal(60, 20, (8, 9, 10)).astype(np.int16)
    return Scan(values, oblique_grid((8, 9, 10)), modality, "CT" if modality == "CT" else "T1")


# ---- names and folders ------------------------------------------------------------------------------------------


def test_names():
    assert liver_segmenter(None) is segment_liver
    assert callable(liver_segmenter("liver_prior_v1"))
    with pytest.raises(ModelError, match="model draws no liver: expected a model of the liver, got couinaud"):
        liver_segmenter("couinaud_shape_v2")
    with pytest.raises(ModelError, match="model not found"):
        liver_segmenter("nnunet")
    with pytest.raises(ModelError, match="folder is no trained nnU-Net v2 liver model"):
        liver_segmenter("nnunet:/nowhere")


def test_what_an_nnunet_folder_holds(tmp_path):
    model = read_nnunet_folder(nnunet_folder(tmp_path))
    # the tumour counts as liver, the spleen does not
    assert model.values == (1, 2)
    assert model.folds == ("0", "1")
    assert model.channel == "CT"
    assert [p.relative_to(tmp_path).as_posix() for p in model.weights] == [
        "fold_0/checkpoint_final.pth",
        "fold_1/checkpoint_final.pth",
    ]


def test_regions_and_the_best_checkpoint(tmp_path):
    folder = nnunet_folder(tmp_path, {"background": 0, "whole-liver": [1, 2], "cancer": 2}, {"0": "T1"}, folds=("all",))
    (folder / "fold_all" / "checkpoint_final.pth").rename(folder / "fold_all" / "checkpoint_best.pth")
    model = read_nnunet_folder(folder)
    assert (model.values, model.folds, model.checkpoint) == ((1, 2), ("all",), "checkpoint_best.pth")


def test_folders_that_are_none(tmp_path):
    with pytest.raises(ModelError, match="expected a readable dataset.json"):
        read_nnunet_folder(tmp_path)
    cases = {
        "a label named liver, got background, spleen": nnunet_folder(tmp_path / "a", {"background": 0, "spleen": 1}),
        "one input channel, got 2": nnunet_folder(tmp_path / "b", channels={"0": "CT", "1": "CT"}),
        "expected a fold_*/checkpoint_final.pth": nnunet_folder(tmp_path / "c", folds=()),
    }
    for said, folder in cases.items():
        with pytest.raises(ModelError) as refused:
            read_nnunet_folder(folder)
        assert said in str(refused.value)
    (tmp_path / "a" / "dataset.json").write_text("[]")
    with pytest.raises(ModelError, match="expected an object in dataset.json, got list"):
        read_nnunet_folder(tmp_path / "a")
    (tmp_path / "a" / "dataset.json").write_text('{"channel_names": {"0": "CT"}}')
    with pytest.raises(ModelError, match="expected labels in dataset.json"):
        read_nnunet_folder(tmp_path / "a")


# ---- weights are compared before they are loaded -----------------------------------------------------------------


def test_pins(tmp_path):
    folder = nnunet_folder(tmp_path)
    weights = sorted(folder.rglob("*.pth"))
    with pytest.raises(ModelError, match="model weights are not pinned") as refused:
        check_pins(folder, weights)
    # the command in the refusal does what it promises
    command = str(refused.value).split("then pin them: ")[1].rstrip(".")
    subprocess.run(["bash", "-c", command], check=True)
    assert check_pins(folder, weights) == "+".join(sha256_of(p)[:12] for p in weights)
    pin(folder)
    assert check_pins(folder, weights) == "+".join(sha256_of(p)[:12] for p in weights)
    weights[1].write_bytes(b"other weights")
    with pytest.raises(ModelError, match="model weights are not the pinned ones"):
        check_pins(folder, weights)
    (folder / PINS).write_text(f"{sha256_of(weights[0])}  fold_0/checkpoint_final.pth\nnonsense\n")
    with pytest.raises(ModelError, match="expected a line in weights.sha256"):
        check_pins(folder, weights)


def test_nothing_runs_before_the_checks(tmp_path, monkeypatch):
    monkeypatch.setenv(PYTHON_VARIABLE, "/nowhere/python")
    folder = nnunet_folder(tmp_path / "model")
    draw = liver_segmenter(f"nnunet:{folder}")
    with pytest.raises(ModelError, match="not pinned"):
        draw(scan())
    pin(folder)
    with pytest.raises(ModelError, match="model is for another modality: expected CT, got MR"):
        draw(scan("MR"))
    with pytest.raises(ModelError, match="TotalSegmentator's weights are absent"):
        liver_segmenter(f"totalsegmentator:{tmp_path}")(scan())
    with pytest.raises(ModelError, match="Dataset852_TotalSegMRI_total_3mm_1088subj"):
        liver_segmenter(f"totalsegmentator:{tmp_path}")(scan("MR"))


def test_an_absent_package_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv(PYTHON_VARIABLE, raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    folder = nnunet_folder(tmp_path / "model")
    pin(folder)
    with pytest.raises(ModelError, match="nnunetv2 is not installed") as refused:
        liver_segmenter(f"nnunet:{folder}")(scan())
    assert 'pip install "livervol[nnunet]"' in str(refused.value)
    assert PYTHON_VARIABLE in str(refused.value)


def test_a_failing_process_is_one_sentence(tmp_path, monkeypatch):
    folder = nnunet_folder(tmp_path / "model")
    pin(folder)
    # a Python without the package
    monkeypatch.setenv(PYTHON_VARIABLE, sys.executable)
    monkeypatch.setenv("PYTHONPATH", "")
    if importlib.util.find_spec("nnunetv2") is not None:
        pytest.skip("nnunetv2 is installed here; the failure is that it is not")
    with pytest.raises(ModelError, match="nnunetv2 did not run: expected a mask, got ModuleNotFoundError"):
        liver_segmenter(f"nnunet:{folder}")(scan())


def test_where_totalsegmentator_keeps_its_weights(monkeypatch):
    monkeypatch.delenv("TOTALSEG_WEIGHTS_PATH", raising=False)
    monkeypatch.setenv("TOTALSEG_HOME_DIR", "/some/home")
    assert totalsegmentator_folder() == Path("/some/home/nnunet/results")
    monkeypatch.setenv("TOTALSEG_WEIGHTS_PATH", "/some/weights")
    assert totalsegmentator_folder() == Path("/some/weights")


def test_the_worker_has_no_network():
    code = (
        f"import runpy, socket; runpy.run_path({external_worker.__file__!r})['_stay_offline']()\n"
        "try:\n    socket.create_connection(('127.0.0.1', 9), timeout=1)\n"
        "except OSError as error:\n    print(error)\n"
        "a, b = socket.socketpair(); a.sendall(b'x'); print(b.recv(1))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == ["no network: weights are used from disk only", "b'x'"]


# ---- the real packages with random weights -----------------------------------------------------------------------

# a CPU build of torch beside a CUDA build of torchvision: the operators it asks for at import, never called here
SHIM = """\
try:
    import torch
    try:
        import torchvision
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
except ImportError:
    pass
"""


@pytest.fixture(scope="session")
def random_weights(tmp_path_factory):
    """Folder with random weights of both kinds; skips where the packages are absent."""
    python = os.environ.get(PYTHON_VARIABLE, sys.executable)
    there = importlib.util.find_spec("nnunetv2") and importlib.util.find_spec("totalsegmentator")
    if PYTHON_VARIABLE not in os.environ and not there:
        pytest.skip(f"nnunetv2 and TotalSegmentator are not installed, and {PYTHON_VARIABLE} names no Python with them")
    folder = tmp_path_factory.mktemp("random_weights")
    (folder / "shim").mkdir()
    (folder / "shim" / "sitecustomize.py").write_text(SHIM)
    script = Path(__file__).with_name("external_weights.py")
    environment = {**os.environ, "PYTHONPATH": str(folder / "shim")}
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        environment[name] = str(folder)
    done = subprocess.run(
        [python, str(script), str(folder)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


def phantom():
    """A ball off the middle, oblique grid, unequal sides and spacing, hardly any noise; and the ball's mask."""
    grid = oblique_grid((30, 44, 52), (4.2, 3.1, 2.7))
    away = grid.index_to_lps(np.moveaxis(np.indices(grid.shape_zyx), 0, -1)) - grid.index_to_lps((11, 27, 19))
    ball = (away**2).sum(-1) < 38**2
    values = np.where(ball, 110, 10) + np.random.default_rng(1).normal(0, 0.7, grid.shape_zyx)
    return Scan(values.astype(np.int16), grid), ball


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def finds(mask, ball):
    """Whether what the network drew is the ball, in its place and not in a mirrored one."""
    return dice(mask, ball) > max(0.6, *(dice(mask, np.flip(ball, axis)) + 0.2 for axis in (0, 1, 2)))


def test_nnunet_itself_with_random_weights(random_weights, monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", str(random_weights / "shim"))
    folder = random_weights / "nnunet"
    pin(folder)
    given, ball = phantom()
    result = liver_segmenter(f"nnunet:{folder}")(given)
    mask = result.segmentation
    assert mask.grid == given.grid
    assert mask.names == {1: "liver"}
    digest = sha256_of(folder / "fold_0" / "checkpoint_final.pth")[:12]
    assert mask.made_by.startswith("nnunetv2 2.")
    assert digest in mask.made_by
    assert math.isnan(result.confidence)
    assert "states no confidence" in result.warnings[-1]
    assert result.facts["volume_ml"] == pytest.approx(mask.mask().sum() * given.grid.voxel_ml)
    assert finds(mask.mask(), ball)


def test_totalsegmentator_itself_with_random_weights(random_weights, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(random_weights / "shim"))
    weights = random_weights / "totalsegmentator"
    old = weights / "Dataset302_vertebrae_body_1559subj"  # one that the package would delete
    old.mkdir(exist_ok=True)
    before = sorted(weights.iterdir())
    pin(weights / "Dataset297_TotalSegmentator_total_3mm_1559subj")
    given, ball = phantom()
    result = liver_segmenter(f"totalsegmentator:{weights}")(given)
    mask = result.segmentation
    assert mask.grid == given.grid
    assert mask.made_by.startswith("TotalSegmentator 2.")
    assert "task total, 3 mm, sha256 " in mask.made_by
    assert finds(mask.mask(), ball)
    assert sorted(weights.iterdir()) == before
