"""An artefact for GPUs: the same 8-bit weights, expanded to fp16 and computed with in fp16."""

import shutil
from pathlib import Path

import onnx
from onnxruntime.transformers.float16 import convert_float_to_float16

from classifiers import artefact
from classifiers.training.golden import golden
from classifiers.training.manifest import hashes, save


def halve(folder: Path, out: Path) -> None:
    """Write the artefact in `folder` to `out` with graphs that compute in fp16.

    Raises ArtefactError if `folder` is damaged. Inputs, outputs and everything outside the encoders
    stay as they are, and so do calibration and thresholds; what that changes, `parity` measures.
    """
    loaded = artefact.load(folder)
    out.mkdir(parents=True, exist_ok=True)
    for name in artefact.FILES:
        shutil.copyfile(folder / name, out / name)
    for name in (artefact.STEP_MODEL, artefact.PAIR_MODEL):
        graph = convert_float_to_float16(onnx.load(str(folder / name)), keep_io_types=True)
        onnx.save(graph, str(out / name))
    evaluation = {k: v for k, v in loaded.manifest["evaluation"].items() if k != "parity"}
    notes = [*evaluation.get("notes", []), "All figures were measured with fp32 arithmetic."]
    manifest = {
        **loaded.manifest,
        "name": f"{loaded.manifest['name']}-fp16",
        "weights": "int8 storage with a scale per channel, fp16 arithmetic: for GPUs",
        "files": hashes(out),
        "evaluation": {**evaluation, "notes": notes},
        "golden": golden(out, dict(loaded.calibration)),
    }
    save(out, manifest)
