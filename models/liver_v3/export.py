"""Networks as ONNX files with float16 weights, computed with as float32. Needs torch and onnx."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper


def write_onnx(net: torch.nn.Module, path: Path, channels: int, steps: int) -> None:
    """Write a network on (1, channels, z, y, x) that was fitted in so many steps."""
    sides = {2: "z", 3: "y", 4: "x"}
    torch.onnx.export(
        net.eval(), (torch.zeros(1, channels, 16, 16, 16),), str(path), input_names=["channels"],
        output_names=["scores"], dynamic_axes={"channels": sides, "scores": sides}, opset_version=17, dynamo=False,
    )  # fmt: skip
    model = onnx.load(str(path))
    casts = []
    for weight in model.graph.initializer:
        values = numpy_helper.to_array(weight)
        if weight.data_type == TensorProto.FLOAT and values.ndim == 5:
            name = weight.name
            weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
            casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    for node in reversed(casts):
        model.graph.node.insert(0, node)
    onnx.checker.check_model(model)
    helper.set_model_props(model, {"steps": str(steps)})
    onnx.save(model, str(path))
