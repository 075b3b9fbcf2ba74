"""Compares senet with PyTorch on one GPU: gpu_compare.py --help.

For each task and batch size, rounds >= 5 of: `senet bench` as a process that measures after a warm-up, then each of PyTorch's
contenders (bench/gpu_torch.py), which are processes that stay alive between rounds, so that torch.compile compiles once.
Every process measures steps of the network without SE and of that with it in turn. PyTorch is given what it is best at:
channels last, the fused optimiser, images already in the type of the feature maps, weights in that type for inference, CUDA
graphs, and except for latency the device is waited for only once in BURST steps, while senet waits after every step.
Prints medians over all rounds with the quartiles of ratios, and writes JSON with every second that was measured.
"""

import argparse
import datetime
import json
import pathlib
import platform
import statistics
import subprocess
import sys
import threading

ROOT = pathlib.Path(__file__).resolve().parent.parent
BURST = 5  # steps of PyTorch between two waits for the device
MODES = {"train": "eager,compile,graphs", "infer": "eager,compile,graphs,frozen", "latency": "eager,compile,graphs,frozen"}


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("tasks", nargs="+", choices=MODES, help="what to measure; latency is inference of one image")
    p.add_argument("--model", default="resnet50", help="network without SE; the one with se before its name has SE (default %(default)s)")
    p.add_argument("--batch", type=int, nargs="+", default=[64, 128, 256], help="images of a step; latency takes 1 (default 64 128 256)")
    p.add_argument("--size", type=int, default=224, help="pixels (default %(default)s)")
    p.add_argument("--classes", type=int, default=1000)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--steps", type=int, default=20, help="of each network in a round (default %(default)s)")
    p.add_argument("--precision", default="bf16", choices=["float32", "tf32", "bf16", "fp16"])
    p.add_argument("--device", default="cuda", choices=["cuda", "cpu"], help="cpu only rehearses: use float32")
    p.add_argument("--modes", help=f"PyTorch's contenders, of eager, compile, graphs, max, frozen (default {MODES})")
    p.add_argument("--out", type=pathlib.Path, help="JSON file to write; the tables go beside it as Markdown")
    return p.parse_args()


