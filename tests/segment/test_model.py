from __future__ import annotations

import shutil

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from livervol.cli import main
from livervol.errors import ModelError
from livervol.files import sha256_of
from livervol.segment.model import find_model, find_models, predict, read_card, self_test

CARD = """\
name = "{name}"
task = "doubling"
version = "1"
weights = "weights.onnx"
sha256 = "{sha256}"
licence = "CC BY-SA 4.0"
training_data = ["none"]
intended_use = "test"

[selftest]
input = "input.npz"
output = "output.npz"
tolerance = 1e-6
"""


@pytest.fixture
def models(tmp_path):
    """A folder with one released model that doubles its input."""
    folder = tmp_path / "models" / "double_v1"
    folder.mkdir(parents=True)
    shape = [1, 2, 3]
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        "double",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(folder / "weights.onnx"))
    values = np.arange(6, dtype=np.float32).reshape(shape)
    np.savez(folder / "input.npz", values=values)
    np.savez(folder / "output.npz", values=2 * values)
    (folder / "model.toml").write_text(CARD.format(name="double_v1", sha256=sha256_of(folder / "weights.onnx")))
    return tmp_path / "models"


def test_a_model_is_found_runs_and_passes_its_test(models):
    card = find_model("double_v1", models)
    assert [c.name for c in find_models(models)] == ["double_v1"]
    got = predict(card, np.full((1, 2, 3), 1.5, np.float32))
    assert np.array_equal(got, np.full((1, 2, 3), 3.0, np.float32))
    assert self_test(card) == 0.0


def test_unknown_model_lists_the_known_ones(models):
    with pytest.raises(ModelError, match="one of double_v1, got 'triple_v1'"):
        find_model("triple_v1", models)


def test_tampered_weights_are_refused(models):
    weights = models / "double_v1" / "weights.onnx"
    weights.write_bytes(weights.read_bytes() + b"\0")
    with pytest.raises(ModelError, match="not the released ones"):
        predict(find_model("double_v1", models), np.zeros((1, 2, 3), np.float32))


def test_missing_weights_are_refused(models):
    (models / "double_v1" / "weights.onnx").unlink()
    with pytest.raises(ModelError, match="got no file"):
        predict(find_model("double_v1", models), np.zeros((1, 2, 3), np.float32))


def test_a_wrong_expectation_fails_the_self_test(models):
    np.savez(models / "double_v1" / "output.npz", values=np.full((1, 2, 3), 7.0, np.float32))
    with pytest.raises(ModelError, match="fails its self-test"):
        self_test(find_model("double_v1", models))


@pytest.mark.parametrize("key", ["sha256", "licence", "training_data", "intended_use"])
def test_an_incomplete_card_names_what_is_missing(models, key):
    path = models / "double_v1" / "model.toml"
    lines = [line for line in path.read_text().splitlines() if not line.startswith(key)]
    path.write_text("\n".join(lines))
    with pytest.raises(ModelError, match=f"no {key}"):
        read_card(path.parent)


def test_a_broken_card_is_refused(models):
    (models / "double_v1" / "model.toml").write_text("name = ")
    with pytest.raises(ModelError, match=r"unreadable.*TOMLDecodeError"):
        find_models(models)
    shutil.rmtree(models / "double_v1")
    assert find_models(models) == ()


def test_released_models_verify(capsys):
    assert main(["models", "verify"]) == 0
    printed = capsys.readouterr().out
    for card in find_models():
        assert card.name in printed
        assert "CC BY-SA 4.0" in card.licence
        assert (card.folder / "card.md").is_file()
        assert (card.folder / "fit.py").is_file()
    assert "liver_prior_v1" in printed
    assert "liver_v3" in printed
