"""Small pictures of what a model is given, in the page itself."""

from __future__ import annotations

import base64
import io

import numpy as np

_SIDE = 96  # pixels at most: the page is to stay small


def thumbnail(values: np.ndarray, *, low: float, high: float) -> str:
    """A picture as the address of an ``img`` element.

    Args:
        values: (height, width, 1 or 3).
        low, high: what is black and what is white.
    """
    from PIL import Image  # only pages with pictures need it

    shares = (np.nan_to_num(values.astype(np.float64)) - low) / ((high - low) or 1.0)
    pixels = np.rint(255 * shares.clip(0, 1)).astype(np.uint8)
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    if max(image.size) > _SIDE:
        image.thumbnail((_SIDE, _SIDE))
    stream = io.BytesIO()
    image.save(stream, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
