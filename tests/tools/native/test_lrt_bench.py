"""The native benchmark: built here, and compared with Python's interpreter and NumPy."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters.runtime import interpreter as runtime
from converters.runtime.delegation import Coverage, delegate_coverage
from converters.tflite import graph
from converters.tflite.packing import pack_int4
from converters.tflite.reader import load
from converters.tflite.writer import save
from tests.support.dynamic_models import dense_op, lookup_op
from tests.support.op_models import activation, bias, file_of, layer_op, weight
from tests.support.whole_files import two_entries
from tfmpq.benchmark.device import Device
from tfmpq.benchmark.inputs import random_inputs
from tfmpq.benchmark.result import Noise, Pair, Run
from tfmpq.benchmark.statistics import time_ratio

SOURCES = Path(__file__).parents[3] / "tools" / "native"
STRICT = ("-std=c11", "-O1", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
QUICK = ("--rounds=2", "--min_runs=4", "--min_seconds=0", "--warmup=1")
DIGITS = 1e-7  # JSON carries nine
FIRST_IN_LINE = "lrt_bench: "

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the native benchmark is for Linux")

Bench = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def compiler() -> str:
    named = os.environ.get("CC", "cc").split()[0]
    found = next((path for path in map(shutil.which, (named, "gcc", "clang")) if path), None)
    if found is None:
        pytest.skip("there is no C compiler")
    return found


@pytest.fixture(scope="module")
def library() -> str:
    spec = importlib.util.find_spec("ai_edge_litert")
    assert spec is not None
    assert spec.submodule_search_locations
    version = importlib.metadata.version("ai-edge-litert")
    if not version.startswith("2.3."):
        pytest.skip(f"the C interface is that of ai-edge-litert 2.3, and {version} is installed")
    return str(Path(spec.submodule_search_locations[0]) / "libLiteRt.so")


@pytest.fixture(scope="module")
def program(compiler: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("native") / "lrt_bench"
    sources = sorted(map(str, SOURCES.glob("*.c")))
    built = subprocess.run(
        [compiler, *STRICT, *sources, "-o", str(path), "-lm", "-ldl"], capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    return path


@pytest.fixture(scope="module")
def bench(program: Path, library: str) -> Bench:
    def run(*arguments: object, library: str = library) -> subprocess.CompletedProcess[str]:
        command = [str(program), "--library", library, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)

    return run


@pytest.fixture(scope="module")
def models(
    conv_net_int8: bytes,
    conv_net_float: bytes,
    to_tflite: Callable[..., bytes],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Path]:
    """Files by what is special about them."""
    directory = tmp_path_factory.mktemp("models")
    contents = {
        "int8": conv_net_int8,
        "float": conv_net_float,
        "int4 conv": with_int4_projection(conv_net_int8),
        "int4 dense": int4_dense(),
        "all types": all_types(to_tflite),
        "tokens": tokens(),
        "two signatures": two_entries(),
    }
    paths = {name: directory / f"{name.replace(' ', '_')}.tflite" for name in contents}
    for name, content in contents.items():
        paths[name].write_bytes(content)
    return paths


def with_int4_projection(content: bytes) -> bytes:
    """The 1x1 convolution's weights stored as INT4, which XNNPACK leaves to the built-in kernels."""
    model = load(content)
    weights = [op for op in model.graph.ops if op.name == "CONV_2D"][-1].input(1)
    weights.data = pack_int4(np.clip(weights.array(), -7, 7))
    weights.type = graph.TensorType.INT4
    return save(model)


def int4_dense() -> bytes:
    """A dense layer with INT4 weights, in a file without a signature."""
    random = np.random.default_rng(0)
    source, output = activation("source", (1, 64), 0.1, 3), activation("output", (1, 16), 0.9, -5)
    weights = weight("weight", "dense", random.integers(-7, 8, (16, 64)), random.uniform(0.05, 0.2, 16), int4=True)
    biases = bias("bias", random.integers(-100, 100, 16), source, weights)
    return file_of([layer_op("dense", source, weights, biases, output)], [source], [output])


def tokens() -> bytes:
    """Ids, an INT4 table with a scale a row, and a dense layer of int8 rows beside float activations."""
    random = np.random.default_rng(1)
    lookup, dense = lookup_op(random, 40, 16, 6, bits=4), dense_op(random, (6, 16), 8, bits=8)
    dense.inputs[0] = lookup.outputs[0]
    dense.outputs[0].name = "z"
    return file_of([lookup, dense], [lookup.input(0)], dense.outputs)


