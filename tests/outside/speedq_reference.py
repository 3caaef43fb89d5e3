"""Trains the reference implementation's own modules on given batches and prints every loss (speedq-reference.ts)."""

import argparse
import copy
import json
import pathlib
import sys
import time

import torch
from reference_model import load_reference
from safetensors.torch import load_file, save_file
from transformers import get_cosine_schedule_with_warmup

parser = argparse.ArgumentParser()
parser.add_argument("--reference", required=True)
parser.add_argument("--folder", required=True, type=pathlib.Path)
for name in ["rate", "warmup", "decay", "gamma"]:
    parser.add_argument(f"--{name}", required=True, type=float)
arguments = parser.parse_args()
torch.set_num_threads(1)

teacher = load_reference(arguments.reference, arguments.folder / "teacher")
from internvl.train.multi_trainer import KDTrainer  # noqa: E402  on the path now
from quantization.bilevel_quantizer import BilevelQuantizer  # noqa: E402
from quantization.qlinear import convertModelToQuant  # noqa: E402
from quantization.quant_groups import Quantizer  # noqa: E402
from transformers.trainer_pt_utils import LabelSmoother  # noqa: E402

GROUP = 16
data = json.loads((arguments.folder / "batches.json").read_text())
pictures = load_file(arguments.folder / "pictures.safetensors")
teacher.img_context_token_id = data["imageToken"]
student = copy.deepcopy(teacher)


def rounded(weight):
    """To nearest, by its quantizer as its linears configure it."""
    quantizer = BilevelQuantizer()
    quantizer.configure(
        bits=2, perchannel=True, sym=False, round_zero=True,
        qq_scale_bits=4, qq_scale_sym=False, qq_zero_bits=2, qq_groupsize=GROUP, qq_zero_sym=None,
    )  # fmt: skip
    rows = weight.shape[0]
    grouped = weight.reshape(rows, -1, GROUP).permute(1, 0, 2).reshape(-1, GROUP)
    quantizer.find_params(grouped, weight=True)
    values = quantizer.quantize_dequantize(grouped)
    return values.reshape(-1, rows, GROUP).permute(1, 0, 2).reshape(weight.shape)


# The frozen encoder is quantized elsewhere there: to nearest here.
for name, module in student.vision_model.named_modules():
    if isinstance(module, torch.nn.Linear):
        module.weight.data = rounded(module.weight.data)
for parameter in student.vision_model.parameters():
    parameter.requires_grad = False


def quantize_table(module):
    """As its scripts do, but in float32: there tables pass through float16."""
    quantizer = Quantizer()
    quantizer.configure(4, perchannel=True, sym=True)
    weight = module.weight.data.reshape(-1, 32)
    quantizer.find_params(weight, weight=True)
    module.weight.data = quantizer.quantize_dequantize(weight).reshape(module.weight.shape)


tables = [student.language_model.model.embed_tokens, student.language_model.lm_head]
for module in tables:
    quantize_table(module)
    module.weight.requires_grad = False
keep = ["embed_tokens", "lm_head", "qkv", "proj", "fc1", "fc2", "1", "3"]
out, sys.stdout = sys.stdout, sys.stderr
student, _ = convertModelToQuant(
    student, keep, compute_dtype=torch.float32, quant_type="int2-bilevel", q_group_size=GROUP, qq_group_size=GROUP
)
sys.stdout = out

trained = [parameter for parameter in student.parameters() if parameter.requires_grad]
optimizer = torch.optim.AdamW(
    [
        {"params": [one for one in trained if one.dim() > 1], "weight_decay": arguments.decay},
        {"params": [one for one in trained if one.dim() == 1], "weight_decay": 0.0},
    ],
    lr=arguments.rate,
)
steps = len(data["batches"])
schedule = get_cosine_schedule_with_warmup(optimizer, -(-steps * arguments.warmup // 1), steps)
trainer = KDTrainer.__new__(KDTrainer)
trainer.teacher_model = teacher
trainer.mean_prob = arguments.gamma
trainer.label_smoother = LabelSmoother(epsilon=0.1)
student.train()


def inputs(batch):
    length = batch["length"]
    ids = torch.zeros(len(batch["items"]), length, dtype=torch.long)
    labels = torch.full_like(ids, -100)
    mask = torch.zeros_like(ids)
    tiles, flags = [], []
    for row, item in enumerate(batch["items"]):
        count = len(item["ids"])
        ids[row, :count] = torch.tensor(item["ids"])
        labels[row, :count] = torch.tensor(item["labels"])
        mask[row, :count] = 1
        shown = [pictures[str(picture)] for picture in item["pictures"]]
        # As its data set does for conversations without one.
        flags += [1] * sum(len(one) for one in shown) if shown else [0]
        tiles += shown or [torch.zeros_like(next(iter(pictures.values()))[:1])]
    return {
        "pixel_values": torch.cat(tiles),
        "input_ids": ids,
        "attention_mask": mask,
        "image_flags": torch.tensor(flags).unsqueeze(-1),
        "labels": labels,
        "return_dict": True,
    }


for batch in data["batches"]:
    start = time.perf_counter()
    loss = trainer.compute_loss(student, inputs(batch))
    loss.backward()
    torch.nn.utils.clip_grad_norm_(trained, 1.0)
    optimizer.step()
    schedule.step()
    optimizer.zero_grad()
    print(json.dumps({"loss": loss.item(), "seconds": time.perf_counter() - start}), flush=True)

# Its export does it again.
for module in tables:
    quantize_table(module)
target = arguments.folder / "theirs"
target.mkdir()
state = {key: value for key, value in student.state_dict().items() if "weight_quantizer" not in key}
with torch.no_grad():
    for name, module in student.language_model.named_modules():
        if hasattr(module, "weight_quantizer"):
            state[f"language_model.{name}.weight"] = rounded(module.weight)
save_file({key: value.detach().contiguous().clone() for key, value in state.items()}, target / "model.safetensors")
