"""The networks by name: a class of `lautum.training.networks` and its arguments.

Apart from the classes, so that a configuration can be checked without importing torch.
"""

ARCHITECTURES: dict[str, tuple[str, dict]] = {
    "conv16-32-fc128": ("ConvNet", {"widths": (16, 32, 128), "dropout": 0.5}),
    "conv32-64-fc512": ("ConvNet", {"widths": (32, 64, 512), "dropout": 0.5}),
    "conv32-64-fc1024": ("ConvNet", {"widths": (32, 64, 1024), "dropout": 0.5}),
    "wide-resnet-16-4": ("WideResNet", {"depth": 16, "width": 4}),
}
