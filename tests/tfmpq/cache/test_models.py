"""Float models of files: found by their content without TensorFlow, loaded where that is not enough."""

from __future__ import annotations

import hashlib
import shutil
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import tfmpq
from converters.errors import CacheWarning, ModelError
from converters.frontend.float_model import FloatModel
from converters.frontend.load import load_model
from converters.layers.names import LayerNames
from tfmpq.cache.models import kept_source
from tfmpq.cache.store import Store
from tfmpq.simulation.source import Source

pytestmark = pytest.mark.usefixtures("only_keras_classes")

ASKED = {"batch size": 1, "signature": None, "trust": False}


class Loading:
    """Loads a model, and counts how often."""

    def __init__(self, model: object) -> None:
        self.model, self.times = model, 0

    def __call__(self, sizes: Any) -> Source:
        self.times += 1
        return Source(load_model(self.model, sizes=sizes))


def found(store: Store, loading: Loading, sizes: Any = None, **asked: Any) -> FloatModel:
    model: Any = kept_source(loading.model, store, {**ASKED, **asked}, sizes, loading).model
    return model


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "cache")


def test_a_keras_file_is_loaded_once(conv_net_path: Path, store: Store, images: np.ndarray):
    loading = Loading(str(conv_net_path))
    first, second = found(store, loading), found(store, loading)
    assert loading.times == 1
    assert second == first
    assert second.names.paths == first.names.paths
    # What needs the model itself loads it, once.
    assert second.public_int8 is not None
    assert first.public_int8 is not None
    samples = partial(iter, [{second.inputs[0].name: image[None]} for image in images[:4]])
    with warnings.catch_warnings():  # TensorFlow's own use of its interpreter
        warnings.simplefilter("ignore", UserWarning)
        assert second.public_int8(samples, "int8") == first.public_int8(samples, "int8")
    assert second.trace is not None
    assert second.trace() is not None
    assert loading.times == 2


def test_content_path_and_what_is_asked_for_tell_models_apart(conv_net_path: Path, store: Store, tmp_path: Path):
    copy = tmp_path / "copy.keras"
    shutil.copy(conv_net_path, copy)
    loading = Loading(str(copy))
    found(store, loading)
    found(store, loading, **{"batch size": None})
    content = copy.read_bytes()
    copy.write_bytes(content + b"\0" * 22)  # a comment's worth of bytes: another file
    copy.write_bytes(content)
    found(store, loading)
    assert loading.times == 2
    named: Any = Loading(copy.rename(tmp_path / "other.keras"))
    found(store, named)
    assert named.times == 1


def test_a_saved_model_is_all_of_its_files(conv_net: Any, store: Store, tmp_path: Path):
    conv_net.export(tmp_path / "saved", verbose=False)
    loading = Loading(tmp_path / "saved")
    first, second = found(store, loading), found(store, loading)
    assert loading.times == 1
    assert (second.flatbuffer, second.inputs) == (first.flatbuffer, first.inputs)
    (tmp_path / "saved" / "assets").mkdir(exist_ok=True)
    (tmp_path / "saved" / "assets" / "words.txt").write_text("a")
    found(store, loading)
    assert loading.times == 2


