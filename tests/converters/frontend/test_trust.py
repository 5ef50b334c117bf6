"""No code of a model file runs unless it is trusted: each would make a file, which must not be there."""

from __future__ import annotations

import json
import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from converters.errors import ModelError
from converters.frontend.graph_ops import find_dangers
from converters.frontend.hdf5_check import find_fault
from converters.frontend.keras_config import find_code
from converters.frontend.load import load_model
from converters.frontend.saved_model_code import find_code as find_operator

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")
tf_keras = pytest.importorskip("tf_keras")
saved_model_pb2 = pytest.importorskip("tensorflow.core.protobuf.saved_model_pb2")

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


def test_a_model_of_keras_2_that_is_another_file(tmp_path: Path):
    ran, saved, path = tmp_path / "ran", tmp_path / "saved", tmp_path / "model.keras"
    initializer_of_2(saved, ran)
    ran.unlink(missing_ok=True)
    config = {"name": "r", "filepath": str(saved), "call_endpoint": "serve"}
    root = {"class_name": "ReloadedLayer", "module": "tf_keras.src.export.export_lib", "config": config}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "2.21.0"}))
        archive.writestr("config.json", json.dumps({**root, "registered_name": None}))
    with pytest.raises(ModelError, match=r"\(ReloadedLayer\) runs or reads what a path in the file points to"):
        load_model(path)
    assert not ran.exists()


def test_losses_of_the_users_own_are_not_looked_at(tmp_path: Path):
    def own_loss(y: Any, found: Any) -> Any:
        return keras.ops.mean(found - y)

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.compile(loss=own_loss)
    model.save(tmp_path / "model.keras")
    assert load_model(tmp_path / "model.keras").inputs[0].shape == (1, 4)


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


@pytest.mark.parametrize("way", ["as a gradient", "for another", "by an operator's name"])
def test_functions_for_saving_are_looked_at_if_they_may_run_otherwise(way: str, tmp_path: Path):
    module = tf.Module()
    module.v = tf.Variable(1.0)
    module.f = tf.function(lambda a: module.v * a, [tf.TensorSpec([1, 4], tf.float32, name="a")])
    tf.saved_model.save(module, str(tmp_path), signatures=module.f)
    assert find_operator(tmp_path) is None
    content = saved_model_pb2.SavedModel()
    content.ParseFromString((tmp_path / "saved_model.pb").read_bytes())
    library = content.meta_graphs[0].graph_def.library
    save = next(f for f in library.function if any(node.op == "SaveV2" for node in f.node_def))
    if way == "as a gradient":
        library.registered_gradients.add(gradient_func=save.signature.name, registered_op_type="G")
    elif way == "for another":
        save.attr["api_implements"].s = b"this"
    else:
        library.function.add().signature.name = "WriteFile"
    (tmp_path / "saved_model.pb").write_bytes(content.SerializeToString())
    assert re.search(r"its function '.*' (holds the operator|goes by the name of)", find_operator(tmp_path) or "")


def test_pipes_in_a_saved_model_are_not_waited_for(tmp_path: Path):
    (tmp_path / "saved_model.pbtxt").write_text("")
    os.mkfifo(tmp_path / "saved_model.pb")
    with pytest.raises(ModelError, match=r"holds a device, a pipe or a socket, '.*saved_model\.pb', which is not read"):
        load_model(tmp_path)


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
        (layer("Dense", module="os.path"), "is of the module 'os.path', where Keras has no parts of networks"),
        (layer("Dense", module="keras_evil.layers"), "no parts of networks"),
        (layer("Dense", module="keras.layers", registered_name="keras>Lambda"), r"\(Lambda\) holds Python code"),
        (layer("TFSMLayer", module="keras.layers"), "runs or reads what a path"),
        (layer("TorchModuleWrapper", module="keras.layers"), "pickled"),
        (layer("ReloadedLayer", module="tf_keras.src.export.export_lib"), "what a path in the file points to"),
        (layer("plot_model", module="keras.utils"), "module 'keras.utils', where Keras has no parts of networks"),
        (layer("Switch", module="keras.src.ops.core"), "calls functions that the file names"),
        (layer("clone_model", module="keras.models"), "the odd class name 'clone_model'"),
        (layer("__loader__.get_data", module="keras.layers"), "odd class name"),
        (layer("Odd", module="keras.layers", registered_name="Other"), "two names, 'Odd' and 'Other'"),
        (layer("__typespec__", module="keras.layers", registered_name="x", spec_name="TFOpLambda"), "a type that"),
        ({"class_name": "__lambda__", "config": {"value": ""}}, "Python code"),
        ({"class_name": "function", "config": "breakpoint", "module": "builtins"}, "'breakpoint'"),
        (
            {"class_name": "function", "config": "x", "module": "builtins", "registered_name": "input"},
            "calls the function",
        ),
        (
            {"class_name": "function", "config": "x", "module": "os", "registered_name": "package>Mine"},
            "calls the function",
        ),
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
    found = find_code(config, lambda name: name == "package>Mine")
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
        layer("LayerScale", module="keras.src.applications.convnext", registered_name="LayerScale"),
        {"class_name": "function", "config": "relu", "module": "builtins", "registered_name": "function"},
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
    with pytest.raises(ModelError, match=r"the HDF5 library dies of it \(SIGABRT\)"):
        load_model(path)


def test_the_reader_of_hdf5_takes_no_modules_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "model.h5"
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]).save(path)
    (tmp_path / "io.py").write_text("")
    (tmp_path / "zipfile.py").write_text("open('ran', 'w')")
    monkeypatch.chdir(tmp_path)
    assert find_fault(path) is None
    assert not (tmp_path / "ran").exists()
