"""Writes the tensors of a PyTorch checkpoint as safetensors: pth_to_safetensors.py IN.pth OUT.safetensors.

The pickle is read with weights_only, which refuses everything but tensors and plain containers; there is
no fallback. Nested state dicts keep their path: {"state_dict": {"conv1.weight": t}} becomes "state_dict.conv1.weight".
"""

import sys

import torch
from safetensors.torch import save_file


def tensors(node, path=""):
    """Yields (name, tensor) of everything below node."""
    if isinstance(node, torch.Tensor):
        yield path, node
    elif isinstance(node, dict):
        for key, child in node.items():
            yield from tensors(child, f"{path}.{key}" if path else str(key))


source, target = sys.argv[1:]
loaded = torch.load(source, map_location="cpu", weights_only=True)
found = {}
for name, tensor in tensors(loaded):
    if name.startswith("optimizer"):
        continue
    found[name] = (tensor.float() if tensor.is_floating_point() else tensor).contiguous().clone()
if not found:
    sys.exit(f"{source}: holds no tensors")
save_file(found, target, metadata={"format": "pt"})
print(f"{len(found)} tensors written to {target}")