def test_what_links_lead_to_is_part_of_a_saved_model(
    conv_net_float: bytes, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    weights, saved = tmp_path / "weights", tmp_path / "saved"
    for folder in (weights, saved):
        folder.mkdir()
    (saved / "variables").symlink_to(weights)
    loading = Loading(saved)
    monkeypatch.setitem(globals(), "load_model", lambda *_, **__: FloatModel(conv_net_float, (), LayerNames(()), "a"))
    for content in ("one", "one", "two"):
        (weights / "data").write_text(content)
        found(store, loading)
    assert loading.times == 2
    (weights / "circle").symlink_to(saved)
    for _ in range(2):
        found(store, loading)
    assert loading.times == 4


def test_a_file_that_changes_while_it_is_loaded(conv_net_float: bytes, store: Store, tmp_path: Path):
    path = tmp_path / "a.keras"

    def load(content: str) -> Callable[[Any], Source]:
        def loaded(_: Any) -> Source:
            path.write_text(content)
            return Source(FloatModel(conv_net_float, (), LayerNames(()), "a", public_int8=lambda *_: b""))

        return loaded

    path.write_text("one")
    with pytest.warns(CacheWarning, match="is not kept: it, or tfmpq itself, has changed"):
        kept_source(path, store, ASKED, None, load("two"))
    assert store.entries() == []
    kept_source(path, store, ASKED, None, load("two"))
    kept: Any = kept_source(path, store, ASKED, None, load("three")).model  # once its function is called
    with pytest.raises(ModelError, match="a has changed while it was converted"):
        kept.public_int8()


def test_what_is_not_looked_for(conv_net_float: bytes, conv_net: Any, store: Store, tmp_path: Path):
    """TensorFlow Lite files load in no time, objects do not say what they are, and trusted code may do anything."""
    (tmp_path / "a.tflite").write_bytes(conv_net_float)
    for model in (str(tmp_path / "a.tflite"), conv_net_float, conv_net):
        loading = Loading(model)
        found(store, loading)
        found(store, loading)
        assert loading.times == 2
    assert store.entries() == []


def test_trusted_files_are_loaded(conv_net_path: Path, store: Store):
    loading = Loading(str(conv_net_path))
    for _ in range(2):
        found(store, loading, trust=True)
    assert (loading.times, store.entries()) == (2, [])


def test_files_are_loaded_where_classes_of_the_caller_are_registered(
    conv_net_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
):
    class Mine:
        pass

    loading = Loading(str(conv_net_path))
    found(store, loading)
    with keras.saving.custom_object_scope({"Mine": Mine}):
        found(store, loading)
    assert loading.times == 2
    monkeypatch.setitem(keras.saving.get_custom_objects(), "mine>Mine", Mine)
    found(store, loading)
    assert loading.times == 3


def test_sizes_of_the_data_are_in_no_key(store: Store, tmp_path: Path):
    source = keras.Input((None, 4), name="x")
    with warnings.catch_warnings():  # Keras's own use of NumPy
        warnings.simplefilter("ignore", DeprecationWarning)
        keras.Model(source, keras.layers.Dense(3)(source)).save(tmp_path / "open.keras")
    loading = Loading(str(tmp_path / "open.keras"))
    for length in (5, 7):
        model = found(store, loading, sizes=lambda inputs, length=length: {inputs[0].name: (length, 4)})
        assert model.inputs[0].shape[1] == length
    assert (loading.times, store.entries()) == (2, [])
    for length in (5, 7, 5):  # those that the caller gives are
        assert found(store, loading, sizes=(length, 4)).inputs[0].shape[1] == length
    assert loading.times == 4


@pytest.mark.slow
def test_a_second_process_does_without_tensorflow(
    conv_net_path: Path, images: np.ndarray, tmp_path: Path, run_python: Callable[..., Any]
):
    np.save(tmp_path / "x.npy", images[:40])
    code = """
    import hashlib, sys
    import numpy as np
    import tfmpq
    result = tfmpq.convert(
        sys.argv[1], np.load(sys.argv[2]), cache=sys.argv[3], progress=False, budget=tfmpq.ExtraBits(float(sys.argv[4]))
    )
    print(hashlib.sha256(result.tflite_model).hexdigest(), "tensorflow" in sys.modules)
    """
    found = []
    for budget, blocked in ((0.1, ()), (0.2, ("tensorflow", "keras"))):
        done = run_python(code, conv_net_path, tmp_path / "x.npy", tmp_path / "cache", budget, blocked=blocked)
        assert done.returncode == 0, done.stderr
        found.append(done.stdout.split())
    assert [loaded for _, loaded in found] == ["True", "False"]
    plain = tfmpq.convert(conv_net_path, images[:40], progress=False, budget=tfmpq.ExtraBits(0.2))
    assert found[1][0] == hashlib.sha256(plain.tflite_model).hexdigest()
