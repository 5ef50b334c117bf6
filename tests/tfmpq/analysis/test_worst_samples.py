"""The samples on which two files differ most: a second file that goes wrong on known ones."""

from __future__ import annotations

import numpy as np
import pytest

from converters.tflite.graph import Tensor, TensorType
from tests.support.pages import read_page
from tfmpq.analysis.diff import diff
from tfmpq.analysis.diff_page import diff_page
from tfmpq.analysis.worst_samples import worst_samples
from tfmpq.html.page import to_html


@pytest.fixture(scope="module")
def feeds(images: np.ndarray) -> list[dict[str, np.ndarray]]:
    return [{"image": image[None]} for image in images[:20]]


def test_those_that_change_come_first_then_by_noise(conv_net_float, conv_net_int8, feeds):
    """Against plain NumPy over all samples."""
    from converters.runtime import interpreter as runtime
    from converters.runtime.values import dequantize

    def outputs(content: bytes) -> list[np.ndarray]:
        interpreter = runtime.make_interpreter(content, kernels="builtin")  # as diff runs them
        found = [runtime.run(interpreter, feed)[0] for feed in feeds]
        return [dequantize(values, runtime.outputs(interpreter)[0])[0] for values in found]

    real, made = outputs(conv_net_float), outputs(conv_net_int8)
    changes = [bool(a.argmax() != b.argmax()) for a, b in zip(real, made, strict=True)]
    ratios = [float((a**2).sum() / ((a - b) ** 2).sum()) for a, b in zip(real, made, strict=True)]
    order = sorted(range(len(feeds)), key=lambda i: (not changes[i], ratios[i]))
    worst = worst_samples(conv_net_float, conv_net_int8, lambda: iter(feeds), most=5)
    assert [sample.number for sample in worst.samples] == order[:5]
    assert (worst.count, worst.changed) == (20, sum(changes))
    for sample in worst.samples:
        assert sample.sqnr_db == pytest.approx(10 * np.log10(ratios[sample.number]), abs=1e-3)  # float32 outputs
        assert [answer[0] for answer in sample.first] == list(np.argsort(-real[sample.number])[:3])
        assert sample.image is not None
        assert np.array_equal(sample.image, feeds[sample.number]["image"][0])


def test_the_page_shows_them(conv_net_float, conv_net_int8, feeds):
    result = diff(conv_net_float, conv_net_int8, lambda: iter(feeds), progress=False)
    worst = worst_samples(conv_net_float, conv_net_int8, lambda: iter(feeds))
    tree = read_page(to_html(diff_page(result, worst, first="float.tflite", second="int8.tflite")))
    (table,) = tree.all("table", class_="named")
    (body,) = table.all("tbody")
    assert [next(row.all("th")).text() for row in body.all("tr")] == [layer.layer for layer in result.layers]
    pictures = list(tree.all("img"))
    assert [picture.attributes["alt"] for picture in pictures] == [
        f"input of sample {sample.number}" for sample in worst.samples
    ]
    assert all((picture.attributes["src"] or "").startswith("data:image/png;base64,iVBOR") for picture in pictures)


def test_values_without_classes_or_images():
    from converters.tflite.graph import BuiltinOperator
    from converters.tflite.new_ops import make_op
    from tests.support.op_models import file_of

    def negated(name: str) -> bytes:
        source, result = (Tensor(n, (1, 3), TensorType.FLOAT32) for n in ("x", name))
        return file_of([make_op(BuiltinOperator.NEG, [source], [result], 1, "NegOptions")], [source], [result])

    worst = worst_samples(negated("y"), negated("z"), lambda: iter([{"x": np.ones((1, 3), np.float32)}]))
    (sample,) = worst.samples
    assert (sample.first, sample.second, sample.image, worst.changed) == ((), (), None, None)
    assert sample.sqnr_db == np.inf
