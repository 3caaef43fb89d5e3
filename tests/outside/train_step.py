"""A stage-3 step of SPEED-Q at InternVL3's shapes in PyTorch, beside `speedq bench train`.

Teacher's forward pass, student with 2-bit fake-quantized linears (bilevel scales, straight-through estimator),
cross-entropy and distillation at the answer tokens, backward, clipping, AdamW. Plain torch.nn, random weights.
Prints a JSON line for each mode and for square matrix products.

    python3 train_step.py --size 1b --batch 1 --length 512 --answers 128 --mode float32 --mode tf32 --mode bf16
"""

import argparse
import json
import statistics
import time

import torch
from torch import nn
from torch.nn import functional as F

SIZES = {
    "1b": dict(hidden=896, layers=24, heads=14, kv=2, head_dim=64, inter=4864, vocab=151_674),
    "2b": dict(hidden=1536, layers=28, heads=12, kv=2, head_dim=128, inter=8960, vocab=151_674),
    "pico": dict(hidden=256, layers=6, heads=4, kv=2, head_dim=64, inter=640, vocab=1536),
}
VISION = {"1b": (1024, 256), "2b": (1024, 256), "pico": (256, 36)}
GROUP = 16
SCALE_GROUP = 16


def fake_quantize(weight: torch.Tensor) -> torch.Tensor:
    """2 bits in groups of 16 columns; 4-bit scales with an fp16 step and minimum over 16 rows; straight through."""
    with torch.no_grad():
        rows, columns = weight.shape
        groups = weight.view(rows, columns // GROUP, GROUP)
        low = groups.amin(-1).clamp(max=0)
        high = groups.amax(-1).clamp(min=0)
        blocks = ((high - low) / 3).clamp(min=1e-5).view(rows // SCALE_GROUP, SCALE_GROUP, -1)
        first, last = blocks.amin(1, keepdim=True), blocks.amax(1, keepdim=True)
        step = ((last - first) / 15).half().float()
        minimum = first.half().float()
        code = ((blocks - minimum) / torch.where(step == 0, 1.0, step)).round().clamp(0, 15)
        scale = (step * code + minimum).view(rows, -1, 1)
        zero = (-low.unsqueeze(-1) / scale).round().clamp(0, 3)
        inside = (groups >= -scale * zero) & (groups <= scale * (3 - zero))
        values = ((groups / scale + zero).round().clamp(0, 3) - zero) * scale
        values, inside = values.view_as(weight), inside.view_as(weight)
    return Straight.apply(weight, values, inside)


class Straight(torch.autograd.Function):
    @staticmethod
    def forward(ctx, weight, values, inside):
        ctx.save_for_backward(inside)
        return values

    @staticmethod
    def backward(ctx, gradient):
        (inside,) = ctx.saved_tensors
        return gradient * inside, None, None


class Linear(nn.Linear):
    quantized = False

    def forward(self, x):
        return F.linear(x, fake_quantize(self.weight) if self.quantized else self.weight, self.bias)


class RMSNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.weight


def rotate(x, cos, sin):
    low, high = x.chunk(2, -1)
    return torch.cat([low * cos - high * sin, high * cos + low * sin], -1)


class Layer(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.heads, self.kv, self.head_dim = s["heads"], s["kv"], s["head_dim"]
        width, narrow = self.heads * self.head_dim, self.kv * self.head_dim
        self.norm1, self.norm2 = RMSNorm(s["hidden"]), RMSNorm(s["hidden"])
        self.q, self.k = Linear(s["hidden"], width), Linear(s["hidden"], narrow)
        self.v, self.o = Linear(s["hidden"], narrow), Linear(width, s["hidden"], bias=False)
        self.gate, self.up = Linear(s["hidden"], s["inter"], bias=False), Linear(s["hidden"], s["inter"], bias=False)
        self.down = Linear(s["inter"], s["hidden"], bias=False)

    def forward(self, x, cos, sin):
        batch, length, _ = x.shape
        y = self.norm1(x)
        split = lambda z, n: z.view(batch, length, n, self.head_dim).transpose(1, 2)
        q, k, v = split(self.q(y), self.heads), split(self.k(y), self.kv), split(self.v(y), self.kv)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        k, v = (z.repeat_interleave(self.heads // self.kv, 1) for z in (k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.o(y.transpose(1, 2).reshape(batch, length, -1))
        y = self.norm2(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


class Model(nn.Module):
    def __init__(self, s, vision):
        super().__init__()
        self.embedding = nn.Embedding(s["vocab"], s["hidden"])
        width = 4 * vision
        self.projector = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, s["hidden"]), nn.GELU(), nn.Linear(s["hidden"], s["hidden"])
        )
        self.layers = nn.ModuleList(Layer(s) for _ in range(s["layers"]))
        self.norm = RMSNorm(s["hidden"])
        self.head = nn.Linear(s["hidden"], s["vocab"], bias=False)

    def forward(self, ids, features, selected, cos, sin):
        x = self.embedding(ids)
        pictured = self.projector(features)
        x = torch.cat([pictured.to(x.dtype), x[:, pictured.shape[1] :]], 1)
        for layer in self.layers:
            x = layer(x, cos, sin)
        return self.head(self.norm(x.flatten(0, 1)[selected]))


def losses(student, teacher, targets, gamma=0.5):
    student, teacher = student.float(), teacher.float()
    ce = F.cross_entropy(student, targets, label_smoothing=0.1)
    s, t = student.log_softmax(-1), teacher.log_softmax(-1)
    reverse, forward = (s.exp() * (s - t)).sum(-1), (t.exp() * (t - s)).sum(-1)
    return ce + (gamma * reverse + (1 - gamma) * forward).mean()


def measure(options, mode, device):
    s, (vision, tile) = SIZES[options.size], VISION[options.size]
    s = {**s, "layers": min(options.layers or s["layers"], s["layers"])}
    torch.backends.cuda.matmul.allow_tf32 = mode == "tf32"
    torch.manual_seed(1)
    with torch.device(device):
        student, teacher = Model(s, vision), Model(s, vision)
        rows, answers = options.batch * options.length, options.batch * options.answers
        ids = torch.randint(s["vocab"], (options.batch, options.length))
        features = torch.randn(options.batch, tile, 4 * vision)
        selected, targets = torch.randint(rows, (answers,)), torch.randint(s["vocab"], (answers,))
        angles = torch.arange(options.length)[:, None] * 1e6 ** (-torch.arange(s["head_dim"] // 2) / (s["head_dim"] / 2))
        cos, sin = angles.cos(), angles.sin()
    for model, trains in ((student, True), (teacher, False)):
        model.requires_grad_(trains)
    for table in (student.embedding, student.head):
        table.requires_grad_(False)
    for name, module in student.layers.named_modules():
        if isinstance(module, Linear):
            module.quantized = True
    trained = [p for p in student.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, fused=device == "cuda")
    sync = torch.cuda.synchronize if device == "cuda" else lambda: None
    autocast = lambda: torch.autocast(device, torch.bfloat16, enabled=mode == "bf16")
    inputs = (ids, features, selected, cos, sin)

    def step():
        with torch.no_grad(), autocast():
            wanted = teacher(*inputs)
        with autocast():
            loss = losses(student(*inputs), wanted, targets)
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    times = []
    for i in range(-2, options.repetitions):
        sync()
        start = time.perf_counter()
        loss = step()
        sync()
        if i >= 0:
            times.append(time.perf_counter() - start)
    seconds = statistics.median(times)
    count = lambda module: sum(p.numel() for p in module.parameters() if p.dim() > 1)
    operations = (
        8 * (count(student.layers) * rows + count(student.projector) * options.batch * tile)
        + 6 * s["hidden"] * s["vocab"] * answers
    )
    return {
        "mode": mode,
        "size": options.size,
        "layers": s["layers"],
        "batch": options.batch,
        "length": options.length,
        "answers": options.answers,
        "stepMilliseconds": 1000 * seconds,
        "tokensPerSecond": rows / seconds,
        "stepGflops": operations / seconds / 1e9,
        "operations": operations,
        "squareGflops": square(options.square, mode, device, sync),
        "loss": loss,
    }


def square(width, mode, device, sync):
    a, b = (torch.randn(width, width, device=device) for _ in range(2))
    if mode == "bf16":
        a, b = a.bfloat16(), b.bfloat16()
    best = float("inf")
    for _ in range(5):
        sync()
        start = time.perf_counter()
        a @ b
        sync()
        best = min(best, time.perf_counter() - start)
    return 2 * width**3 / best / 1e9


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="1b")
    parser.add_argument("--layers", type=int, help="of the language model; all by default")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--answers", type=int, default=128, help="supervised tokens of a sequence")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--square", type=int, default=8192, help="width of the square matrices")
    parser.add_argument("--mode", action="append", choices=["float32", "tf32", "bf16"])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    name = torch.cuda.get_device_name() if options.device == "cuda" else "cpu"
    for mode in options.mode or ["float32", "tf32", "bf16"]:
        print(json.dumps({"device": name, "torch": torch.__version__, **measure(options, mode, options.device)}), flush=True)


if __name__ == "__main__":
    main()
