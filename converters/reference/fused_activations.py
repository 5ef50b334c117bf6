"""What fused activations clip at."""

from __future__ import annotations

import numpy as np

from converters.tflite.graph import schema

_TYPE = schema.ActivationFunctionType
CLIPS = {  # activation -> smallest and largest result
    _TYPE.NONE: (-np.inf, np.inf),
    _TYPE.RELU: (0.0, np.inf),
    _TYPE.RELU_N1_TO_1: (-1.0, 1.0),
    _TYPE.RELU6: (0.0, 6.0),
}
