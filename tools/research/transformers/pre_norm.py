"""What the two networks that are trained here have in common: pre-norm transformer blocks, and AdamW on a cosine."""

from __future__ import annotations

from typing import Any


def block(x: Any, name: str, *, width: int, heads: int, causal: bool = False) -> Any:
    """Attention and a dense pair of four times the width, each behind a normalization and beside the stream.

    Args:
        x: (batch, length, width).
        name: beginning of the layers' names.
        width: of the stream.
        heads: of the attention.
        causal: whether no position sees later ones.
    """
    from keras import layers

    y = layers.LayerNormalization(name=f"{name}_norm1")(x)
    attention = layers.MultiHeadAttention(heads, width // heads, name=f"{name}_attention")
    x = layers.Add(name=f"{name}_add1")([x, attention(y, y, use_causal_mask=causal)])
    y = layers.LayerNormalization(name=f"{name}_norm2")(x)
    y = layers.Dense(4 * width, activation="gelu", name=f"{name}_expand")(y)
    return layers.Add(name=f"{name}_add2")([x, layers.Dense(width, name=f"{name}_project")(y)])


def compile_model(model: Any, loss: Any, *, rate: float, weight_decay: float, steps: int, warm_up: int) -> None:
    """Sets the model up for so many steps: the rate rises over the first ones and falls to 0 by a cosine."""
    import keras

    schedule: Any = keras.optimizers.schedules.CosineDecay(
        0.0, steps - warm_up, warmup_target=rate, warmup_steps=warm_up
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=weight_decay, clipnorm=1.0)
    model.compile(optimizer, loss, jit_compile=False)
