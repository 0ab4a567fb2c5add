"""The networks by name: a class of `lautum.training.networks` and its arguments.

Apart from the classes, so that a configuration can be checked without importing torch.
"""

from lautum.errors import LautumError, require_known

ARCHITECTURES: dict[str, tuple[str, dict]] = {
    "conv16-32-fc128": ("ConvNet", {"widths": (16, 32, 128), "dropout": 0.5}),
    "conv32-64-fc512": ("ConvNet", {"widths": (32, 64, 512), "dropout": 0.5}),
    "conv32-64-fc1024": ("ConvNet", {"widths": (32, 64, 1024), "dropout": 0.5}),
    "wide-resnet-16-4": ("WideResNet", {"depth": 16, "width": 4}),
}
# Before the name of a model of torchvision; see `lautum.training.torchvision_networks`.
TORCHVISION = "torchvision:"


def require_torchvision(name: str) -> None:
    """Raise LautumError when torchvision has no such classification model, or cannot be imported."""
    try:
        from torchvision import models  # imports torch
    except Exception as error:  # also of a build for another release of torch
        raise LautumError(f"network {name}: torchvision cannot be imported ({error}); install it") from None
    # Those called squeezenet end in a convolution and have no linear head.
    known = [model for model in models.list_models(module=models) if not model.startswith("squeezenet")]
    require_known("network", name, [f"{TORCHVISION}{model}" for model in known])
