"""Liver models by name: our own, and other people's behind the same call.

TotalSegmentator and nnU-Net v2 are optional. Ready masks of any model need none of this: ``--liver`` reads them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from livervol.errors import ModelError, refusal
from livervol.scan import Scan
from livervol.segment.external_nnunet import read_nnunet_folder, segment_by_nnunet
from livervol.segment.external_process import PINS, PYTHON_VARIABLE
from livervol.segment.external_totalsegmentator import segment_by_totalsegmentator, totalsegmentator_folder
from livervol.segment.liver import LiverResult, segment_liver
from livervol.segment.liver_prior import read_prior
from livervol.segment.model import find_model

__all__ = ["PINS", "PYTHON_VARIABLE", "liver_segmenter"]


def liver_segmenter(name: str | None) -> Callable[[Scan], LiverResult]:
    """The liver model of that name as a function of a scan.

    None is the standard one; otherwise a released model's name, ``nnunet:FOLDER`` (a trained nnU-Net v2 folder that
    holds plans.json) or ``totalsegmentator`` (weights where TotalSegmentator keeps them, or
    ``totalsegmentator:FOLDER``). Raises ``ModelError`` for an unknown name, before any scan is read.
    """
    if name is None:
        return segment_liver
    kind, _, folder = name.partition(":")
    if kind == "nnunet" and folder:
        model = read_nnunet_folder(Path(folder))
        return lambda scan: segment_by_nnunet(scan, model)
    if kind == "totalsegmentator":
        place = Path(folder) if folder else totalsegmentator_folder()
        return lambda scan: segment_by_totalsegmentator(scan, place)
    card = find_model(name)
    if card.task != "liver prior":
        raise ModelError(
            refusal("model draws no liver", expected="a model of the liver", got=card.task, where=card.name)
        )
    prior = read_prior(card.weights)
    return lambda scan: segment_liver(scan, prior=prior)
