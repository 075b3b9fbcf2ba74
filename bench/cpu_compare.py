"""Compares senet with PyTorch on the same cores: cpu_compare.py train|infer MODEL BATCH SIZE CHANNELS CLASSES [ROUNDS [STEPS]].

MODEL is a network without SE whose name with "se" before it has SE. Every round runs senet, PyTorch eager and
torch.compile one after the other, each in a process of its own that measures STEPS steps of both networks in turn
after a warm-up. PyTorch runs timm's models (for *_cifar: the plain PyTorch definition of scripts/fixtures),
channels last, SGD with momentum. Prints the medians over all rounds, the speed relative to PyTorch, and what SE costs
each contender, with the quartiles of the ratios; the log is meant to be kept under bench/.
"""

import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
WARMUP = 2


def build(name, classes, channels):
    if name.endswith("_cifar"):
        sys.path.insert(0, str(ROOT / "scripts" / "fixtures"))
        from make_fixtures import SEResNet20

        return SEResNet20(se=name.startswith("se"))  # grey images, 10 classes
    import timm

    return timm.create_model(name, num_classes=classes, in_chans=channels)


def torch_steps(mode, what, names, batch, size, channels, classes, steps):
    """Prints the seconds of each step of the named networks as JSON: what the process of a PyTorch contender does."""
    import time

    import torch

    torch.manual_seed(0)
    x = torch.randn(batch, channels, size, size).contiguous(memory_format=torch.channels_last)
    y = torch.randint(classes, (batch,))
    contenders = []
    for name in names:
        model = build(name, classes, channels).to(memory_format=torch.channels_last)
        model.train(what == "train")
        run = torch.compile(model) if mode == "compile" else model
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4)

        def train(run=run, optimizer=optimizer):
            optimizer.zero_grad(set_to_none=True)
            loss = torch.nn.functional.cross_entropy(run(x), y)
            loss.backward()
            optimizer.step()
            return loss.item()

        def infer(run=run):
            with torch.inference_mode():
                return run(x)[0, 0].item()

        contenders.append(train if what == "train" else infer)
    seconds = [[] for _ in names]
    for step in range(WARMUP + steps):
        for i, run in enumerate(contenders):
            start = time.perf_counter()
            run()
            if step >= WARMUP:
                seconds[i].append(time.perf_counter() - start)
    print(json.dumps(seconds))


def senet_steps(what, names, batch, size, channels, classes, steps):
    command = [ROOT / "bin" / "senet", "bench", what, "--device", "cpu", "--json", "--batch", batch, "--size", size, "--channels", channels,
               "--classes", classes, "--steps", steps, "--warmup", WARMUP]
    if names[0].endswith("_cifar"):
        command += ["--hidden", 8]
    command += ["--model", names[0], "--against", names[1]]
    report = json.loads(subprocess.run([str(c) for c in command], check=True, stdout=subprocess.PIPE).stdout)
    return report["device"], [n["step_seconds"] for n in report["networks"]]


def quartiles(xs):
    low, _, high = statistics.quantiles(xs, n=4, method="inclusive")
    return f"{statistics.median(xs):.3f} ({low:.3f} to {high:.3f})"


def main():
    if sys.argv[1] == "torch":
        mode, what, plain, *numbers = sys.argv[2:]
        torch_steps(mode, what, [plain, "se" + plain], *[int(n) for n in numbers])
        return
    what, plain = sys.argv[1:3]
    batch, size, channels, classes = [int(n) for n in sys.argv[3:7]]
    rounds = int(sys.argv[7]) if len(sys.argv) > 7 else 5
    steps = int(sys.argv[8]) if len(sys.argv) > 8 else 3
    seconds = {name: [[], []] for name in ("senet", "eager", "compile")}
    device = ""
    for _ in range(rounds):
        for name in seconds:
            if name == "senet":
                device, found = senet_steps(what, [plain, "se" + plain], batch, size, channels, classes, steps)
            else:
                command = [sys.executable, __file__, "torch", name, what, plain, batch, size, channels, classes, steps]
                found = json.loads(subprocess.run([str(c) for c in command], check=True, stdout=subprocess.PIPE).stdout)
            for to, xs in zip(seconds[name], found):
                to.append(xs)
    import timm
    import torch

    print(f"{what}, batch {batch}, {channels} channels of {size}x{size}, {classes} classes, float32; {rounds} rounds of {steps} steps")
    print(f"senet on {device}; PyTorch {torch.__version__}, timm {timm.__version__}, Python {platform.python_version()}, {os.cpu_count()} cores")
    medians = {name: [[statistics.median(xs) for xs in rounds_of] for rounds_of in both] for name, both in seconds.items()}
    for i, network in enumerate([plain, "se" + plain]):
        print(f"{network}:")
        for name, both in medians.items():
            line = f"  {name:8} {batch / statistics.median(both[i]):9.2f} img/s"
            if name != "senet":
                ratios = [theirs / ours for theirs, ours in zip(both[i], medians["senet"][i])]
                line += f"   senet is {quartiles(ratios)} times as fast"
            print(line)
    print("time with SE to time without, step by step:")
    for name, (without, within) in seconds.items():
        ratios = [b / a for xs, ys in zip(without, within) for a, b in zip(xs, ys)]
        print(f"  {name:8} {quartiles(ratios)}")


main()
