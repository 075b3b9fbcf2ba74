"""Compares senet with PyTorch on the same cores: cpu_compare.py train|infer|memory MODEL BATCH SIZE CHANNELS CLASSES [ROUNDS [STEPS]].

MODEL is a network without SE whose name with "se" before it has SE. Every round runs senet, PyTorch eager and
torch.compile one after the other, each in a process of its own that measures STEPS steps of both networks in turn
after a warm-up; inference of timm's networks is run by onnxruntime too, on what `senet export --fold` writes. PyTorch runs timm's
models (for *_cifar: the plain PyTorch definition of scripts/fixtures), channels last, SGD with momentum. Prints the medians over all rounds, the speed relative to PyTorch, and what SE costs
each contender, with the quartiles of the ratios; the log is meant to be kept under bench/. `memory` prints the highest resident memory of processes
that train the network with SE alone.
"""

import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

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
    print(json.dumps(timed(contenders, steps)))


def timed(contenders, steps):
    """Seconds of each step of each contender, run in turn."""
    seconds = [[] for _ in contenders]
    for step in range(WARMUP + steps):
        for i, run in enumerate(contenders):
            start = time.perf_counter()
            run()
            if step >= WARMUP:
                seconds[i].append(time.perf_counter() - start)
    return seconds


def export(name, classes, channels, folder):
    """Writes folder/NAME.onnx of a timm network with random weights."""
    from safetensors.torch import save_file

    senet, weights, run = ROOT / "bin" / "senet", folder / f"{name}.safetensors", folder / name
    save_file(build(name, classes, channels).state_dict(), weights)
    for command in ([senet, "import", weights, "--model", name, "--out", run],
                    [senet, "export", "--checkpoint", run / "best", "--out", folder / f"{name}.onnx", "--fold"]):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def onnx_steps(names, batch, size, channels, steps, folder):
    """Prints the seconds of each step of folder/NAME.onnx: what the process of onnxruntime does."""
    sys.path.insert(0, str(ROOT / ".deps" / "onnx"))
    import numpy
    import onnxruntime

    x = numpy.random.default_rng(0).standard_normal((batch, channels, size, size), dtype=numpy.float32)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = os.cpu_count()
    sessions = [onnxruntime.InferenceSession(f"{folder}/{name}.onnx", options, providers=["CPUExecutionProvider"]) for name in names]
    print(json.dumps(timed([lambda s=s: s.run(None, {"input": x}) for s in sessions], steps)))


def senet_command(what, name, batch, size, channels, classes, steps):
    command = [ROOT / "bin" / "senet", "bench", what, "--device", "cpu", "--json", "--batch", batch, "--size", size, "--channels", channels,
               "--classes", classes, "--steps", steps, "--warmup", WARMUP]
    if name.endswith("_cifar"):
        command += ["--hidden", 8]
    return [str(c) for c in command + ["--model", name]]


def senet_steps(what, names, *numbers):
    command = senet_command(what, names[0], *numbers) + ["--against", names[1]]
    report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return report["device"], [n["step_seconds"] for n in report["networks"]]


def torch_command(mode, what, names, *numbers):
    return [str(c) for c in (sys.executable, __file__, "torch", mode, what, ",".join(names), *numbers)]


def peak(command):
    """Highest resident memory of a process in MiB."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command}: status {status}")
    return usage.ru_maxrss / 1024


def memory(name, *numbers):
    ours = peak(senet_command("train", name, *numbers))
    print(f"training {name}, batch, size, channels, classes, steps {numbers}: highest resident memory")
    print(f"  senet    {ours:7.0f} MiB")
    for mode in ("eager", "compile"):
        theirs = peak(torch_command(mode, "train", [name], *numbers))
        print(f"  {mode:8} {theirs:7.0f} MiB   senet takes {ours / theirs:.3f} of it")


def quartiles(xs):
    low, _, high = statistics.quantiles(xs, n=4, method="inclusive")
    return f"{statistics.median(xs):.3f} ({low:.3f} to {high:.3f})"


def main():
    if sys.argv[1] == "torch":
        mode, what, names, *numbers = sys.argv[2:]
        torch_steps(mode, what, names.split(","), *[int(n) for n in numbers])
        return
    if sys.argv[1] == "onnx":
        folder, plain, batch, size, channels, steps = sys.argv[2:]
        onnx_steps([plain, "se" + plain], int(batch), int(size), int(channels), int(steps), folder)
        return
    what, plain = sys.argv[1:3]
    names = [plain, "se" + plain]
    batch, size, channels, classes = [int(n) for n in sys.argv[3:7]]
    if what == "memory":
        memory("se" + plain, batch, size, channels, classes, 3)
        return
    rounds = int(sys.argv[7]) if len(sys.argv) > 7 else 5
    steps = int(sys.argv[8]) if len(sys.argv) > 8 else 3
    seconds = {name: [[], []] for name in ("senet", "eager", "compile")}
    device = ""
    with tempfile.TemporaryDirectory() as folder:
        if what == "infer" and not plain.endswith("_cifar"):
            seconds["onnx"] = [[], []]
            for name in names:
                export(name, classes, channels, pathlib.Path(folder))
        for _ in range(rounds):
            for name in seconds:
                if name == "senet":
                    device, found = senet_steps(what, names, batch, size, channels, classes, steps)
                else:
                    command = torch_command(name, what, names, batch, size, channels, classes, steps)
                    if name == "onnx":
                        command = [str(c) for c in (sys.executable, __file__, "onnx", folder, plain, batch, size, channels, steps)]
                    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
                for to, xs in zip(seconds[name], found):
                    to.append(xs)
    import timm
    import torch

    print(f"{what}, batch {batch}, {channels} channels of {size}x{size}, {classes} classes, float32; {rounds} rounds of {steps} steps")
    print(f"senet on {device}; PyTorch {torch.__version__}, timm {timm.__version__}, Python {platform.python_version()}, {os.cpu_count()} cores")
    medians = {name: [[statistics.median(xs) for xs in rounds_of] for rounds_of in both] for name, both in seconds.items()}
    for i, network in enumerate(names):
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
