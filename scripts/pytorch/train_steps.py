"""Compares the losses of senet's training steps with PyTorch's on the same images and weights: train_steps.py --help.

senet takes a first step on a batch of random images, from weights that it draws. From that checkpoint, momentum
included, senet and PyTorch each go on for STEPS steps on the same batch. The data set is one batch, so the order of images does
not matter, and a step is an epoch, whose loss metrics.jsonl has. Exits 1 if a loss is further off than the tolerance.
"""

import argparse
import gzip
import json
import pathlib
import struct
import subprocess
import sys
import tempfile

import numpy
import torch
from networks import build
from safetensors.torch import load_file

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SIDE, CLASSES, MEAN, STD = 28, 10, 0.286, 0.353
LR, MOMENTUM, DECAY, SMOOTHING = 0.001, 0.9, 5e-4, 0.1
# Relative; losses drift apart as every step builds on the last one's rounding.
TOLERANCE = {"float32": 1e-3, "tf32": 1e-2, "bf16": 5e-2}


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", default="seresnet50")
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--steps", type=int, default=20)
    p.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    p.add_argument("--precision", default="float32", choices=list(TOLERANCE))
    return p.parse_args()


def write_images(folder, batch):
    """Writes a data set in Fashion-MNIST's format whose training images are one batch, and returns that."""
    r = numpy.random.default_rng(5)
    pixels = {split: r.integers(0, 256, (n, SIDE, SIDE), dtype=numpy.uint8) for split, n in (("train", batch), ("t10k", 8))}
    labels = {split: r.integers(0, CLASSES, len(x), dtype=numpy.uint8) for split, x in pixels.items()}
    for split, x in pixels.items():
        with gzip.open(folder / f"{split}-images-idx3-ubyte.gz", "wb") as f:
            f.write(struct.pack(">4i", 0x803, *x.shape) + x.tobytes())
        with gzip.open(folder / f"{split}-labels-idx1-ubyte.gz", "wb") as f:
            f.write(struct.pack(">2i", 0x801, len(x)) + labels[split].tobytes())
    return pixels["train"], labels["train"]


def senet_train(a, data, out, epochs, *more):
    """Runs senet and returns the loss of each epoch, that is, of each step."""
    settings = {
        "model.name": a.model, "model.in_channels": 1, "model.classes": CLASSES, "data.dir": data, "data.image_size": SIDE,
        "data.mean": f"[{MEAN}]", "data.std": f"[{STD}]", "train.epochs": epochs, "train.batch_size": a.batch, "train.lr": LR,
        "train.min_lr": LR, "train.momentum": MOMENTUM, "train.weight_decay": DECAY, "train.label_smoothing": SMOOTHING,
        "eval.batch_size": 8, "output.dir": out, "output.keep_checkpoints": 0, "output.tensorboard": "false",
    }
    config = out.with_suffix(".yaml")
    config.write_text(f"model: {{name: {a.model}}}\n")
    command = [ROOT / "bin" / "senet", "train", "--config", config, "--device", a.device, *more]
    if a.device == "cuda":
        command += ["--precision", a.precision]
    for key, value in settings.items():
        command += ["--set", f"{key}={value}"]
    subprocess.run([str(c) for c in command], check=True, stdout=sys.stderr)
    events = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [e["train.loss"] for e in events if e["event"] == "epoch"]


def torch_train(a, checkpoint, pixels, labels):
    """Goes on from the checkpoint and returns the loss of each step."""
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = a.precision != "float32"
    model, source = build(a.model, CLASSES, 1)
    print(f"PyTorch {torch.__version__}, {source}", file=sys.stderr)
    missing, unexpected = model.load_state_dict(load_file(checkpoint / "model.safetensors"), strict=False)
    if unexpected or not all(name.endswith("num_batches_tracked") for name in missing):
        sys.exit(f"train_steps: {checkpoint} lacks {missing} and has {unexpected}")
    model.to(a.device, memory_format=torch.channels_last).train()
    momenta = load_file(checkpoint / "optimizer.safetensors", device=a.device)
    named = list(model.named_parameters())
    optimizer = torch.optim.SGD([
        {"params": [p for _, p in named if p.ndim > 1], "weight_decay": DECAY},
        {"params": [p for _, p in named if p.ndim == 1], "weight_decay": 0},
    ], lr=LR, momentum=MOMENTUM)
    for name, p in named:
        optimizer.state[p]["momentum_buffer"] = momenta.pop(f"{name}.momentum").view_as(p)
    if momenta:
        sys.exit(f"train_steps: PyTorch has no parameters for {list(momenta)}")
    x = ((torch.from_numpy(pixels).float() / 255 - MEAN) / STD)[:, None].to(a.device, memory_format=torch.channels_last)
    y = torch.from_numpy(labels).long().to(a.device)
    losses = []
    for _ in range(a.steps):
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(a.device, torch.bfloat16, enabled=a.precision == "bf16"):
            loss = torch.nn.functional.cross_entropy(model(x), y, label_smoothing=SMOOTHING)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def main():
    a = arguments()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        pixels, labels = write_images(folder, a.batch)
        senet_train(a, folder, folder / "first", 1)
        checkpoint = folder / "first" / "epoch-0001"
        ours = senet_train(a, folder, folder / "then", 1 + a.steps, "--resume", checkpoint)
        theirs = torch_train(a, checkpoint, pixels, labels)
    if len(ours) != a.steps:
        sys.exit(f"train_steps: senet reported {len(ours)} steps, want {a.steps}")
    off = [abs(x - y) / abs(y) for x, y in zip(ours, theirs)]
    print("step      senet    PyTorch   relative difference")
    for step, (x, y, d) in enumerate(zip(ours, theirs, off), 2):
        print(f"{step:4} {x:10.6f} {y:10.6f}   {d:.1e}")
    passed = all(d <= TOLERANCE[a.precision] for d in off)  # false where a loss is not a number
    print(f"{a.model}, batch {a.batch}, {a.precision} on {a.device}: at most {max(off):.1e} apart, allowed {TOLERANCE[a.precision]:.0e}:",
          "ok" if passed else "FAILED")
    sys.exit(not passed)


main()