class Torch:
    """A contender of PyTorch's; error says why it dropped out."""

    def __init__(self, spec):
        self.error, self.about = "", {}
        self.process = subprocess.Popen([sys.executable, ROOT / "bench" / "gpu_torch.py", json.dumps(spec)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.about = self.read()

    def read(self):
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        self.error = f"ended with status {self.process.wait()}"
        return {}

    def turn(self):
        if not self.error:
            try:
                self.process.stdin.write("\n")
                self.process.stdin.flush()
            except BrokenPipeError:
                pass
            return self.read().get("step_seconds")
        return None

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class MemoryWatch:
    """The device's memory in use by nvidia-smi, the most while the block ran less that before it; 0 without a GPU."""

    def __enter__(self):
        self.stop, self.peak_bytes = threading.Event(), 0
        self.before = nvidia_smi("memory.used")
        self.thread = threading.Thread(target=self.watch)
        if self.before:
            self.thread.start()
        return self

    def watch(self):
        while not self.stop.wait(0.2):
            self.peak_bytes = max(self.peak_bytes, (int(nvidia_smi("memory.used")) - int(self.before)) << 20)

    def __exit__(self, *_):
        self.stop.set()
        if self.before:
            self.thread.join()


def nvidia_smi(fields):
    """What nvidia-smi says of the first device, "" if it cannot."""
    command = ["nvidia-smi", "--id=0", f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    try:
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def senet_turn(spec):
    plain, with_se = spec["models"]
    command = [ROOT / "bin" / "senet", "bench", spec["what"], "--json", "--model", plain, "--against", with_se]
    for option in ("device", "batch", "size", "classes", "steps", "warmup"):
        command += [f"--{option}", spec[option]]
    if spec["device"] == "cuda":
        command += ["--precision", spec["precision"]]
    return json.loads(subprocess.run([str(c) for c in command], check=True, stdout=subprocess.PIPE).stdout)


def compare(task, batch, a):
    """Measures one task at one batch size and returns all that is known of it."""
    spec = {"what": "infer" if task == "latency" else task, "models": [a.model, "se" + a.model], "batch": batch,
            "size": a.size, "classes": a.classes, "precision": a.precision, "device": a.device, "steps": a.steps,
            "burst": 1 if task == "latency" else min(BURST, a.steps), "warmup": 10 if a.device == "cuda" else 1}
    contenders = {}
    for mode in (a.modes or MODES[task]).split(","):
        c = contenders[mode] = Torch(spec | {"mode": mode})
        print(f"  {mode}: {c.error or 'ready after %.0f s' % c.about['ready_seconds']}", file=sys.stderr, flush=True)
    seconds = {name: [[], []] for name in ["senet", *contenders]}  # [network][round][step]
    result = {"task": task, "batch": batch, "spec": spec, "seconds": seconds}
    for _ in range(a.rounds):
        with MemoryWatch() as watch:
            report = senet_turn(spec)
        result["device"], result["senet_device_bytes"] = report["device"], max(watch.peak_bytes, result.get("senet_device_bytes", 0))
        result["planned_bytes"] = [n["planned_bytes"] for n in report["networks"]]
        turns = {"senet": [n["step_seconds"] for n in report["networks"]]} | {mode: c.turn() for mode, c in contenders.items()}
        for name, found in turns.items():
            for to, xs in zip(seconds[name], found or []):
                to.append(xs)
    for c in contenders.values():
        c.close()
    result["errors"] = {mode: c.error for mode, c in contenders.items() if c.error}
    result["torch"] = {mode: c.about for mode, c in contenders.items()}
    for mode in result["errors"]:
        del seconds[mode]
    return result


def quartiles(xs):
    low, _, high = statistics.quantiles(xs, n=4, method="inclusive") if len(xs) > 1 else xs * 3
    return statistics.median(xs), low, high


def spread(xs):
    return "%.3f (%.3f to %.3f)" % quartiles(xs)


def table(result):
    """The Markdown lines of one task and batch size."""
    batch, task = result["batch"], result["task"]
    medians = {name: [[statistics.median(xs) for xs in rounds] for rounds in both] for name, both in result["seconds"].items()}
    unit = "ms" if task == "latency" else "img/s"
    yield f"### {task}, batch {batch}\n"
    columns = [unit, f"{unit} with SE", "its time to senet's", "with SE", "time with SE to time without", "peak GiB", "with SE"]
    yield f"| | {' | '.join(columns)} |"
    yield "|---" * (1 + len(columns)) + "|"
    for name, both in medians.items():
        speeds = []
        for of in both:
            middle, low, high = quartiles([1000 * s for s in of] if task == "latency" else [batch / s for s in of])
            speeds.append(f"{middle:.4g} ({low:.4g} to {high:.4g})")
        ratios = [spread([theirs / ours for theirs, ours in zip(of, mine)]) for of, mine in zip(both, medians["senet"])]
        cost = spread([y / x for xs, ys in zip(*result["seconds"][name]) for x, y in zip(xs, ys)])
        peaks = result["planned_bytes"] if name == "senet" else result["torch"][name]["peak_bytes"]
        yield f"| {name} | {' | '.join(speeds)} | {' | '.join(ratios)} | {cost} | {' | '.join('%.2f' % (b / 2**30) for b in peaks)} |"
    theirs = [both for name, both in medians.items() if name != "senet"]
    if theirs:
        ratios = [min(statistics.median(both[i]) for both in theirs) / statistics.median(medians["senet"][i]) for i in (0, 1)]
        yield "\nsenet is %.3f times as fast as the fastest of PyTorch's, with SE %.3f times." % tuple(ratios)
    for mode, error in result["errors"].items():
        yield f"\n{mode} dropped out: {error}."
    if result["senet_device_bytes"]:
        gib = result["senet_device_bytes"] / 2**30
        yield f"\nBoth networks of senet together took {gib:.2f} GiB of the device by nvidia-smi, the driver's context included."
    yield ""


def main():
    a = arguments()
    import torch

    head = {
        "command": " ".join(sys.argv), "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "gpu": nvidia_smi("name,driver_version,memory.total,power.limit,clocks.max.sm"), "torch": torch.__version__,
        "cudnn": torch.backends.cudnn.version() if a.device == "cuda" else None, "python": platform.python_version(),
        "senet": json.loads(subprocess.run([ROOT / "bin" / "senet", "version", "--json"], check=True, stdout=subprocess.PIPE).stdout),
    }
    lines = ["```", *(f"{key}: {value}" for key, value in head.items()),
             f"{a.model} and se{a.model}, {a.size}x{a.size}, {a.classes} classes, {a.precision}; {a.rounds} rounds of {a.steps} steps",
             "```", ""]
    print("\n".join(lines), flush=True)
    results = []
    for task in a.tasks:
        for batch in [1] if task == "latency" else a.batch:
            print(f"{task}, batch {batch}", file=sys.stderr, flush=True)
            results.append(compare(task, batch, a))
            found = list(table(results[-1]))
            lines += found
            print("\n".join(found), flush=True)
            if a.out:  # after each, so that a limit of time loses only the last
                a.out.write_text(json.dumps(head | {"results": results}))
                a.out.with_suffix(".md").write_text("\n".join(lines))
    sys.exit(any(r["errors"] for r in results))


if __name__ == "__main__":
    main()
