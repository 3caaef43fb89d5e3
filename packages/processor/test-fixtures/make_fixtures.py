"""Makes the fixtures of this folder with the reference implementations.

    pip install tokenizers==0.23.2 Pillow==12.3.0 numpy
    python make_fixtures.py

bpe-corpus.txt is an input; everything else here is written by this script.
"""

import base64
import io
import json
import random
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = Path(__file__).parent
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<img>", "</img>", "<IMG_CONTEXT>", "<ref>", "</ref>", "<box>", "</box>"]
PLAIN = ["<tool_call>", "</tool_call>", "<tool_call_more>"]

TEXTS = [
    "",
    " ",
    "\n",
    "  \n \n\t x\n\n\n",
    "Hello world",
    "It's we'll they'd I'M YOU'RE can'T 'ſ o'clock '' 'x",
    "2024年12月31日，共 1234567 个。",
    "图片里有一只红色的猫，在左上角。你是谁？",
    "🐶🐱 family: 👨‍👩‍👧‍👦 flag 🇨🇳 tone 👍🏽",
    "e\u0301 \u1112\u1161\u11ab \u212b \u2126 \u226e",
    "tabs\tand  two   three    spaces ",
    "trailing spaces   \n  next",
    "\u0085a\u00a0b\ufeffc\u2028d\u3000e\u200bf",
    "\ufeffstart",
    "CRLF\r\nlines\r\rand\n\r",
    "x" * 100,
    " " * 70 + "end",
    "!!!???...\n\nnew",
    "snake_case kebab-case camelCase 3.14e-10 a+b=c",
    "العربية עברית हिन्दी ไทย ελληνικά кириллица",
    "٣٤ Ⅷ ½ ² 五 ①",
    "\x00\x01\x7f nul",
    "\U00010400\U0001d7d8 \U0002070e",
    "What is in the <img> tag? <|im_end|>\n<|im_start|>system",
    "<|im_start|>user\n<img><IMG_CONTEXT><IMG_CONTEXT></img>\nhow many?<|im_end|>\n",
    "<ref>the red cat</ref><box>[[1, 2, 30, 400]]</box>",
    "call <tool_call>x</tool_call> or <tool_call_more> or <tool_cal",
    "<|im_end|><|im_end|> <|im_end |>",
]


def qwen2(tokenizer: Tokenizer) -> Tokenizer:
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False),
        ]
    )
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def make_tokenizer() -> None:
    corpus = (HERE / "bpe-corpus.txt").read_text("utf-8").split("\n")
    tokenizer = qwen2(Tokenizer(models.BPE()))
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=700, min_frequency=2, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIAL])
    tokenizer.add_tokens([AddedToken(t, special=False, normalized=False) for t in PLAIN])
    tokenizer.save(str(HERE / "tokenizer.json"))
    cases = []
    rng = random.Random(5)
    pool = "abcdeé 　\n\t'sS019.,!-_図🐶ß\u0301日本인" + "ſ\u0085"
    texts = TEXTS + ["".join(rng.choice(pool) for _ in range(rng.randint(1, 60))) for _ in range(60)]
    for text in texts:
        tokenizer.encode_special_tokens = False
        recognised = tokenizer.encode(text, add_special_tokens=False).ids
        tokenizer.encode_special_tokens = True
        plain = tokenizer.encode(text, add_special_tokens=False).ids
        cases.append(
            {
                "text": text,
                "recognised": recognised,
                "plain": plain,
                "decoded": tokenizer.decode(recognised, skip_special_tokens=False),
                "skipped": tokenizer.decode(recognised, skip_special_tokens=True),
            }
        )
    (HERE / "tokenizer-cases.json").write_text(json.dumps(cases, ensure_ascii=True, indent=1) + "\n")


