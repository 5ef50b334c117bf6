"""The script behind the bundled network: its data and its architecture are those that are committed."""

from __future__ import annotations

import json
import zipfile
from typing import Any

import numpy as np
import pytest

from tfmpq.demo import demo
from tfmpq.files import read_npz

pytest.importorskip("sklearn")

from tools.research import train_demo_model


def test_no_digit_is_in_training_and_test():
    (train, train_labels), (test, test_labels) = train_demo_model.split()
    assert len(train) == len(train_labels) == 1097
    assert len(test) == len(test_labels) == 700
    assert not {digit.tobytes() for digit in train} & {digit.tobytes() for digit in test}


def test_committed_data_are_what_the_script_draws():
    calibration, test, labels = train_demo_model.data_sets()
    committed = read_npz(demo.TEST)
    np.testing.assert_array_equal(labels, committed["y"])
    for drawn, stored in ((calibration, read_npz(demo.CALIBRATION)["x"]), (test, committed["x"])):
        assert drawn.shape == stored.shape
        assert drawn.dtype == stored.dtype == np.uint8
        # Another SciPy may round a spline differently, which moves single pixels by one of 16 levels.
        assert np.mean(drawn != stored) < 1e-3


def test_committed_network_is_what_the_script_builds():
    import keras

    built = train_demo_model.build()
    committed: Any = keras.models.load_model(demo.MODEL)
    assert [(w.path, w.shape) for w in built.weights] == [(w.path, w.shape) for w in committed.weights]
    assert [layer.name for layer in built.layers] == [layer.name for layer in committed.layers]


def test_committed_network_has_no_options_that_older_versions_of_keras_do_not_know():
    with zipfile.ZipFile(demo.MODEL) as archive:
        config = archive.read("config.json")
    assert json.loads(train_demo_model.portable(config)) == json.loads(config)
    assert json.loads(train_demo_model.portable(b'{"a": [{"renorm": false, "axis": 3}]}')) == {"a": [{"axis": 3}]}
