"""Compares senet's logits with timm's: compare.py [NAME...].

For each network: random weights and randomised batch norm statistics from timm, saved as safetensors, brought in by
`senet import` and run by `senet predict --logits` on 8 random images. Prints the greatest difference relative to
the greatest logit; exits 1 if one is over 1e-4.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import numpy
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

NAMES = """resnet18 resnet34 resnet50 resnet101 resnet152 resnext50_32x4d resnext101_32x4d
seresnet18 seresnet34 seresnet50 seresnet101 seresnet152 seresnext50_32x4d seresnext101_32x4d
legacy_seresnet18 legacy_seresnet34 legacy_seresnet50 legacy_seresnet101 legacy_seresnet152
legacy_seresnext50_32x4d legacy_seresnext101_32x4d legacy_senet154""".split()
TOLERANCE = 1e-4
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def randomise(model):
    """Gives every batch norm statistics and factors of its own."""
    for m in model.modules():
        if isinstance(m, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(m.weight, 0.5, 1.2)
            torch.nn.init.normal_(m.bias, std=0.2)
            torch.nn.init.normal_(m.running_mean, std=0.2)
            torch.nn.init.uniform_(m.running_var, 0.5, 2)


def difference(name, folder):
    torch.manual_seed(1)
    model = timm.create_model(name).eval()
    randomise(model)
    save_file(model.state_dict(), folder / "model.safetensors")
    pixels = numpy.random.default_rng(2).integers(0, 256, (8, 224, 224, 3), dtype=numpy.uint8)
    paths = [folder / f"{i}.png" for i in range(len(pixels))]
    for path, image in zip(paths, pixels):
        Image.fromarray(image).save(path)
    x = (torch.from_numpy(pixels).float() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
    with torch.inference_mode():
        want = model(x.permute(0, 3, 1, 2)).numpy()

    def senet(*args):
        return subprocess.run(["bin/senet", *map(str, args)], check=True, stdout=subprocess.PIPE).stdout

    senet("import", folder / "model.safetensors", "--out", folder / "run", "--model", name, "--set", "data.crop_fraction=1")
    said = json.loads(senet("predict", "--device", "cpu", "--checkpoint", folder / "run" / "best", "--logits", "--json", *paths))
    have = numpy.array([image["logits"] for image in said["images"]])
    return abs(have - want).max() / abs(want).max()


failed = False
for name in sys.argv[1:] or NAMES:
    with tempfile.TemporaryDirectory() as folder:
        off = difference(name, pathlib.Path(folder))
    failed |= not off <= TOLERANCE
    print(f"{name:28} {off:.1e}", flush=True)
sys.exit(failed)
