"""Released models: found in ``models/``, checked against their card, run on the CPU by onnxruntime."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livervol.assets import models_folder
from livervol.errors import ModelError, refusal
from livervol.files import sha256_of

__all__ = ["ModelCard", "SelfTest", "check_weights", "find_model", "find_models", "predict", "read_card", "self_test"]

CARD = "model.toml"

_REQUIRED = ("name", "task", "version", "weights", "sha256", "licence", "training_data", "intended_use", "selftest")


@dataclass(frozen=True)
class SelfTest:
    """Input and expected output of a model, as .npz files with one array ``values``, and the allowed difference."""

    input: Path
    output: Path
    tolerance: float


@dataclass(frozen=True)
class ModelCard:
    """A released model as its ``model.toml`` describes it."""

    name: str
    task: str
    version: str
    folder: Path
    weights: Path
    sha256: str
    licence: str
    training_data: tuple[str, ...]
    intended_use: str
    selftest: SelfTest


def read_card(folder: Path) -> ModelCard:
    """The card in ``folder/model.toml``; raises ``ModelError`` when it is missing, broken or incomplete."""
    path = folder / CARD
    try:
        card = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ModelError(
            refusal(
                "model card is unreadable", expected="a valid model.toml", got=type(error).__name__, where=str(path)
            )
        ) from error
    missing = [key for key in _REQUIRED if key not in card]
    if missing:
        raise ModelError(
            refusal("model card is incomplete", expected=", ".join(_REQUIRED), got=f"no {', '.join(missing)}",
                    where=str(path), do="Complete the card.")
        )  # fmt: skip
    test = card["selftest"]
    return ModelCard(
        name=card["name"],
        task=card["task"],
        version=str(card["version"]),
        folder=folder,
        weights=folder / card["weights"],
        sha256=card["sha256"],
        licence=card["licence"],
        training_data=tuple(card["training_data"]),
        intended_use=card["intended_use"],
        selftest=SelfTest(folder / test["input"], folder / test["output"], float(test["tolerance"])),
    )


def find_models(folder: Path | None = None) -> tuple[ModelCard, ...]:
    """Every released model, by name."""
    root = folder or models_folder()
    return tuple(read_card(path.parent) for path in sorted(root.glob(f"*/{CARD}")))


def find_model(name: str, folder: Path | None = None) -> ModelCard:
    """The released model of that name; raises ``ModelError`` listing those found."""
    root = folder or models_folder()
    if (root / name / CARD).is_file():
        return read_card(root / name)
    known = ", ".join(path.parent.name for path in sorted(root.glob(f"*/{CARD}"))) or "no model"
    raise ModelError(refusal("model not found", expected=f"one of {known}", got=repr(name), do="See livervol models."))


def check_weights(card: ModelCard) -> None:
    """Raises ``ModelError`` unless the card's weights are there and are the ones it names by sha256."""
    found = sha256_of(card.weights) if card.weights.is_file() else "no file"
    if found != card.sha256:
        raise ModelError(
            refusal(
                "model weights are not the released ones",
                expected=f"sha256 {card.sha256[:12]}…",
                got=found[:12] + ("…" if len(found) == 64 else ""),
                where=str(card.weights),
                do="Install livervol again.",
            )
        )


@lru_cache(maxsize=4)
def _session(card: ModelCard, threads: int) -> Any:
    check_weights(card)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # memory goes back to the system after each look: the rest of a visit needs it
    options.enable_cpu_mem_arena = False
    # a waiting thread sleeps: spinning takes the core from whatever else runs
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(card.weights), options, providers=["CPUExecutionProvider"])


def predict(card: ModelCard, values: NDArray[np.float32], *, threads: int = 2) -> NDArray[np.float32]:
    """The model's output for one input array; weights are checked against the card's sha256 on first use."""
    session = _session(card, threads)
    output: NDArray[np.float32] = session.run(None, {session.get_inputs()[0].name: values})[0]
    return output


def _run(card: ModelCard, values: NDArray[Any]) -> NDArray[np.float32]:
    if card.weights.suffix == ".npz":
        # maps, not a network: the self-test reads them at fixed places
        from livervol.segment.liver_prior import read_prior

        check_weights(card)
        return read_prior(card.weights).self_test()
    return predict(card, values.astype(np.float32), threads=1)


def self_test(card: ModelCard) -> float:
    """Largest absolute difference between the model's output on its self-test input and the expected output.

    Raises ``ModelError`` when it exceeds the card's tolerance.
    """
    with np.load(card.selftest.input) as given, np.load(card.selftest.output) as expected:
        got = _run(card, given["values"])
        difference = float(np.abs(got.astype(np.float64) - expected["values"].astype(np.float64)).max())
    if not difference <= card.selftest.tolerance:
        raise ModelError(
            refusal(
                "model fails its self-test",
                expected=f"output within {card.selftest.tolerance:g}",
                got=f"{difference:g}",
                where=card.name,
                do="Install livervol again, and report your processor if it stays.",
            )
        )
    return difference
