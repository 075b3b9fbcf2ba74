"""Compares how fast images are decoded and resized: data_compare.py TEST_BINARY [ROUNDS].

The corpus has 64 JPEGs of 500x375 or 375x500 pixels, 4:2:0, quality 90 to 95, about 95 KB each: Fashion-MNIST images grown to that size
and coloured, under noise whose spectrum falls as a photograph's. Each is shown through 4 boxes as torchvision's
RandomResizedCrop draws them, resized bilinearly with antialiasing to 224x224. One thread; every round runs all
contenders one after the other, each in a process of its own that takes the median of 5 passes over the corpus.

TEST_BINARY is the compiled test of internal/data/picture. pillow-simd takes part if PILLOW_SIMD names a Python that has it.
"""

import gzip
import io
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time

DATASET = "/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz"
IMAGES, BOXES, SIDE, PASSES = 64, 4, 224, 5


def write_corpus(folder):
    import numpy as np
    import torch
    from PIL import Image
    from torchvision.transforms import RandomResizedCrop

    with gzip.open(DATASET) as f:
        clothes = np.frombuffer(f.read(), np.uint8, offset=16).reshape(-1, 28, 28)
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    corpus, sizes = [], []
    for i in range(IMAGES):
        w, h = (375, 500) if i % 4 == 0 else (500, 375)
        picture = np.full((h, w, 3), 40.0)
        for one in rng.choice(clothes, 3):
            grown = Image.fromarray(one).resize((w, h), Image.BICUBIC)
            picture += np.asarray(grown)[..., None] * rng.uniform(0.1, 0.5, 3)
        frequency = np.maximum(np.hypot(np.fft.fftfreq(h)[:, None], np.fft.rfftfreq(w)), 1 / 500)
        noise = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((h, w))) / frequency**0.8, (h, w))
        picture += noise[..., None] * (rng.uniform(8, 28) / noise.std())
        image = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
        name = f"{i:02}.jpg"
        image.save(folder / name, quality=int(rng.integers(90, 96)), subsampling="4:2:0")
        sizes.append((folder / name).stat().st_size)
        for _ in range(BOXES):
            y, x, bh, bw = RandomResizedCrop.get_params(image, (0.08, 1), (3 / 4, 4 / 3))
            corpus.append({"file": name, "box": [x, y, x + bw, y + bh]})
    (folder / "boxes.json").write_text(json.dumps(corpus))
    kb = [size / 1000 for size in sizes]
    return f"{IMAGES} JPEGs of {min(kb):.0f} to {max(kb):.0f} KB, mean {statistics.mean(kb):.0f} KB, {len(corpus)} boxes"


def pillow():
    import PIL
    from PIL import Image, features

    def show(content, box):
        part = Image.open(io.BytesIO(content)).convert("RGB").crop(box)
        return part.resize((SIDE, SIDE), Image.BILINEAR).tobytes()

    return show, f"Pillow {PIL.__version__}, libjpeg-turbo {features.version_feature('libjpeg_turbo')}"


def torchvision():
    import torch
    import torchvision
    from torchvision.io import ImageReadMode, decode_jpeg
    from torchvision.transforms.v2.functional import resize

    torch.set_num_threads(1)

    def show(content, box):
        image = decode_jpeg(content, mode=ImageReadMode.RGB)
        return resize(image[:, box[1] : box[3], box[0] : box[2]], [SIDE, SIDE], antialias=True)

    return show, f"torchvision {torchvision.__version__}, torch {torch.__version__}"


def contend(name, folder):
    """Prints milliseconds per picture and the versions as JSON: what the process of a Python contender does."""
    show, versions = {"pillow": pillow, "pillow-simd": pillow, "torchvision.io": torchvision}[name]()
    corpus = json.loads((folder / "boxes.json").read_text())
    pictures = [((folder / c["file"]).read_bytes(), tuple(c["box"])) for c in corpus]
    if name == "torchvision.io":
        import torch

        pictures = [(torch.frombuffer(bytearray(b), dtype=torch.uint8), box) for b, box in pictures]
    passes = []
    for _ in range(1 + PASSES):  # the first warms up
        start = time.perf_counter()
        for content, box in pictures:
            show(content, box)
        passes.append((time.perf_counter() - start) / len(pictures) * 1e3)
    print(json.dumps([statistics.median(passes[1:]), versions]))


def senet(binary, folder):
    command = [binary, "-test.run=^$", "-test.bench=Corpus", "-test.benchtime=256x", f"-test.count={PASSES}", "-test.cpu=1"]
    environment = {**os.environ, "SENET_CORPUS": str(folder)}
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
    found = {kind: re.findall(rf"Corpus/{kind}\s+\d+\s+([\d.]+) ns/op", out) for kind in ("exact", "fast")}
    return {kind: statistics.median(float(x) for x in ns) / 1e6 for kind, ns in found.items()}


def quartiles(xs):
    low, _, high = statistics.quantiles(xs, n=4, method="inclusive")
    return f"{statistics.median(xs):.3f} ({low:.3f} to {high:.3f})"


def main():
    if sys.argv[1] == "contend":
        contend(sys.argv[2], pathlib.Path(sys.argv[3]))
        return
    binary, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 7
    pythons = {"pillow": sys.executable, "torchvision.io": sys.executable}
    if os.environ.get("PILLOW_SIMD"):
        pythons["pillow-simd"] = os.environ["PILLOW_SIMD"]
    found, versions = {}, {}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        print(write_corpus(folder))
        for _ in range(rounds):
            for kind, ms in senet(binary, folder).items():
                found.setdefault(f"senet, {kind}", []).append(ms)
            for contender, python in pythons.items():
                command = [python, __file__, "contend", contender, name]
                ms, versions[contender] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
                found.setdefault(contender, []).append(ms)
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())[1]
    print(f"{cpu}, one thread, Python {platform.python_version()}; {rounds} rounds: medians and quartiles of ms a picture,")
    print("and of the time relative to senet, exact, in the same round")
    for contender, ms in found.items():
        relative = [a / b for a, b in zip(ms, found["senet, exact"])]
        print(f"  {contender:15} {quartiles(ms)} ms   {quartiles(relative)}   {versions.get(contender, '')}".rstrip())


main()
