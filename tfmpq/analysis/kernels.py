"""Which operators XNNPACK has kernels for, and what computes the same as others: tables."""

from __future__ import annotations

_QUANTIZED_KERNELS = """
    ADD SUB MUL CONV_2D DEPTHWISE_CONV_2D TRANSPOSE_CONV FULLY_CONNECTED BATCH_MATMUL LOGISTIC TANH ELU LEAKY_RELU MEAN
    SUM REDUCE_MAX MAX_POOL_2D RESIZE_BILINEAR TRANSPOSE RESHAPE SLICE STRIDED_SLICE PAD DEPTH_TO_SPACE SPACE_TO_DEPTH
    SPLIT CONCATENATION QUANTIZE DEQUANTIZE
"""
_FURTHER_FLOAT_KERNELS = """
    RELU RELU6 RELU_N1_TO_1 HARD_SWISH SOFTMAX ABS NEG EXP SQRT RSQRT SQUARE GELU FLOOR CEIL ROUND SIN COS LOG DIV
    MAXIMUM MINIMUM SQUARED_DIFFERENCE AVERAGE_POOL_2D PRELU
"""
# Operators that it takes with 8-bit activations, and with float ones.
QUANTIZED_KERNELS = frozenset(_QUANTIZED_KERNELS.split())
FLOAT_KERNELS = QUANTIZED_KERNELS | frozenset(_FURTHER_FLOAT_KERNELS.split())

# What computes the same, or nearly, and is taken.
INSTEAD = {
    "AVERAGE_POOL_2D": "where it covers the whole image use GlobalAveragePooling2D, elsewhere a depthwise convolution "
    "of constant weights or MaxPooling2D",
    "SOFTMAX": "leave it out of the model if the order of the scores is enough, and compute it on the few outputs",
    "LOG_SOFTMAX": "leave it out of the model if the order of the scores is enough",
    "HARD_SWISH": "use ReLU6 or LeakyReLU, the first right behind a convolution so that it is fused",
    "GELU": "use ReLU right behind the layer, or LeakyReLU",
    "PRELU": "use LeakyReLU",
    "MAXIMUM": "for a lower limit use the layer's activation (ReLU); MaxPooling2D over stacked inputs is taken, too",
    "MINIMUM": "for an upper limit use the layer's activation (ReLU6)",
    "DIV": "multiply by a constant reciprocal",
    "SQUARED_DIFFERENCE": "subtract, then multiply the difference by itself",
    "NEG": "multiply by -1, or subtract where the result is added",
    "SPLIT_V": "split into equal pieces, at most 4, or slice: x[..., :n], x[..., n:]",
    "GATHER": "slice instead of gathering, or reorder the weights of the layer in front of it beforehand",
    "SQUEEZE": "use Reshape, or leave the dimension and reshape the model's output afterwards",
    "EXPAND_DIMS": "use Reshape",
    "PACK": "use Reshape and Concatenate instead of stacking",
    "UNPACK": "use slices and Reshape instead of unstacking",
    "TILE": "let ADD or MUL broadcast the small operand, or use Concatenate with itself",
    "RESIZE_NEAREST_NEIGHBOR": "use UpSampling2D(interpolation='bilinear')",
    "MIRROR_PAD": "pad with zeros",
    "ARG_MAX": "leave it out of the model and take the maximum of the output",
    "CAST": "leave conversions of types out of the model",
    "POW": "multiply the value by itself",
    "L2_NORMALIZATION": "leave it out of the model where only the direction of the output counts",
}
