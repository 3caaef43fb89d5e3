"""Trains and exports tiny models by the reference implementation's own code: the fixtures of reference-export.test.ts.

    python tests/outside/make_reference_export.py --reference CHECKOUT --out tests/goldens/reference-export

CHECKOUT is antgroup/SPEED-Q. Its quantized linears train for a few steps on random data, a checkpoint is saved as its
trainer saves one, and its `save_fake_quant.py` quantizes that, in bfloat16 as it does. Nothing of its code is kept,
only the numbers that come out.
"""

import argparse
import json
import pathlib
import shutil
import sys

import torch
from reference_model import import_reference
from safetensors.torch import load_file, save_file

IMAGE_TOKEN = 63
TILES = 1
TOKENS_PER_TILE = 4
STEPS = 6

CASES = {
    # As its scripts call it: the vision encoder is quantized elsewhere.
    "2bit": {"bits": 2, "group": 16, "scale_group": 16, "vision": False, "seed": 1},
    "4bit": {"bits": 4, "group": 32, "scale_group": 128, "vision": False, "seed": 2},
    "2bit-vision": {"bits": 2, "group": 16, "scale_group": 16, "vision": True, "seed": 3},
}


def config(scale_group):
    # Row counts are multiples of the scale groups.
    size = 64 if scale_group < 128 else 128
    return {
        "architectures": ["InternVLChatModel"],
        "model_type": "internvl_chat",
        "downsample_ratio": 0.5,
        "ps_version": "v2",
        "select_layer": -1,
        "template": "internvl2_5",
        "force_image_size": 56,
        "dynamic_image_size": True,
        "use_thumbnail": True,
        "min_dynamic_patch": 1,
        "max_dynamic_patch": 12,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "llm_config": {
            "architectures": ["Qwen2ForCausalLM"],
            "model_type": "qwen2",
            "hidden_size": size,
            "intermediate_size": 128,
            "num_hidden_layers": 1,
            "num_attention_heads": 4,
            "num_key_value_heads": 4 if scale_group == 128 else 2,
            "vocab_size": 64,
            "max_position_embeddings": 512,
            "rms_norm_eps": 1e-06,
            "rope_theta": 1000000.0,
            "hidden_act": "silu",
            "bos_token_id": 60,
            "eos_token_id": 61,
            "tie_word_embeddings": False,
        },
        "vision_config": {
            "architectures": ["InternVisionModel"],
            "model_type": "intern_vit_6b",
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": 1,
            "num_attention_heads": 4,
            "image_size": 56,
            "patch_size": 14,
            "num_channels": 3,
            "qkv_bias": True,
            "qk_normalization": False,
            "norm_type": "layer_norm",
            "layer_norm_eps": 1e-06,
            "hidden_act": "gelu",
            "attention_dropout": 0.0,
            "drop_path_rate": 0.0,
            "dropout": 0.0,
            "initializer_factor": 0.1,
            "initializer_range": 0.02,
        },
    }


def quantize_tables(model, quantizer_class):
    """What its fine-tuning does to embedding and head before it trains."""
    for module in (model.language_model.model.embed_tokens, model.language_model.lm_head):
        quantizer = quantizer_class()
        quantizer.configure(4, perchannel=True, sym=True)
        weight = module.weight.data.to(torch.float16).reshape(-1, 32)
        quantizer.find_params(weight, weight=True)
        module.weight.data = quantizer.quantize_dequantize(weight).reshape(module.weight.shape).to(torch.bfloat16)
        module.weight.requires_grad = False


def train(model, steps):
    """A few optimiser steps on noise: enough that no weight is where it was."""
    model.img_context_token_id = IMAGE_TOKEN
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    for _ in range(steps):
        text = torch.randint(0, 60, (1, 12))
        ids = torch.cat([torch.full((1, TILES * TOKENS_PER_TILE), IMAGE_TOKEN), text], dim=1)
        loss = model(
            pixel_values=torch.randn(TILES, 3, 56, 56, dtype=torch.bfloat16),
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            image_flags=torch.ones(TILES, 1, dtype=torch.long),
            labels=ids,
            return_dict=True,
        ).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return loss.item()


