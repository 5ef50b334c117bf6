"""What happens between epochs, and where the loss is no number."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from converters.errors import DataError, ModelError
from tests.support.keras_nets import reloaded
from tfmpq.keras import SimulationSettings, annotate, simulate
from tfmpq.keras.source import find_wrappers
from tfmpq.training import callbacks, inq, lg_lsq, with_teacher
from tfmpq.training.powers import PowersOfTwo


def three_layers() -> Any:
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(n, name=name) for n, name in ((6, "first"), (8, "middle"), (2, "last"))]
    return keras.Sequential([keras.Input((4,)), *layers])


X = np.random.default_rng(0).normal(size=(32, 4)).astype(np.float32)


def fit(student: Any, target: np.ndarray, epochs: int, watch: Any, optimizer: Any = "sgd") -> None:
    student.compile(optimizer, "mse", jit_compile=False)

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            watch(epoch)

    student.fit(X, target, batch_size=8, epochs=epochs, verbose=0, callbacks=[*callbacks(student), Watch()])


def test_soft_rounding_gets_sharper():
    student = lg_lsq(three_layers(), X, bits=4, activation_bits=4, start="magnitudes")
    middle = find_wrappers(student)["middle"]
    seen: list[tuple[float, ...]] = []
    quantizers = middle.quantizer, middle.input_quantizer
    fit(student, X[:, :2], 4, lambda epoch: seen.append(tuple(float(np.asarray(q.sharpness)) for q in quantizers)))
    assert seen == [(1, 1), (4, 1), (7, 1), (10, 1)]  # of activations there is none to be sharper
    assert callbacks(lg_lsq(three_layers(), X, asr=False, start="magnitudes"))[0].__class__.__name__ == "_Guard"


def test_portions_are_frozen_one_after_the_other():
    student = inq(three_layers(), X, bits=4, portions=(0.5, 0.75, 1.0))
    middle = find_wrappers(student)["middle"]
    assert isinstance(middle.quantizer, PowersOfTwo)
    assert not isinstance(find_wrappers(student)["first"].quantizer, PowersOfTwo)
    shares: list[float] = []
    values: list[np.ndarray] = []

    def watch(epoch: int) -> None:
        shares.append(middle.quantizer.share_frozen())
        frozen = np.asarray(middle.quantizer.frozen) > 0
        values.append(np.where(frozen, np.asarray(middle.simulated_weight()), np.nan))

    # Momentum moves weights that no gradient reaches any more.
    fit(student, X[:, :2], 6, watch, keras.optimizers.SGD(0.05, momentum=0.9))
    assert shares == [0.5, 0.5, 0.75, 0.75, 1.0, 1.0]
    for before, after in pairwise(values):
        known = ~np.isnan(before)
        np.testing.assert_array_equal(before[known], after[known])


def test_a_loss_that_is_no_number_stops_with_epoch_and_layer_and_keeps_good_weights():
    student = lg_lsq(three_layers(), X, start="magnitudes")
    good: list[list[np.ndarray]] = []

    def watch(epoch: int) -> None:
        good.append([np.asarray(v).copy() for v in student.variables])
        if epoch == 1:
            student.optimizer.learning_rate = 1e30

    with pytest.raises(
        ModelError, match=r"stopped in epoch 3, batch \d: the loss is (nan|inf); layer '(first|middle)'.*lower"
    ):
        fit(student, X[:, :2], 5, watch)
    for value, variable in zip(good[1], student.variables, strict=True):
        if "sharpness" not in variable.path:  # the schedule's own
            np.testing.assert_array_equal(value, np.asarray(variable))
    assert np.isfinite(np.asarray(student(X))).all()


def test_weights_that_only_the_last_update_ruins_are_not_left_behind():
    student = lg_lsq(three_layers(), X, start="magnitudes")
    before = [np.asarray(v).copy() for v in student.variables]
    student.compile(keras.optimizers.SGD(0.0), "mse", jit_compile=False)

    class Ruin(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            kernel = find_wrappers(student)["middle"].layer.kernel
            kernel.assign(np.asarray(kernel) * np.inf)

    with pytest.raises(ModelError, match=r"stopped in epoch 1, batch 1: the loss is \d.*layer 'middle' got weights"):
        student.fit(X, X[:, :2], batch_size=32, epochs=1, verbose=0, callbacks=[*callbacks(student), Ruin()])
    for value, variable in zip(before, student.variables, strict=True):
        np.testing.assert_array_equal(value, np.asarray(variable))


def broken(width: int) -> np.ndarray:
    found = X[:, :width].copy()
    found[20, 0] = np.nan
    return found


# By day each part and each kind of model once.
@pytest.mark.parametrize(
    ("part", "taught"),
    [
        ("inputs", True),
        ("labels", False),
        *(pytest.param(*case, marks=pytest.mark.nightly) for case in (("inputs", False), ("labels", True))),
    ],
)
def test_data_that_are_no_numbers_are_named_and_no_layer(part: str, taught: bool):
    model = three_layers()
    student = lg_lsq(model, X, start="magnitudes")
    before = [np.asarray(v).copy() for v in student.variables]
    both = with_teacher(student, model, outputs="values") if taught else student
    both.compile("sgd", "mse", jit_compile=False)
    x, y = (broken(4), X[:, :2]) if part == "inputs" else (X, broken(2))
    message = rf"in epoch 1, batch 3: the loss is nan, and the data are to blame: the {part} of batch 3 hold NaN"
    with pytest.raises(ModelError, match=message):
        both.fit(x, y, batch_size=8, shuffle=False, epochs=2, verbose=0, callbacks=callbacks(student))
    for value, variable in zip(before, student.variables, strict=True):
        np.testing.assert_array_equal(value, np.asarray(variable))
    # Good data are trained on afterwards, with the same model.
    both.fit(X, X[:, :2], batch_size=8, epochs=1, verbose=0, callbacks=callbacks(student))


def test_data_are_watched_in_a_compiled_step():
    student = lg_lsq(three_layers(), X, start="magnitudes")
    student.compile("sgd", "mse", jit_compile=True)
    with pytest.raises(ModelError, match=r"the inputs of batch 2 hold NaN or infinity"):
        student.fit(broken(4), X[:, :2], batch_size=16, shuffle=False, verbose=0, callbacks=callbacks(student))


def test_missing_labels_are_said_in_our_words(tmp_path: Path):
    student = lg_lsq(three_layers(), X, start="magnitudes")
    student.compile("sgd", "mse", jit_compile=False)
    with pytest.raises(DataError, match=r"^fit got no labels, but model '.*' is compiled with a loss.*with_teacher"):
        student.fit(X, verbose=0, callbacks=callbacks(student))
    student.fit(X, X[:, :2], verbose=0, callbacks=callbacks(student))
    again = reloaded(student, tmp_path / "student.keras")  # nothing of the watch is saved
    np.testing.assert_array_equal(np.asarray(again(X)), np.asarray(student(X)))


def test_models_without_quantizers_are_refused():
    with pytest.raises(ModelError, match=r"tfmpq\.training\.callbacks: model '.*' has no layer with quantizers"):
        callbacks(three_layers())
    with pytest.raises(ModelError, match="has no layer with quantizers"):
        callbacks(simulate(annotate(three_layers(), SimulationSettings(points=1)), X))
    with pytest.raises(ModelError, match="neither a Keras 3 layer nor a Keras 3 model"):
        callbacks("model.keras")
