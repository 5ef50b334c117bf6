"""``tfmpq train``."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import tfmpq
from tests.support.documents import checked
from tests.support.keras_nets import data, shared
from tests.support.shards import npy, write_tar

QUICK = ("--sensitivity=energy", "--novalidate", "--noprogress", "--epochs=2", "--batch_size=8")
CODE = """
import numpy as np
import tensorflow as tf

with np.load(__file__.replace("pipeline.py", "labelled.npz")) as file:
    LABELLED = dict(file)

def samples():
    return tf.data.Dataset.from_tensor_slices((LABELLED["x"], LABELLED["y"])).shuffle(48)

def fails():
    raise RuntimeError("no data today")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, samples it was not trained on, and a Python file."""
    path = tmp_path_factory.mktemp("train")
    model = shared()
    x = data(model, 48)
    with warnings.catch_warnings():  # Keras's own use of NumPy
        warnings.simplefilter("ignore", DeprecationWarning)
        model.save(path / "net.keras")
    np.savez(path / "labelled.npz", x=x, y=np.asarray(model(x)).argmax(axis=-1))
    np.savez(path / "unlabelled.npz", x=x)
    (path / "pipeline.py").write_text(CODE)
    with np.load(path / "labelled.npz") as arrays:
        samples = [{"npy": npy(a), "cls": str(b).encode()} for a, b in zip(arrays["x"], arrays["y"], strict=True)]
    write_tar(path / "0.tar", samples[:20])
    write_tar(path / "1.tar", samples[20:])
    (path / "cut.tar").write_bytes((path / "0.tar").read_bytes()[:700])
    return path


@pytest.fixture
def train(run: Any, folder: Path, tmp_path: Path) -> Any:
    """Runs the command in short; what it writes lies in ``tmp_path``."""

    def command(method: str, data: str, *more: object) -> tuple[int, str, str]:
        output = ("-o", tmp_path / "out.tflite")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return run(
                "train", folder / "net.keras", f"--method={method}", f"--data={folder / data}", *output, *QUICK, *more
            )

    return command


def test_the_file_has_the_trained_integers_and_the_result_says_what_was_measured(
    train: Any, folder: Path, tmp_path: Path
):
    code, out, err = train("lg_lsq", "labelled.npz", "--bits=3", f"--keras_output={tmp_path / 's.keras'}", "--json=-")
    assert code == 0, err
    found = checked(out, "train")
    assert found["how"] == "lg_lsq, 3-bit weights, int8 activations, 2 epochs of 42 samples"
    assert found["measured_on"] == f"6 samples held back from '{folder / 'labelled.npz'}'"
    assert (found["measured_samples"], found["score"]) == (6, "top-1")
    assert list(found["scores"]) == ["float", "before training", "trained", "file"]
    assert found["scores"]["float"] == 1  # the labels are its own
    assert found["made_by"]["options"]["method"] == "lg_lsq"
    content = (tmp_path / "out.tflite").read_bytes()
    assert found["report"]["file"]["bytes"] == len(content)
    student = keras.models.load_model(tmp_path / "s.keras")
    # The samples of calibration are those that it was trained on, in their order in the file.
    order = np.sort(np.random.default_rng(0).permutation(48)[6:])
    with np.load(folder / "labelled.npz") as file:
        samples = file["x"][order]
    again = tfmpq.convert(student, samples, sensitivity="energy", validate=False, progress=False)
    assert again.tflite_model == content


@pytest.mark.slow
def test_a_python_file_gives_the_data(train: Any, folder: Path):
    code, out, err = train(
        "inq", "pipeline.py:samples", "--teacher=0", "--epochs=4", f"--validation={folder / 'labelled.npz'}"
    )
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0].startswith("wrote ")
    assert " bytes, " in lines[0]
    assert lines[2:] == [
        "method    inq, 5-bit weights, int8 activations, 4 epochs of 48 samples",
        lines[3],
        f"          on '{folder / 'labelled.npz'}', 48 samples",
    ]
    assert lines[3].startswith("measured  top-1: float 100.0 %, trained ")
    assert "before training" not in lines[3]  # weights are float then
    assert "ran out of data" not in err


@pytest.mark.slow
def test_shards_give_the_data(train: Any, folder: Path):
    code, out, err = train("lg_lsq", "[01].tar", "--bits=4")
    assert code == 0, err
    assert "\nmethod    lg_lsq, 4-bit weights, int8 activations, 2 epochs of 42 samples\n" in out
    assert f"\n          on 6 samples held back from '{folder / '[01].tar'}'" in out
    assert "\nmeasured  top-1: float 100.0 %, " in out
    assert "ran out of data" not in err


@pytest.mark.slow
@pytest.mark.nightly  # what counts as worse: training/test_objective.py
def test_a_rate_that_is_too_high_is_named(train: Any, folder: Path):
    data = folder / "labelled.npz"
    code, out, err = train("lg_lsq", data.name, "--bits=4", "--learning_rate=1", f"--validation={data}")
    assert code == 0, err
    assert "\n          worse than before training: try a lower --learning_rate (here 1)\n" in out


@pytest.mark.slow
@pytest.mark.nightly  # by day: training/test_distill.py, and the other methods of the command
def test_distillation_needs_no_labels(train: Any):
    code, out, err = train("distill", "unlabelled.npz", "--bits=3", "--points=1")
    assert code == 0, err
    assert "images are few" in err
    assert "\nmethod    distill, 3-bit points, 2 epochs of 42 samples\n          loss " in out
    assert "\nmeasured  top-1 against the float model: before training " in out


def test_quiet_prints_nothing(train: Any, tmp_path: Path):
    code, out, err = train(
        "lg_lsq", "unlabelled.npz", "--quiet", "--validation=0", "--epochs=1", f"--json={tmp_path / 'a.json'}"
    )
    assert code == 0, err
    assert out == ""
    assert "epoch" not in err.lower()
    notes = checked((tmp_path / "a.json").read_text(), "train")["notes"]
    assert notes == ["without labels: the float model alone is the teacher"]
    assert (tmp_path / "out.tflite").exists()


@pytest.mark.parametrize(
    ("method", "data", "more", "code", "message"),
    [
        ("lg_lsq", "labelled.npz", ["--bits=9"], 2, "lg_lsq: bits=9 is out of range"),
        ("ttq", "labelled.npz", ["--points=2"], 2, "--points is for differentiable, distill, not for ttq"),
        ("distill", "labelled.npz", ["--activation_bits=4"], 2, "--activation_bits is for lg_lsq, ttq"),
        ("lg_lsq", "labelled.npz", ["--validation=1"], 2, "--validation=1: give a share from 0 to less than 1"),
        (
            "lg_lsq",
            "labelled.npz",
            ["--keras_output=s.h5"],
            2,
            "--keras_output=s.h5: Keras writes its models as .keras",
        ),
        ("lg_lsq", "labelled.npz", ["--keras_output=none/s.keras"], 2, "there is no directory"),
        ("lg_lsq", "none.npz", [], 1, "none.npz' cannot be read"),
        ("lg_lsq", "cut*.tar", [], 1, "cut.tar' cannot be read after 0 samples"),
        ("lg_lsq", "*.npy", [], 1, "no file matches"),
        ("lg_lsq", "pipeline.py", [], 1, "does not say which function gives the data"),
        ("lg_lsq", "pipeline.py:fails", ["--validation=0"], 1, "fails() of"),
        ("lg_lsq", "pipeline.py:samples", [], 2, "no part of it can be held back"),
        ("lg_lsq", "unlabelled.npz", ["--teacher=.5"], 1, "has no labels, and --teacher=0.5 leaves a share"),
        ("lg_lsq", "labelled.npz", ["--learning_rate=1e30"], 1, "training stopped in epoch 1, batch "),
    ],
)
def test_what_is_wrong_is_one_line(
    train: Any, tmp_path: Path, method: str, data: str, more: list[str], code: int, message: str
):
    found, out, err = train(method, data, *more)
    assert (found, out) == (code, "")
    line = next(line for line in err.splitlines() if line.startswith("tfmpq train: "))
    assert message in line
    assert "Traceback" not in err
    assert not (tmp_path / "out.tflite").exists()


def test_models_that_are_not_trained(run: Any, folder: Path, tmp_path: Path):
    arguments = ("--method=ttq", f"--data={folder / 'labelled.npz'}", "-o", tmp_path / "out.tflite")
    code, _, err = run("train", folder / "none.keras", *arguments)
    assert code == 1
    assert "none.keras' does not exist" in err
    code, _, err = run("train", folder / "labelled.npz", *arguments)
    assert code == 1
    assert "is no .keras or .h5 file" in err