def make(name, case, out, classes):
    config_class, model_class = classes
    from quantization.qlinear import convertModelToQuant
    from quantization.quant_groups import Quantizer
    from save_fake_quant import pseudo_quantize_model_weight

    torch.manual_seed(case["seed"])
    folder = out / name
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "checkpoint").mkdir(parents=True)
    settings = config(case["scale_group"])
    (folder / "checkpoint" / "config.json").write_text(json.dumps(settings, indent=1) + "\n")
    (folder / "checkpoint" / "added_tokens.json").write_text(json.dumps({"<IMG_CONTEXT>": IMAGE_TOKEN}) + "\n")

    loaded = config_class.from_pretrained(folder / "checkpoint")
    loaded.vision_config.use_flash_attn = False
    model = model_class(loaded).to(torch.bfloat16)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data = torch.randn_like(parameter) * 0.05
    quantize_tables(model, Quantizer)
    keep = ["embed_tokens", "lm_head", "1", "3"] + ([] if case["vision"] else ["qkv", "proj", "fc1", "fc2"])
    model, _ = convertModelToQuant(
        model,
        modules_to_not_convert=keep,
        quant_type=f"int{case['bits']}-bilevel",
        q_group_size=case["group"],
        qq_group_size=case["scale_group"],
    )
    loss = train(model, STEPS)
    # Its quantizers' buffers are in the state and so in the checkpoint.
    state = {key: value.detach().clone().contiguous() for key, value in model.state_dict().items()}
    save_file(state, folder / "checkpoint" / "model.safetensors", metadata={"format": "pt"})

    model = model_class(loaded).to(torch.bfloat16)
    left = model.load_state_dict(load_file(folder / "checkpoint" / "model.safetensors"), strict=False)
    assert not left.missing_keys and all("weight_quantizer" in key for key in left.unexpected_keys), left
    codes = folder / "quant_details"
    codes.mkdir()
    pseudo_quantize_model_weight(
        model,
        w_bit=case["bits"],
        q_config={"zero_point": True, "q_group_size": case["group"]},
        quant_type=f"int{case['bits']}-bilevel",
        save_path=str(codes),
        quant_vit=case["vision"],
        quant_llm=True,
        qq_groupsize=case["scale_group"],
    )
    (codes / "not_quantized_weights.pt").unlink()  # Large, and in the checkpoint already.
    # The same codes and parameters as torch reads them, and the weights they stand for.
    expected = {}
    for file in sorted(path for path in codes.rglob("*") if path.is_file()):
        for key, value in torch.load(file, weights_only=True).items():
            if isinstance(value, torch.Tensor):
                expected[f"{file.relative_to(codes).as_posix()}:{key}"] = value.contiguous()
    quantized = ["embed_tokens.weight", "lm_head.weight"]
    quantized += [f"{n}_proj.weight" for n in ("q", "k", "v", "o", "gate", "up", "down")]
    if case["vision"]:
        quantized += ["attn.qkv.weight", "attn.proj.weight", "fc1.weight", "fc2.weight"]
    for key, value in model.state_dict().items():
        if key.endswith(tuple(quantized)):
            expected[key] = value.to(torch.float16 if value.dtype == torch.float32 else value.dtype).contiguous()
    save_file(expected, folder / "expected.safetensors")
    print(f"{name}: {STEPS} steps, loss {loss:.3f}, {len(expected)} tensors", file=sys.stderr)


parser = argparse.ArgumentParser()
parser.add_argument("--reference", required=True)
parser.add_argument("--out", required=True, type=pathlib.Path)
arguments = parser.parse_args()
classes = import_reference(arguments.reference)
package = sys.modules["internvl.model.internvl_chat"]
package.InternVLChatConfig, package.InternVLChatModel = classes
for name, case in CASES.items():
    make(name, case, arguments.out, classes)
