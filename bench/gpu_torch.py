"""One of PyTorch's contenders in gpu_compare.py: a process that holds a network without SE and one with it.

It is started with one JSON argument, builds and warms up both networks, then prints one JSON line about itself, and for
every line that it reads runs steps of both in turn and prints their seconds. It stays alive between rounds, so that
compiling happens once.

Modes: eager; compile (torch.compile as it comes); graphs (mode="reduce-overhead", that is CUDA graphs);
max (mode="max-autotune", which also takes CUDA graphs); frozen (inference: like graphs, and batch norm folded).
"""

import json
import os
import pathlib
import sys
import time

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "scripts" / "pytorch"))
from networks import build  # noqa: E402

COMPILE = {"compile": {}, "graphs": {"mode": "reduce-overhead"}, "max": {"mode": "max-autotune"}, "frozen": {"mode": "reduce-overhead"}}
TYPES = {"float32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Contender:
    """A network with its images, labels and optimiser, all on the device."""

    def __init__(self, name, spec):
        self.device, self.dtype, self.is_training = spec["device"], TYPES[spec["precision"]], spec["what"] == "train"
        self.model, self.source = build(name, spec["classes"])
        self.model.to(self.device, memory_format=torch.channels_last).train(self.is_training)
        shape = (spec["batch"], 3, spec["size"], spec["size"])
        # The images are already in the type of the feature maps: PyTorch is spared the conversion.
        self.x = torch.randn(shape, device=self.device).to(self.dtype, memory_format=torch.channels_last)
        self.y = torch.randint(spec["classes"], shape[:1], device=self.device)
        if self.is_training:
            self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4, fused=True)
            self.scaler = torch.amp.GradScaler(self.device, enabled=self.dtype == torch.float16)
        else:
            self.model.to(self.dtype)  # faster than autocast, which converts weights
        self.run = torch.compile(self.model, dynamic=False, **COMPILE[spec["mode"]]) if spec["mode"] in COMPILE else self.model

    def step(self):
        if not self.is_training:
            with torch.inference_mode():
                self.run(self.x)
            return
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device, self.dtype, enabled=self.dtype != torch.float32):
            loss = torch.nn.functional.cross_entropy(self.run(self.x), self.y)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def resident_bytes(self):
        """What lies in memory between steps."""
        parameters = list(self.model.parameters())
        tensors = [self.x, self.y, *parameters, *self.model.buffers(), *(p.grad for p in parameters if p.grad is not None)]
        if self.is_training:
            tensors += [t for state in self.optimizer.state.values() for t in state.values() if torch.is_tensor(t)]
        return sum(t.nbytes for t in tensors)


def synchronize(device):
    if device == "cuda":
        torch.cuda.synchronize()


def measure(contender, steps):
    """Returns the mean seconds of a step: the device is waited for once, after all of them, which spares PyTorch
    the time in which it launches kernels."""
    synchronize(contender.device)
    start = time.perf_counter()
    for _ in range(steps):
        contender.step()
    synchronize(contender.device)
    return (time.perf_counter() - start) / steps


def peak_bytes(contender, others):
    """The most that PyTorch's allocator held during a step, less what the other networks keep there."""
    if contender.device != "cuda":
        return 0
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    contender.step()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - sum(o.resident_bytes() for o in others)


def main():
    spec = json.loads(sys.argv[1])
    replies = os.fdopen(os.dup(1), "w")  # stdout is for what libraries print
    os.dup2(2, 1)
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = spec["precision"] != "float32"
    if spec["mode"] == "frozen":
        from torch._inductor import config

        config.freezing = True
    start = time.perf_counter()
    contenders = [Contender(name, spec) for name in spec["models"]]
    for c in contenders:
        measure(c, spec["warmup"])
    ready = time.perf_counter() - start
    peaks = [peak_bytes(c, [o for o in contenders if o is not c]) for c in contenders]

    def say(**reply):
        print(json.dumps(reply), file=replies, flush=True)

    say(ready_seconds=ready, peak_bytes=peaks, source=contenders[-1].source)
    for _ in sys.stdin:
        for c in contenders:
            measure(c, 2)  # clocks and caches, after the others' turns
        seconds = [[] for _ in contenders]
        for _ in range(spec["steps"] // spec["burst"]):
            for c, to in zip(contenders, seconds):
                to.append(measure(c, spec["burst"]))
        say(step_seconds=seconds)
        if spec["device"] == "cuda":
            torch.cuda.empty_cache()  # the next contender's turn


main()
