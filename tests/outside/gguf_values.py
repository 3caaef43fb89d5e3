"""Reads GGUF files by the gguf package and compares their weights with a float export (gguf.ts)."""

import argparse
import json
import pathlib

import numpy
from gguf import GGUFReader, dequantize
from safetensors.numpy import load_file

parser = argparse.ArgumentParser()
parser.add_argument("gguf", type=pathlib.Path)
parser.add_argument("float", type=pathlib.Path)
parser.add_argument("names", type=pathlib.Path, help="JSON: canonical name by GGUF name")
arguments = parser.parse_args()
names = json.loads(arguments.names.read_text())
values = load_file(arguments.float / "model.safetensors")
by_type = {}
for file in ["model.gguf", "mmproj.gguf"]:
    for tensor in GGUFReader(arguments.gguf / file).tensors:
        expected = values.pop(names[tensor.name])
        if tensor.name == "v.position_embd.weight":
            expected = numpy.roll(expected, -1, axis=-2)  # There the class token comes last.
        actual = dequantize(tensor.data, tensor.tensor_type).reshape(expected.shape)
        entry = by_type.setdefault((file, tensor.tensor_type.name), {"tensors": 0, "error": 0.0, "size": 0.0, "bytes": 0})
        entry["tensors"] += 1
        entry["bytes"] += int(tensor.n_bytes)
        entry["error"] += float(numpy.sum((actual - expected).astype(numpy.float64) ** 2))
        entry["size"] += float(numpy.sum(expected.astype(numpy.float64) ** 2))
for (file, kind), entry in by_type.items():
    relative = (entry["error"] / entry["size"]) ** 0.5
    print(json.dumps({"file": file, "type": kind, "tensors": entry["tensors"], "bytes": entry["bytes"], "relative": relative}))
print(json.dumps({"missing": sorted(values)}))