def all_types(to_tflite: Callable[..., bytes]) -> bytes:
    """Inputs of every type that random values exist for, with an open batch, and two outputs of unlike types.

    The signature has them in another order than the graph.
    """
    import tensorflow as tf

    module = tf.Module()
    kinds = {
        "words": tf.int16,
        "flags": tf.bool,
        "real": tf.float32,
        "pixels": tf.uint8,
        "long": tf.int64,
        "index": tf.int32,
    }

    @tf.function
    def combine(**given: tf.Tensor) -> dict[str, tf.Tensor]:
        parts = [tf.cast(given[name], tf.float32) * (i + 0.5) for i, name in enumerate(kinds)]
        return {"sums": tf.add_n(parts), "bits": tf.cast(given["index"], tf.int32) + tf.cast(given["flags"], tf.int32)}

    signature = combine.get_concrete_function(
        **{name: tf.TensorSpec((None, 3), kind, name) for name, kind in kinds.items()}
    )
    model = load(to_tflite(module, signatures=signature))
    (entry,) = model.signatures
    for arguments, tensors in ((entry.inputs, model.graph.inputs), (entry.outputs, model.graph.outputs)):
        arguments.sort(key=lambda argument: -tensors.index(argument[1]))
    return save(model)


def python_outputs(path: Path, kernels: Any, seed: int) -> tuple[bytes, Coverage]:
    interpreter = runtime.make_interpreter(path, kernels=kernels)
    feeds = random_inputs(runtime.inputs(interpreter), seed)
    outputs = runtime.run(interpreter, feeds)
    return b"".join(output.tobytes() for output in outputs), delegate_coverage(interpreter)


def only_run(path: Path) -> dict[str, Any]:
    (run,) = json.loads(path.read_text())["runs"]
    return run


@pytest.mark.parametrize("kernels", ["xnnpack", "builtin"])
@pytest.mark.parametrize("name", ["int8", "float", "int4 conv", "int4 dense", "all types", "tokens", "two signatures"])
def test_bytes_and_coverage_are_those_of_python(bench: Bench, models, tmp_path: Path, name: str, kernels: str):
    raw, report = tmp_path / "outputs.bin", tmp_path / "report.json"
    done = bench(models[name], f"--delegates={kernels}", "--seed=7", "--output", raw, "--json", report, *QUICK)
    assert (done.returncode, done.stderr.count("error")) == (0, 0), done.stderr
    expected, coverage = python_outputs(models[name], kernels, seed=7)
    run = only_run(report)
    assert raw.read_bytes() == expected
    assert (run["delegated_ops"], run["ops"], run["partitions"]) == (
        coverage.delegated_ops,
        coverage.total_ops,
        coverage.partitions,
    )
    # Another seed: other inputs. Otherwise the bytes above would prove little. Ids are 0 with any seed.
    assert (python_outputs(models[name], kernels, seed=8)[0] != expected) == (name != "tokens")


def test_given_inputs_go_in_graph_order(bench: Bench, models, tmp_path: Path):
    path = models["all types"]
    interpreter = runtime.make_interpreter(path)
    feeds = random_inputs(runtime.inputs(interpreter), 11)
    files = []
    for detail in runtime.inputs(interpreter):
        files.append(tmp_path / f"{detail.name}.bin")
        files[-1].write_bytes(feeds[detail.name].tobytes())
    given = [f"--input={file}" for file in files]
    raw = tmp_path / "outputs.bin"
    assert bench(path, *given, "--output", raw, *QUICK).returncode == 0
    assert raw.read_bytes() == python_outputs(path, "xnnpack", seed=11)[0]

    missing = bench(path, *given[:2], *QUICK)
    assert missing.returncode == 1
    assert "2 --input for a model with 6 inputs" in missing.stderr
    files[0].write_bytes(b"12345")
    wrong = bench(path, *given, *QUICK)
    assert wrong.returncode == 1
    assert "input 0 takes" in wrong.stderr
    assert "not 5" in wrong.stderr
    lost = bench(path, *given[:5], f"--input={tmp_path / 'lost'}", *QUICK)
    assert (lost.returncode, lost.stderr.count("\n")) == (2, 1)
    assert "lost: No such file or directory" in lost.stderr


