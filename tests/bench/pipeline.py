"""A `transformers` text-classification pipeline over 512-token windows, with our step encoder's weights.

Runs in the environment of training: `.venv-train/bin/python tests/bench/pipeline.py TEXTS`, where TEXTS is a
JSON list. Prints the seconds, and those of CPU time, that it took
once the model was loaded and warm.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast, pipeline

MODEL = Path(__file__).parents[2] / "classifiers" / "models" / "default"
WINDOW = 512


def main(path):
    texts = json.loads(Path(path).read_text(encoding="utf-8"))
    tokenizer = BertTokenizerFast(
        tokenizer_file=str(MODEL / "tokenizer.json"), model_max_length=WINDOW
    )
    classify = pipeline("text-classification", model=loaded(), tokenizer=tokenizer, device="cpu")
    options = {"truncation": True, "max_length": WINDOW, "batch_size": 8}
    with torch.inference_mode():
        classify(texts[:2], **options)
        began, computed = time.perf_counter(), time.process_time()
        windows = [window for text in texts for window in cut(tokenizer, text)]
        classify(windows, **options)
    print(time.perf_counter() - began, time.process_time() - computed)


def cut(tokenizer, text):
    """A text in pieces that fill a window each."""
    places = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    spans = places["offset_mapping"]
    size = WINDOW - 2
    return [text[spans[at][0] : spans[at : at + size][-1][1]] for at in range(0, len(spans), size)]


def loaded():
    """BERT with the weights of the shipped graph, and a head of two classes that nobody trained."""
    config = BertConfig(
        vocab_size=30522,
        hidden_size=384,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=1536,
    )
    model = BertForSequenceClassification(config).eval()
    found = {name: torch.tensor(value) for name, value in weights().items()}
    left = model.load_state_dict(found, strict=False)
    assert not left.unexpected_keys, left
    assert {name.split(".")[0] for name in left.missing_keys} <= {"classifier", "bert"}
    assert all("pooler" in n or n.startswith("classifier") for n in left.missing_keys), left
    return model


def weights():
    graph = onnx.load(str(MODEL / "step.onnx")).graph
    held = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    stored = [name.removesuffix(".int8") for name in held if name.endswith(".int8")]
    full = {n: held[f"{n}.int8"].astype(np.float32) * held[f"{n}.scale"] for n in stored}
    found = {name: value for name, value in held.items() if name.startswith("bert.")}
    found = {name: value for name, value in found.items() if not name.endswith((".int8", ".scale"))}
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in full:
            name = node.name.strip("/").removesuffix("/MatMul").replace("/", ".")
            found[f"{name}.weight"] = full.pop(node.input[1]).T
    return {**found, **full}


if __name__ == "__main__":
    main(sys.argv[1])
