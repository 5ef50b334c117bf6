"""No code of a model file runs unless it is trusted: each would make a file, which must not be there."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from converters.errors import ModelError
from converters.frontend.graph_ops import find_dangers
from converters.frontend.keras_config import find_code
from converters.frontend.load import load_model

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")
tf_keras = pytest.importorskip("tf_keras")

pytestmark = [
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file:UserWarning"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),  # Keras's
    pytest.mark.filterwarnings("ignore:The `tf_keras.layers.Lambda` layer:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*is not loaded, but a Lambda layer uses it:UserWarning"),
]


@pytest.mark.parametrize("package", [keras, tf_keras])
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_lambda_layers(package: Any, suffix: str, tmp_path: Path):
    ran, path = tmp_path / "ran", tmp_path / f"model{suffix}"
    code = eval(f"lambda x: (open({str(ran)!r}, 'w').close(), x)[1]")
    x = package.Input((4,))
    y = package.layers.Lambda(code, name="scale", output_shape=(3,))(package.layers.Dense(3)(x))
    package.Model(x, y).save(path)
    ran.unlink(missing_ok=True)
    with pytest.raises(ModelError, match=r"model.*layer 'scale' \(Lambda\) holds Python code.*--trust, or trust=True"):
        load_model(path)
    assert not ran.exists()
    assert load_model(path, trust=True).inputs[0].shape == (1, 4)
    assert ran.exists()  # the model does what the test is about


class Initializer(tf.saved_model.experimental.TrackableResource):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = str(path)
        self.resource_handle  # noqa: B018 (makes it)

    def _create_resource(self) -> Any:
        return tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=[])

    def _initialize(self) -> None:
        tf.io.write_file(self._path, "ran")

    def _destroy_resource(self) -> None:
        pass


class Scale(tf.Module):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self.resource = Initializer(path)

    @tf.function(input_signature=[tf.TensorSpec([1, 4], tf.float32, name="a")])
    def __call__(self, a: Any) -> dict[str, Any]:
        self.resource.resource_handle  # noqa: B018 (captures it)
        return {"b": 2 * a}


def initializer_of_2(folder: Path, ran: Path) -> None:
    module = Scale(ran)
    tf.saved_model.save(module, str(folder), signatures=module.__call__)


def main_op_of_1(folder: Path, ran: Path) -> None:
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        a = tf.compat.v1.placeholder(tf.float32, [1, 4], "a")
        signature = tf.compat.v1.saved_model.predict_signature_def({"a": a}, {"b": 2 * a})
        write = tf.raw_ops.WriteFile(filename=str(ran), contents="ran")
        builder = tf.compat.v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature}, main_op=write)
        builder.save()


@pytest.mark.parametrize("write", [initializer_of_2, main_op_of_1])
def test_what_a_saved_model_runs_when_it_is_loaded(write: Callable[[Path, Path], None], tmp_path: Path):
    ran, folder = tmp_path / "ran", tmp_path / "saved"
    write(folder, ran)
    ran.unlink(missing_ok=True)
    with pytest.raises(ModelError, match=r"its .* holds the operator 'WriteFile', which may reach files.*--trust"):
        load_model(folder)
    assert not ran.exists()
    tf.saved_model.load(str(folder))
    assert ran.exists()


def test_python_in_a_saved_model(tmp_path: Path):
    module = tf.Module()
    spec = tf.TensorSpec([1, 4], tf.float32, name="a")
    module.f = tf.function(lambda a: tf.ensure_shape(tf.numpy_function(np.abs, [a], tf.float32), [1, 4]), [spec])
    tf.saved_model.save(module, str(tmp_path), signatures=module.f)
    with pytest.raises(ModelError, match=r"function '.*' holds the operator '(Eager)?PyFunc\w*'"):
        load_model(tmp_path)


def test_operators_that_reach_out():
    harmless = ("MatMul", "VarHandleOp", "RandomUniform", "HashTableV2", "TensorListReserve", "StatefulPartitionedCall")
    reaching = ("WriteFile", "ReadFile", "PyFuncStateless", "SaveV2", "RestoreV2", "PrintV2", "TextLineDataset", "Send")
    assert set(find_dangers((*harmless, *reaching, "Odd"))) == {*reaching, "Odd"}


def layer(name: str, **more: Any) -> dict[str, Any]:
    return {"class_name": name, "config": {"name": "inner"}, **more}


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (layer("Dense", module="os.path"), "is of the module 'os.path', which is none of Keras"),
        (layer("Dense", module="keras_evil.layers"), "none of Keras"),
        (layer("Dense", module="keras.layers", registered_name="keras>Lambda"), r"\(Lambda\) holds Python code"),
        (layer("TFSMLayer", module="keras.layers"), "runs or reads what a path"),
        (layer("TorchModuleWrapper", module="keras.layers"), "pickled"),
        ({"class_name": "__lambda__", "config": {"value": ""}}, "Python code"),
        ({"class_name": "function", "config": "system", "module": "os"}, "the function 'system' of the module 'os'"),
        ({"class_name": "function", "config": "get_file", "module": "keras.utils"}, "no function of a network"),
        ({"class_name": "TFOpLambda", "config": {"name": "inner", "function": "io.write_file"}}, "no arithmetic"),
        ({"class_name": "TFOpLambda", "config": {"name": "inner", "function": "load_op_library"}}, "no arithmetic"),
        ({"class_name": "TensorFlowOpLayer", "config": {"node_def": {"op": "WriteFile"}}}, "'WriteFile'"),
        ({"class_name": "Residual", "config": {"residual_fn_type": "lambda"}}, "Python code"),
        ({"class_name": "StringLookup", "config": {"vocabulary": "/etc/passwd"}}, "read the file '/etc/passwd'"),
    ],
)
def test_what_a_configuration_may_not_hold(node: dict[str, Any], message: str):
    config = {"class_name": "Functional", "config": {"name": "outer", "layers": [layer("Dense"), node]}}
    found = find_code(config, lambda name: False)
    assert found is not None
    assert re.match(rf"layer '.*{message}", found), found


@pytest.mark.parametrize(
    "node",
    [
        layer("Dense", module="keras.layers", registered_name=None),
        layer("Functional", module="keras.src.models.functional", registered_name="Functional"),
        layer("Add", module="keras.src.ops.numpy"),
        layer("Mine", module="mine.layers", registered_name="package>Mine"),  # the caller's own, loaded already
        {"class_name": "function", "config": "relu6", "module": "keras.activations"},
        {"class_name": "function", "config": "relu", "module": "builtins"},
        {"class_name": "TFOpLambda", "config": {"function": "math.add"}},
        {"class_name": "SlicingOpLambda", "config": {"function": "__operators__.getitem"}},
        {"class_name": "TensorFlowOpLayer", "config": {"node_def": {"op": "AddV2"}}},
        {"class_name": "StringLookup", "config": {"vocabulary": ["a", "b"]}},
    ],
)
def test_what_networks_hold(node: dict[str, Any]):
    assert find_code([node, {"nested": node}], lambda name: name == "package>Mine") is None


def test_weights_that_are_links_to_other_files(tmp_path: Path):
    path = tmp_path / "model.h5"
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]).save(path)
    with h5py.File(path, "a") as file:
        file["model_weights/other"] = h5py.ExternalLink("/etc/passwd", "/")
    with pytest.raises(ModelError, match="holds the link 'other' to another place"):
        load_model(path)


def test_a_library_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "model.h5"
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]).save(path)
    monkeypatch.setattr("converters.frontend.hdf5_check._CHILD", "import time; time.sleep(60)")
    monkeypatch.setattr("converters.frontend.hdf5_check._SECONDS", 0.3)
    with pytest.raises(ModelError, match="cannot be read as HDF5: reading it does not end within 0 s"):
        load_model(path)
    monkeypatch.setattr("converters.frontend.hdf5_check._CHILD", "import os; os.abort()")
    monkeypatch.setattr("converters.frontend.hdf5_check._SECONDS", 30.0)
    with pytest.raises(ModelError, match=r"the HDF5 library dies of it \(exit status -6\)"):
        load_model(path)
