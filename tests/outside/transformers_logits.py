"""Loads float exports in transformers, or in the reference's code, and compares logits (transformers-logits.ts)."""

import argparse
import json
import pathlib

import torch
import transformers
from safetensors.torch import load_file


def hugging_face(folder, case, ids, pixels):
    model, loading = transformers.AutoModelForImageTextToText.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True
    )
    left = {key: sorted(names) for key, names in loading.items() if names}
    if left:
        raise SystemExit(f"{folder}: {left}")
    return model.eval()(input_ids=ids, pixel_values=pixels).logits


def original(folder, case, ids, pixels, checkout):
    from reference_model import load_reference

    model = load_reference(checkout, folder)
    model.img_context_token_id = case["imageTokenId"]
    flags = torch.ones(pixels.shape[0], 1, dtype=torch.long)
    return model(
        pixel_values=pixels, input_ids=ids, attention_mask=torch.ones_like(ids), image_flags=flags, return_dict=True
    ).logits


parser = argparse.ArgumentParser()
parser.add_argument("--reference")
parser.add_argument("folders", nargs="+", type=pathlib.Path)
arguments = parser.parse_args()
for path in arguments.folders:
    case = json.loads((path / "input.json").read_text())
    expected = load_file(path / "expected.safetensors")
    ids = torch.tensor([case["ids"]])
    inputs = (str(path / "model"), case, ids, expected["pixel_values"])
    with torch.no_grad():
        if case["layout"] == "original":
            code = "the reference's InternVLChatModel"
            logits = original(*inputs, arguments.reference)
        else:
            code = f"transformers {transformers.__version__}"
            logits = hugging_face(*inputs)
    difference = (logits[0] - expected["logits"]).abs().max().item()
    print(json.dumps({"name": path.name, "code": code, "difference": difference}), flush=True)