def test_fields_are_those_of_the_python_tool(bench: Bench, models, tmp_path: Path):
    report = tmp_path / "report.json"
    files = (models["int8"], models["float"])
    options = ("--threads=1,2", "--delegates=xnnpack,builtin", "--rounds=6", "--min_runs=12", "--min_seconds=0")
    done = bench(*files, *options, "--json", report)
    assert done.returncode == 0, done.stderr
    assert "float.tflite" in done.stdout
    found = json.loads(report.read_text())
    assert list(found) == ["device", "noise", "runs"]

    def names(kind: type) -> set[str]:
        return {field.name for field in dataclasses.fields(kind)}

    fields = names(Run) - {"output_sha256"}  # the bytes themselves are there for --output

    assert set(found["device"]) == names(Device) - {"python"}
    assert set(found["noise"]) == names(Noise)
    assert all(set(pair) == names(Pair) for pair in found["noise"]["pairs"])
    assert all(set(run) == fields for run in found["runs"])
    rows = [(run["delegate"], run["threads"], run["path"]) for run in found["runs"]]
    expected = [(d, t, str(file)) for d in ("xnnpack", "builtin") for t in (1, 2) for file in files]
    assert rows == expected
    assert len(found["noise"]["pairs"]) == 4
    for run in found["runs"]:
        assert run["error"] is None
        assert run["count"] >= 12
        assert run["bytes"] == os.path.getsize(run["path"])
        assert all(run[field] is not None for field in fields - {"error"})
        assert run["ratio_low"] <= run["ratio"] <= run["ratio_high"]
        assert (run["ratio"] == 1) == (run["path"] == str(files[0]))
        assert run["min_ms"] <= run["p50_ms"] <= run["p90_ms"] <= run["p95_ms"] <= run["p99_ms"] <= run["max_ms"]


@pytest.mark.parametrize("rounds", [1, 5, 6, 25])
def test_statistics_are_those_of_numpy(bench: Bench, models, tmp_path: Path, rounds: int):
    report = tmp_path / "report.json"
    files = (models["int8"], models["float"])
    done = bench(
        *files, f"--rounds={rounds}", f"--min_runs={7 * rounds}", "--min_seconds=0", "--times", "--json", report
    )
    assert done.returncode == 0, done.stderr
    runs = json.loads(report.read_text())["runs"]
    for run in runs:
        assert [len(times) for times in run["times_ms"]] == [7] * rounds
        times = np.concatenate(run["times_ms"])
        assert run["count"] == times.size
        percentiles = np.percentile(times, [0, 50, 90, 95, 99, 100]).tolist()
        fields = ("min_ms", "p50_ms", "p90_ms", "p95_ms", "p99_ms", "max_ms")
        assert [run[field] for field in fields] == pytest.approx(percentiles, rel=DIGITS)
        assert (run["mean_ms"], run["std_ms"]) == pytest.approx((times.mean(), times.std()), rel=1e-6)
        ratio = time_ratio(run["times_ms"], runs[0]["times_ms"])
        assert run["ratio"] == pytest.approx(ratio.ratio, rel=DIGITS)
        assert (run["ratio_low"] is None) == (run["ratio_high"] is None) == (rounds < 6)
        if rounds >= 6:
            assert (run["ratio_low"], run["ratio_high"]) == pytest.approx((ratio.low, ratio.high), rel=DIGITS)


