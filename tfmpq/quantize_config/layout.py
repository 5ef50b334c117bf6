"""Makes tfmot's default scheme keep multipoint configs where it would drop them or give up.

tfmot decides by patterns of layers which of them round their outputs: a convolution followed by a batch normalization
and a ReLU rounds once, after the ReLU. Its patterns overlook layers with a config of their own. With an annotated batch
normalization behind such a layer ``quantize_apply`` raises an error about the normalization; with a ReLU behind it the
config is replaced by one that does nothing, and nobody says so. So the patterns are shown the layers as if they had
tfmot's default, and the configs are put back afterwards. Models without multipoint configs take tfmot's own way.
"""

from __future__ import annotations

from typing import Any

from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import (
    default_8bit_quantize_layout_transform as default_layout,
)
from tensorflow_model_optimization.python.core.quantization.keras.default_8bit.default_8bit_quantize_scheme import (
    Default8BitQuantizeScheme,
)

from tfmpq.quantize_config.config import MultipointQuantizeConfig
from tfmpq.quantize_config.folding import activation_name, inner, only_reader
from tfmpq.quantize_config.kinds import kernel_of

_FUSED = ("BatchNormalization", "SyncBatchNormalization", "ReLU")


class MultipointLayout(default_layout.Default8BitQuantizeLayoutTransform):
    """tfmot's default layout for models in which some layers have multipoint weights."""

    def apply(self, model: Any, layer_quantize_map: dict[str, dict[str, Any]]) -> tuple[Any, dict[str, dict[str, Any]]]:
        """As tfmot's.

        Raises:
            ModelError: A layer that cannot have multipoint weights is annotated with them.
        """
        configs = {
            name: found["quantize_config"]
            for name, found in layer_quantize_map.items()
            if isinstance(found.get("quantize_config"), MultipointQuantizeConfig)
        }
        for name, config in configs.items():
            layer = model.get_layer(name)
            kernel_of(layer)
            if _rounded_later(layer):
                config.quantize_activation = False
        plain = {name: {**layer_quantize_map[name], "quantize_config": None} for name in configs}
        transformed, found = super().apply(model, {**layer_quantize_map, **plain})
        for name, config in configs.items():
            found[name] = {**found.get(name, {}), "quantize_config": config}
        return transformed, found


def _rounded_later(layer: Any) -> bool:
    """Whether the file computes the layer and the one behind it in one op, which rounds only once."""
    following = only_reader(layer)
    if following is None or activation_name(layer) != "linear":
        return False
    kind = type(inner(following)).__name__
    return kind in _FUSED or (kind == "Activation" and activation_name(inner(following)) in ("relu", "relu6"))


def install() -> None:
    """Lets ``quantize_apply`` of tfmot, called with its default scheme, use :class:`MultipointLayout`."""
    Default8BitQuantizeScheme.get_layout_transformer = lambda self: MultipointLayout()
