"""The networks that senet is compared with: timm's, or where timm is missing the same ones built out of torchvision's.

Both have timm's state-dict keys.
"""

import torch


def build(name, classes=1000, channels=3):
    """Returns the network of timm's name and says whose it is."""
    try:
        import timm
    except ImportError:
        return build_torchvision(name, classes, channels), "torchvision" + (" with OwnSEModule" if name.startswith("se") else "")
    return timm.create_model(name, num_classes=classes, in_chans=channels), f"timm {timm.__version__}"


class OwnSEModule(torch.nn.Module):
    """Squeeze and excitation as timm computes it, for machines without timm; ratio 1/16."""

    def __init__(self, channels):
        super().__init__()
        self.fc1 = torch.nn.Conv2d(channels, channels // 16, 1)
        self.fc2 = torch.nn.Conv2d(channels // 16, channels, 1)

    def forward(self, x):  # (N, C, H, W)
        gate = self.fc2(torch.relu(self.fc1(x.mean((2, 3), keepdim=True))))
        return x * torch.sigmoid(gate)


def build_torchvision(name, classes, channels):
    from torchvision.models import resnet

    class SEBottleneck(resnet.Bottleneck):
        def __init__(self, inplanes, planes, *args, **kwargs):
            super().__init__(inplanes, planes, *args, **kwargs)
            self.se = OwnSEModule(4 * planes)

        def forward(self, x):
            y = self.relu(self.bn1(self.conv1(x)))
            y = self.relu(self.bn2(self.conv2(y)))
            y = self.se(self.bn3(self.conv3(y)))
            return self.relu(y + (x if self.downsample is None else self.downsample(x)))

    blocks = {"resnet50": [3, 4, 6, 3], "resnet101": [3, 4, 23, 3], "resnet152": [3, 8, 36, 3]}
    plain = name.removeprefix("se")
    if plain not in blocks:
        raise SystemExit(f"networks: {name} wants timm; without it there are {', '.join(blocks)} and the same with se")
    network = resnet.ResNet(SEBottleneck if plain != name else resnet.Bottleneck, blocks[plain], num_classes=classes)
    if channels != 3:
        network.conv1 = torch.nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
    return network