def test_failing_files_leave_the_others_alone(bench: Bench, models, conv_net_int8: bytes, tmp_path: Path):
    cut, text = tmp_path / "cut.tflite", tmp_path / "text.tflite"
    cut.write_bytes(conv_net_int8[: len(conv_net_int8) // 2])
    text.write_text("not a model at all")
    refused, report = tmp_path / "refused.tflite", tmp_path / "report.json"
    refused.write_bytes(with_a_wrong_bias(conv_net_int8))
    files = [models["int8"], cut, tmp_path / "missing.tflite", text, tmp_path, models["int4 dense"], refused]
    done = bench(*files, models["float"], *QUICK, "--json", report)
    assert done.returncode == 1
    good, *bad, last = json.loads(report.read_text())["runs"]
    assert good["error"] is None
    assert last["error"] is None
    assert last["ratio"] is not None
    assert [run["p50_ms"] for run in bad] == [None] * 6
    crashed, missing, no_model, directory, other_shape, no_bias = (run["error"] for run in bad)
    # LiteRT reads a cut file without looking: it crashes, or says so, as it happens.
    assert "crashed" in crashed or "LiteRT" in crashed
    assert missing == "No such file or directory"
    assert no_model == "not a TensorFlow Lite file"
    assert directory == "not a regular file"
    assert "its inputs are 1x64, those of" in other_shape
    assert "LiteRT refuses this model" in no_bias
    assert "invalid quantization parameters" in no_bias  # the runtime's own words
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 6
    assert all("\n" not in run["error"] for run in bad)


def with_a_wrong_bias(content: bytes) -> bytes:
    """The first convolution with a bias too few."""
    model = load(content)
    biases = model.graph.ops[0].input(2)
    assert biases.data is not None
    biases.data, biases.shape = biases.data[:-4], (biases.shape[0] - 1,)
    return save(model)


def test_no_ratio_without_the_first_file(bench: Bench, models, tmp_path: Path):
    report = tmp_path / "report.json"
    assert bench(tmp_path / "missing", models["int8"], *QUICK, "--json", report).returncode == 1
    result = json.loads(report.read_text())
    assert result["runs"][1]["p50_ms"] is not None
    assert result["runs"][1]["ratio"] is None
    assert result["noise"]["pairs"][0]["path"] == str(models["int8"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no .tflite file"),
        (("--min_runs=0", "x"), "--min_runs 0: not a whole number from 1 to 1000000000"),
        (("--rounds=0", "x"), "--rounds 0"),
        (("--warmup=-1", "x"), "--warmup -1"),
        (("--warmup= -1", "x"), "--warmup  -1"),
        (("--warmup=", "x"), "--warmup : not a whole number from 0"),
        (("--warmup=1000000001", "x"), "--warmup 1000000001: not a whole number from 0 to 1000000000"),
        (("--threads=1,,2", "x"), "--threads"),
        (("--threads=0", "x"), "--threads 0"),
        (("--threads=1,1025", "x"), "--threads 1025: not a whole number from 1 to 1024"),
        ((f"--threads={','.join(map(str, range(1, 66)))}", "x"), "--threads: more than 64"),
        (("--min_seconds=soon", "x"), "--min_seconds soon: not a number of seconds from 0 to 1e+06"),
        (("--min_seconds=", "x"), "--min_seconds : not a number of seconds"),
        (("--timeout=0", "x"), "--timeout 0: not a number of seconds from 0.001"),
        (("--timeout=nan", "x"), "--timeout nan: not a number of seconds"),
        (("--delegates=xnnpack,gpu", "x"), "--delegates gpu: xnnpack, builtin or both"),
        (("--seed=1.5", "x"), "--seed 1.5"),
        (("--seed=18446744073709551616", "x"), "not a whole number from 0 to 18446744073709551615"),
        (("--input=y",) * 65 + ("x",), "more than 64 --input"),
        (("--output=y", "--threads=1,2", "x"), "--output takes the outputs of one file with one configuration"),
        (("--fast", "x"), "unrecognized option '--fast'"),
        (("x", "-q"), "invalid option -- 'q'"),
        (("--min=3", "x"), "option '--min=3' is ambiguous"),
        (("--times=3", "x"), "option '--times' doesn't allow an argument"),
        (("x", "--json"), "option '--json' requires an argument"),
    ],
)
def test_wrong_command_lines_are_one_line(bench: Bench, arguments: tuple[str, ...], message: str):
    done = bench(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(FIRST_IN_LINE)
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_unwritable_report_is_an_error(bench: Bench, models, tmp_path: Path):
    done = bench(models["int8"], *QUICK, "--json", tmp_path / "no" / "report.json")
    assert done.returncode == 1
    assert "int8.tflite" in done.stdout  # the table is there
    assert "report.json: cannot be written: No such file or directory" in done.stderr


def test_unwritable_outputs_are_an_error(bench: Bench, models, tmp_path: Path):
    for path, reason in ((tmp_path / "no" / "a.bin", "No such file or directory"), ("/dev/full", "No space left on")):
        done = bench(models["int8"], *QUICK, "--output", path)
        assert done.returncode == 1
        assert f"{path}: cannot be written: {reason}" in done.stderr


def test_json_on_standard_output_is_json_alone(bench: Bench, models):
    done = bench(models["int8"], *QUICK, "--json=-")
    assert json.loads(done.stdout)["runs"][0]["error"] is None


@pytest.fixture
def fake_library(compiler: str, tmp_path: Path) -> Callable[[str, str], str]:
    """Compiles a libLiteRt.so into a pretended installation of a version."""

    def build(version: str, code: str) -> str:
        package = tmp_path / "site-packages" / "ai_edge_litert"
        package.mkdir(parents=True)
        (package.parent / f"ai_edge_litert-{version}.dist-info").mkdir()
        source, path = tmp_path / "fake.c", package / "libLiteRt.so"
        source.write_text(code)
        subprocess.run([compiler, "-shared", "-fPIC", str(source), "-o", str(path)], check=True)
        return str(path)

    return build


def exported_functions() -> list[str]:
    lines = (SOURCES / "litert_api.h").read_text().splitlines()
    return [f"LiteRt{line.split(',')[1].strip()}" for line in lines if line.strip().startswith("X(")]


def test_a_library_outside_an_installation_may_do(bench: Bench, models, library: str, tmp_path: Path):
    copy, report = tmp_path / "copy" / "libLiteRt.so", tmp_path / "report.json"
    copy.parent.mkdir()
    copy.symlink_to(library)
    for path, runtime_name in (
        (copy, "libLiteRt of unknown version"),
        (library, f"libLiteRt {importlib.metadata.version('ai-edge-litert')}"),
    ):
        assert bench(models["int8"], *QUICK, "--json", report, library=str(path)).returncode == 0
        assert json.loads(report.read_text())["device"]["runtime"] == runtime_name


def test_a_library_of_another_version_is_refused(bench: Bench, models, fake_library):
    done = bench(models["int8"], library=fake_library("2.4.0", "int LiteRtCreateEnvironment(void) { return 0; }"))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "is of ai-edge-litert 2.4.0" in done.stderr
    assert "install ai-edge-litert==2.3.*" in done.stderr


def test_a_library_without_a_function_is_refused(bench: Bench, models, fake_library):
    functions = exported_functions()
    assert len(functions) > 30
    functions.remove("LiteRtRunCompiledModel")
    code = "".join(f"int {name}(void) {{ return 0; }}\n" for name in functions)
    done = bench(models["int8"], library=fake_library("2.3.1", code))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "has no function LiteRtRunCompiledModel" in done.stderr
    assert "not the one of LiteRT 2.3" in done.stderr


@pytest.mark.parametrize(
    ("answer", "message"),
    [("return 8", "LiteRT makes no environment: wrong version"), ("__builtin_trap()", "the runtime crashed")],
)
def test_a_library_that_works_otherwise_is_refused(bench: Bench, models, fake_library, answer: str, message: str):
    code = "".join(
        f"int {name}(void) {{ {answer if name == 'LiteRtCreateEnvironment' else 'return 0'}; }}\n"
        for name in exported_functions()
    )
    done = bench(models["int8"], library=fake_library("2.3.1", code))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert message in done.stderr


def test_a_missing_library_is_an_error(bench: Bench, models, tmp_path: Path):
    done = bench(models["int8"], library=str(tmp_path / "none.so"))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "cannot load the LiteRT library" in done.stderr


def test_a_process_that_hangs_is_given_up(bench: Bench, models):
    # One round takes two seconds of timed runs, so no answer comes within a quarter of that.
    done = bench(models["int8"], "--rounds=1", "--min_seconds=2", "--timeout=0.5")
    assert done.returncode == 1
    assert "no answer after 0.5 seconds" in done.stderr


def test_interrupting_shows_what_was_measured(program: Path, library: str, models, tmp_path: Path):
    report = tmp_path / "report.json"
    command = [program, "--library", library, models["int8"], "--delegates=xnnpack,builtin", "--json", report]
    with subprocess.Popen(
        [*command, "--rounds=100000", "--min_seconds=1000", "--verbose"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        for line in process.stderr:
            if "round 3 of" in line:
                break
        process.send_signal(signal.SIGINT)
        process.stderr.read()
        table = process.stdout.read()
    assert process.returncode == 130
    assert "int8.tflite" in table
    first, second = json.loads(report.read_text())["runs"]
    assert first["error"] is None
    assert first["count"] >= 3
    assert (second["error"], second["count"]) == ("interrupted before it was timed", None)
