from __future__ import annotations

import numpy as np

from converters.tflite.reader import load
from tests.support.pipeline import residual, run_real
from tfmpq.algorithms.assembly import corrected_bias, trusted_mean
from tfmpq.emit.eight_bits import eight_bit_file
from tfmpq.recipe.rules import LayerSettings


def written(algorithm: str = "radix") -> bytes:
    base = residual()
    settings = LayerSettings(4, 1, algorithm, "auto")
    layers = [base.weighed(name, settings, np.zeros((base.layers[name].channels, 0))) for name in base.layers]
    return eight_bit_file(base.network, layers)


def weights(content: bytes) -> list[np.ndarray]:
    """Integers of all layers, in order."""
    return [
        t.array()
        for op in load(content).graph.ops
        for t in op.inputs[1:2]
        if t is not None and t.data is not None and t.quantization is not None and len(t.shape) > 1
    ]


def test_weights_are_stocks_and_biases_make_up_for_the_mean():
    base = residual()
    content = written()
    ours, theirs = weights(content), weights(base.stock)
    assert len(ours) == 6
    assert all((a == b).all() for a, b in zip(ours, theirs, strict=True))
    assert [op.name for op in load(content).graph.ops] == [op.name for op in load(base.stock).graph.ops]
    tensors = {t.name: t for t in load(content).graph.tensors()}
    for name, layer in base.layers.items():
        known, rows = base.statistics[name], base.stock_rows(name).weight.reconstruct()
        mean = trusted_mean(known.means[0], known.quantized_means[0], known.positions)
        expected = corrected_bias(layer.uses[0].bias, layer.weight, rows, known.means[0], mean)
        tensor = tensors[f"{name}/bias"]
        assert tensor.quantization is not None
        # Rounded to whole numbers of the bias's own scale.
        error = np.abs(tensor.array() * tensor.quantization.scale - expected)
        assert (error <= 0.51 * tensor.quantization.scale).all(), name


def test_without_layers_of_its_own_it_is_the_int8_file():
    base = residual()
    content = eight_bit_file(base.network, [])
    assert (run_real(content, base.samples)[0] == run_real(base.stock, base.samples)[0]).all()


def test_algorithms_that_leave_biases_leave_them_here():
    base = residual()
    plain = run_real(written("nearest"), base.samples)[0]
    stock = run_real(base.stock, base.samples)[0]
    # The same integers but for the rounding of biases from the same float values.
    assert np.abs(plain - stock).max() <= 2 / 256