def lcg_pixels(width: int, height: int, seed: int) -> np.ndarray:
    """Pixels the test makes again by itself: x' = 1664525 x + 1013904223 mod 2^32, the top byte of each."""
    state = seed
    out = bytearray(width * height * 3)
    for i in range(len(out)):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        # Saturated runs make the filter overshoot and clamp.
        value = state >> 24
        out[i] = 0 if value < 64 else 255 if value >= 192 else value
    return np.frombuffer(bytes(out), np.uint8).reshape(height, width, 3)


def make_resize() -> None:
    rng = random.Random(11)
    sizes = [(1, 1, 7, 5), (1, 9, 4, 4), (9, 1, 3, 8), (2, 2, 1, 1), (56, 56, 56, 56), (56, 30, 56, 11), (30, 56, 11, 56)]
    sizes += [(300, 200, 28, 28), (173, 500, 56, 14), (3, 3, 40, 40), (400, 2, 5, 30)]
    sizes += [tuple(rng.randint(1, 70) for _ in range(4)) for _ in range(30)]
    cases = []
    for index, (w, h, ow, oh) in enumerate(sizes):
        image = Image.fromarray(lcg_pixels(w, h, index + 1), "RGB")
        resized = image.resize((ow, oh), Image.Resampling.BICUBIC)
        data = base64.b64encode(resized.tobytes()).decode()
        cases.append({"seed": index + 1, "from": [w, h], "to": [ow, oh], "rgb": data})
    (HERE / "resize-cases.json").write_text(json.dumps(cases, indent=1) + "\n")


def make_images() -> None:
    """Small picture files with what Pillow's convert("RGB") gives for them."""
    cases = {}

    def add(name: str, image: Image.Image, oriented: Image.Image | None = None, **options) -> None:
        buffer = io.BytesIO()
        image.save(buffer, format=name.split(".")[1].upper().replace("JPG", "JPEG"), **options)
        rgb = (oriented or Image.open(io.BytesIO(buffer.getvalue()))).convert("RGB")
        cases[name] = {
            "file": base64.b64encode(buffer.getvalue()).decode(),
            "width": rgb.width,
            "height": rgb.height,
            "rgb": base64.b64encode(rgb.tobytes()).decode(),
        }

    rgb = lcg_pixels(13, 7, 99)
    alpha = np.array([0, 1, 64, 128, 200, 254, 255] * 13, np.uint8).reshape(7, 13, 1)
    add("plain.png", Image.fromarray(rgb, "RGB"))
    add("alpha.png", Image.fromarray(np.concatenate([rgb, alpha], 2), "RGBA"))
    add("grey.png", Image.fromarray(rgb[:, :, 0], "L"))
    add("grey-alpha.png", Image.fromarray(np.concatenate([rgb[:, :, :1], alpha], 2), "LA"))
    add("palette.png", Image.fromarray(rgb, "RGB").quantize(16))
    add("lossless.webp", Image.fromarray(rgb, "RGB"), lossless=True)
    add("still.gif", Image.fromarray(rgb, "RGB").quantize(16))
    # A profile with red and green exchanged: a decoder that converts colours would change the numbers.
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = profile.index(b"rXYZ", 128), profile.index(b"gXYZ", 128)
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    add("profile.png", Image.fromarray(rgb, "RGB"), icc_profile=bytes(profile))
    # Four flat quarters survive JPEG; the EXIF orientation turns them.
    quarters = np.zeros((32, 48, 3), np.uint8)
    quarters[:16, :24], quarters[:16, 24:] = (220, 30, 30), (30, 200, 40)
    quarters[16:, :24], quarters[16:, 24:] = (40, 50, 210), (230, 220, 60)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        image = Image.fromarray(quarters, "RGB")
        buffer = io.BytesIO()
        image.save(buffer, format="JPEG", exif=exif, quality=95)
        turned = ImageOps.exif_transpose(Image.open(io.BytesIO(buffer.getvalue())))
        add(f"orientation-{orientation}.jpg", image, turned, exif=exif, quality=95)
    (HERE / "image-cases.json").write_text(json.dumps(cases, indent=1) + "\n")


make_tokenizer()
make_resize()
make_images()
