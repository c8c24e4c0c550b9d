"""From torch to the files that serve: ONNX graphs in fp32 whose weights are stored in 8 bits.

Weights are rounded per output channel and expanded when the session loads, so the arithmetic is
plain fp32: a text's score does not depend on its batch. The reasons and the measurements are in
docs/decisions/0002-batch-invariant-int8.md.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from classifiers.port import HeadScores
from classifiers.training.step_model import TraceHead

OPSET: Final = 17
#: Smaller tensors (biases, norms, tables of two rows) stay fp32.
SMALLEST: Final = 4096
_AXES: Final = {0: "rows", 1: "tokens"}


def export_encoder(model: nn.Module, inputs: tuple[str, ...], output: str, path: Path) -> None:
    """Write an encoder as ONNX with 8-bit stored weights."""
    export_plain(model, inputs, output, path)
    onnx.save(compress(onnx.load(str(path))), str(path))


def export_plain(model: nn.Module, inputs: tuple[str, ...], output: str, path: Path) -> None:
    """Write an encoder as ONNX, weights in fp32."""
    model.eval()
    example = _example(len(inputs))
    model.bert.config._attn_implementation = "eager"  # noqa: SLF001 - exports to plain ONNX operators
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            example,
            str(path),
            input_names=list(inputs),
            output_names=[output],
            dynamic_axes={**dict.fromkeys(inputs, _AXES), output: {0: "rows"}},
            opset_version=OPSET,
            dynamo=False,
        )


def _example(inputs: int) -> tuple[torch.Tensor, ...]:
    ids = torch.randint(1000, 2000, (2, 9))
    mask = torch.ones_like(ids)
    segments = (torch.arange(9)[None, :] >= 5).long().expand(2, -1).contiguous()
    return (ids, mask, segments)[:inputs]


def compress(model: onnx.ModelProto) -> onnx.ModelProto:
    """Store every large weight as int8 with one scale per channel, expanded by Cast and Mul."""
    graph = model.graph
    gathered = {node.input[0] for node in graph.node if node.op_type == "Gather"}
    large = [t for t in graph.initializer if _is_large(t)]
    expand: list[onnx.NodeProto] = []
    for tensor in large:
        axis = (
            1 if tensor.name in gathered else 0
        )  # a table has a scale per row, a matrix per column
        stored, scale = quantise(numpy_helper.to_array(tensor), axis)
        expand += _expand(tensor.name)
        graph.initializer.append(numpy_helper.from_array(stored, f"{tensor.name}.int8"))
        graph.initializer.append(numpy_helper.from_array(scale, f"{tensor.name}.scale"))
        graph.initializer.remove(tensor)
    nodes = [*expand, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    return model


def _is_large(tensor: onnx.TensorProto) -> bool:
    return (
        tensor.data_type == TensorProto.FLOAT
        and len(tensor.dims) == 2
        and int(np.prod(tensor.dims)) >= SMALLEST
    )


def quantise(weight: "np.ndarray[Any, Any]", axis: int) -> tuple[Any, Any]:
    """Symmetric int8 and its scale; `axis` is the one along which the scale is constant."""
    scale = np.abs(weight).max(axis=axis, keepdims=True).astype(np.float32) / 127 + 1e-12
    return np.rint(weight / scale).astype(np.int8), scale.astype(np.float32)


def _expand(name: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("Cast", [f"{name}.int8"], [f"{name}.float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{name}.float", f"{name}.scale"], [name]),
    ]


def head_arrays(head: TraceHead) -> dict[str, Any]:
    """The trace head's part of `head.WEIGHTS`."""
    return _renamed({k: v.detach().numpy() for k, v in head.state_dict().items()})


def write_head(arrays: Mapping[str, Any], path: Path) -> None:
    """Write the arrays of `head.WEIGHTS` and the labels that they were trained for."""
    np.savez_compressed(path, labels=np.asarray(HeadScores._fields), **arrays)


def _renamed(state: Mapping[str, Any]) -> dict[str, Any]:
    names = {
        "project_w": "project.weight",
        "project_b": "project.bias",
        "input_w": "gru.weight_ih_l0",
        "input_b": "gru.bias_ih_l0",
        "state_w": "gru.weight_hh_l0",
        "state_b": "gru.bias_hh_l0",
        "out_w": "out.weight",
        "out_b": "out.bias",
    }
    return {short: state[long] for short, long in names.items()}
