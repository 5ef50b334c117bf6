from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from converters.layers.output_kind import output_kind
from converters.runtime import interpreter as runtime
from converters.tflite.reader import load
from converters.tflite.writer import save
from tests.support import op_models
from tfmpq.report.proxies import measure_proxies


def measured(content: bytes, *arguments: Any, **options: Any) -> Any:
    return measure_proxies(content, *arguments, kind=output_kind(load(content).graph), **options)


@pytest.fixture(scope="module")
def feeds(images):
    return [{"image": image[None]} for image in images[:12]]


def with_pool_output(content: bytes, *, reverse: bool) -> bytes:
    """The network with the pooled features as a second output."""
    model = load(content)
    pooled = next(op.outputs[0] for op in model.graph.ops if op.name == "MEAN")
    model.graph.outputs.append(pooled)
    model.signatures[0].outputs.append(("pooled", pooled))
    if reverse:
        model.graph.outputs.reverse()
    return save(model)


def test_stock_against_float_equals_a_direct_computation(conv_net, conv_net_float, conv_net_int8, feeds):
    interpreter = runtime.make_interpreter(conv_net_int8)
    proxies = measured(conv_net_float, interpreter, interpreter, feeds, held_back=True)
    expected = np.asarray(conv_net(np.concatenate([f["image"] for f in feeds])))
    detail = interpreter.get_output_details()[0]
    scale, zero_point = detail["quantization"]
    raw = np.concatenate([runtime.run(interpreter, f)[0] for f in feeds])
    real = (raw.astype(np.float64) - zero_point) * scale
    assert proxies is not None
    assert proxies.stock == proxies.file
    assert (proxies.samples, proxies.held_back, proxies.predictions) == (12, True, 12)
    assert proxies.stock.agreeing == (real.argmax(1) == expected.argmax(1)).sum()
    ratio = 10 * np.log10((expected.astype(np.float64) ** 2).sum() / ((real - expected) ** 2).sum())
    # Keras' and TFLite's float outputs differ by about 1e-6 of the signal, the int8 noise is about 1e-2 of it.
    assert proxies.stock.sqnr_db == pytest.approx((ratio,), abs=0.02)


def test_predictions_of_a_file_with_swapped_classes_disagree(conv_net_float, feeds):
    model = load(conv_net_float)
    dense = model.graph.ops[-1]
    weight = dense.input(1)
    weight.data = np.roll(weight.array(), 1, axis=0).tobytes()
    rolled = runtime.make_interpreter(save(model))
    same = runtime.make_interpreter(conv_net_float)
    proxies = measured(conv_net_float, same, rolled, feeds, held_back=False)
    assert proxies is not None
    assert (proxies.stock.agreeing, proxies.stock.sqnr_db) == (12, (math.inf,))
    assert proxies.file.agreeing == 0
    assert not proxies.held_back


def test_outputs_are_matched_by_name_and_only_class_scores_are_predictions(conv_net_float, feeds):
    reference = with_pool_output(conv_net_float, reverse=False)
    swapped = runtime.make_interpreter(with_pool_output(conv_net_float, reverse=True))
    proxies = measured(reference, swapped, swapped, feeds, held_back=True)
    assert proxies is not None
    assert proxies.outputs[1] == "pooled"
    assert proxies.file.sqnr_db == (math.inf, math.inf)
    assert proxies.predictions is None
    assert proxies.file.agreeing is None


def test_a_single_score_is_no_prediction():
    source, output = op_models.activation("x", (1, 4), 0.1, 0), op_models.activation("y", (1, 1), 0.1, 0)
    weights = op_models.weight("w", "dense", np.ones((1, 4)), np.ones(1))
    op = op_models.layer_op("dense", source, weights, None, output)
    content = op_models.file_of([op], [source], [output])
    interpreter = runtime.make_interpreter(content)
    proxies = measured(content, interpreter, interpreter, [{"x": np.ones((1, 4), np.int8)}], held_back=True)
    assert proxies is not None
    assert proxies.predictions is None


def test_no_samples_no_figures(conv_net_float):
    assert measured(conv_net_float, None, None, [], held_back=True) is None


def test_embeddings_are_compared_by_cosine(feeds, conv_net_float, conv_net_int8):
    def features(content: bytes) -> bytes:
        model = load(content)
        pooled = next(op.outputs[0] for op in model.graph.ops if op.name == "MEAN")
        model.graph.outputs[:] = [pooled]
        model.signatures[0].outputs[:] = [("pooled", pooled)]
        return save(model)

    float_file, same = features(conv_net_float), runtime.make_interpreter(features(conv_net_float))
    proxies = measured(float_file, same, runtime.make_interpreter(features(conv_net_int8)), feeds, held_back=True)
    assert proxies is not None
    assert proxies.predictions is None
    assert proxies.stock.cosine == pytest.approx(1.0, abs=1e-12)
    assert proxies.file.cosine is not None
    assert 0.99 < proxies.file.cosine < 1.0
