from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from absl import flags
from PIL import Image

import tfmpq
from converters.errors import ConversionError
from converters.runtime import interpreter as runtime
from converters.tflite.reader import load
from tests.support.documents import checked
from tests.support.shards import npy, write_tar
from tests.support.whole_files import two_entries
from tfmpq.analysis.inspection import inspect as inspect_file
from tfmpq.cli import spelled
from tfmpq.commands import COMMANDS
from tfmpq.commands.convert import OPTIONS
from tfmpq.data.augmentation import image_views
from tfmpq.demo import DemoRow
from tfmpq.recipe.budget_text import parse_budget


@pytest.fixture(scope="module")
def files(tmp_path_factory, conv_net_float, conv_net_int8, images) -> Path:
    """A directory with float.tflite, int8.tflite, labelled.npz and calibration.npz."""
    path = tmp_path_factory.mktemp("files")
    (path / "float.tflite").write_bytes(conv_net_float)
    (path / "int8.tflite").write_bytes(conv_net_int8)
    np.savez(path / "labelled.npz", x=images, y=np.arange(len(images)) % 10)
    np.savez(path / "calibration.npz", images)
    return path


# ---------------------------------------------------------------- dispatch, help, usage


def test_help_lists_the_commands_and_each_shows_only_its_own_flags(run):
    code, out, err = run("--help")
    assert (code, err) == (0, "")
    assert COMMANDS.keys() == {
        "convert",
        "collect",
        "train",
        "expand",
        "inspect",
        "evaluate",
        "diff",
        "compare",
        "sweep",
        "check",
        "benchmark",
        "target",
        "cache",
        "demo",
        "schema",
    }
    assert all(f"\n  {name} " in out for name in COMMANDS)
    own = {"convert": "--io_dtype", "expand": "--model", "evaluate": "--against", "demo": "--output"}
    own |= {"benchmark": "--rounds", "target": "--passes", "check": "--junit", "schema": "--name"}
    for name in COMMANDS:
        code, out, _ = run(name, "--help")
        assert code == 0
        assert f"\n  tfmpq {name}" in out  # an example
        assert own.get(name, "--json") in out
        assert ("--bits" in out) == (name in ("convert", "collect", "compare", "train"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "usage: tfmpq COMMAND"),
        (["quantise"], "there is no command 'quantise'"),
        (["convert"], "--model and --data and --output must be given"),
        (["convert", "--bits=9"], "9 is not an integer in the range"),
        (["convert", "--lowering=merged"], "lowering"),
        (["convert", "--bogus"], "bogus"),
        (["inspect"], "1 argument(s) expected besides flags, 0 given"),
        (["inspect", "a", "b"], "2 given: ['a', 'b']"),
        (["evaluate", "a.tflite"], "give either --data or --counts"),
        (["evaluate", "a.tflite", "--data"], "data"),
    ],
)
def test_usage_errors_exit_with_2(run, arguments, message):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


def test_the_program_runs_as_a_module_and_reads_no_global_flags(files):
    command = [sys.executable, "-m", "tfmpq", "inspect", str(files / "int8.tflite"), "--json"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["file_bytes"] == (files / "int8.tflite").stat().st_size
    failed = subprocess.run([*command[:3], "nonsense"], capture_output=True, text=True, check=False)
    assert failed.returncode == 2


def test_version(run):
    assert run("--version") == (0, f"{tfmpq.__version__}\n", "")


def test_a_reader_that_stops_early_is_no_error(files):
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "tfmpq", "inspect", str(files / "int8.tflite")]
    result = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (result.returncode, result.stderr) == (0, "")


def test_interruption_is_not_a_traceback(run, monkeypatch, files):
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tfmpq.commands.evaluate.evaluate", interrupt)
    code, _, err = run("evaluate", files / "int8.tflite", "--data", files / "labelled.npz")
    assert (code, err) == (130, "tfmpq evaluate: interrupted\n")


def test_wrong_data_are_said_on_stderr_and_strict_refuses_them(run, files, tmp_path):
    np.savez(tmp_path / "zeros.npz", np.zeros_like(np.load(files / "calibration.npz")["arr_0"]))
    arguments = ("convert", "--model", files / "float.tflite", "--data", tmp_path / "zeros.npz")
    arguments += ("--output", tmp_path / "out.tflite", "--noprogress", "--novalidate", "--sensitivity=energy")
    code, out, err = run(*arguments, "--strict")
    assert (code, out) == (1, "")
    assert "is 0 everywhere" in err
    assert not (tmp_path / "out.tflite").exists()
    code, out, err = run(*arguments)
    assert code == 0
    assert "tfmpq convert: warning: All " in err
    assert out.startswith("wrote ")
    assert out.partition("\n\n")[2].startswith("warning  ")
    assert (tmp_path / "out.tflite").exists()


# ---------------------------------------------------------------- inspect, evaluate, demo


def test_inspect_prints_the_table_or_json(run, files):
    code, out, err = run("inspect", files / "int8.tflite")
    assert (code, out, err) == (0, f"{inspect_file(files / 'int8.tflite')}\n", "")
    code, out, _ = run("inspect", "--json=-", files / "int8.tflite")
    assert json.loads(out)["weights"][0]["op_name"] == "CONV_2D"


def test_inspect_lists_one_signature(run, tmp_path):
    path = tmp_path / "two.tflite"
    path.write_bytes(two_entries())
    code, out, err = run("inspect", path, "--signature=decode", "--delegate")
    assert code == 0, err  # the runtime may say there what it does
    assert out.startswith(f"{inspect_file(path, signature='decode')}\n\nXNNPACK runs 4 of 4 operators")
    code, out, err = run("inspect", path, "--signature=train")
    assert (code, out) == (2, "")
    assert f"signature='train': file '{path}' has the signatures ['prefill', 'decode']" in err


def test_evaluate_prints_accuracy_and_comparison(run, files):
    arguments = (
        "evaluate",
        files / "int8.tflite",
        "--data",
        files / "labelled.npz",
        "--against",
        files / "float.tflite",
    )
    code, out, err = run(*arguments)
    assert code == 0
    assert "sample/s" not in err  # where no one looks at it
    assert "same prediction" in out
    code, out, err = run(*arguments, "--json", "--progress")
    assert code == 0
    assert "64/64" in err  # the progress bar
    result = json.loads(out)
    assert result["count"] == 64
    assert 0.8 < result["against"]["agreement"] <= 1  # 43 dB SQNR leaves room for a flipped tie or two


def test_evaluate_by_another_metric(run, files, tmp_path):
    arguments = ("evaluate", files / "int8.tflite", "--quiet", "--json", "--data")
    code, out, err = run(*arguments, files / "labelled.npz", "--against", files / "float.tflite", "--metric=cosine")
    assert code == 0, err
    result = json.loads(out)
    assert result["metric"]["name"] == "cosine"
    assert 0.999 < result["metric"]["value"] < 1  # 43 dB SQNR
    assert result["top1"] is None
    with np.load(files / "labelled.npz") as arrays:
        np.savez(tmp_path / "column.npz", x=arrays["x"], y=np.stack([arrays["y"]] * 3, 1))
    code, _, err = run(*arguments, tmp_path / "column.npz", "--metric=perplexity")
    assert (code, "sample 0: perplexity needs one token number" in err) == (1, True)
    code, _, err = run(*arguments, files / "labelled.npz", "--metric=recall")
    assert (code, "--metric" in err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("inspect", "absent.tflite"), "file 'absent.tflite' cannot be read"),
        (("evaluate", "absent.tflite", "--data=labelled.npz"), "file 'absent.tflite' cannot be read"),
        (("evaluate", "int8.tflite", "--data=absent.npz"), "'absent.npz' cannot be read"),
        (("evaluate", "labelled.npz", "--data=labelled.npz"), "not a TensorFlow Lite file"),
        (("convert", "--model=absent.keras", "--data=calibration.npz", "--output=o.tflite"), "absent.keras"),
        (("convert", "--model=float.tflite", "--data=absent.npz", "--output=o.tflite"), "'absent.npz' cannot be read"),
        (("convert", "--model=float.tflite", "--data=d", "--output=o", "--recipe=absent.json"), "recipe 'absent.json'"),
    ],
)
def test_failed_work_exits_with_1_and_one_line(run, files, monkeypatch, arguments, message):
    monkeypatch.chdir(files)
    code, out, err = run(*arguments)
    assert (code, out) == (1, "")
    *_, line = err.strip().splitlines()  # the runtime may have said that it uses XNNPACK
    assert line.startswith(f"tfmpq {arguments[0]}: ")
    assert message in line
    assert "Traceback" not in err


def test_demo_hands_on_the_directory(run, monkeypatch, tmp_path):
    calls = []

    def run_demo(output: str, *, progress: bool) -> list[DemoRow]:
        calls.append((output, progress))
        print("a table")
        return [DemoRow("float", 0.9, 2, 1, None)]

    monkeypatch.setattr("tfmpq.demo.demo.run_demo", run_demo)
    assert run("demo", "-o", tmp_path, "--noprogress")[:2] == (0, "a table\n")
    code, out, _ = run("demo", "-o", tmp_path, "--quiet", "--json=-")
    row = {"label": "float", "top1": 0.9, "bytes": 2, "deflated": 1, "latency": None}
    assert (code, json.loads(out)["files"]) == (0, [row])
    assert calls == [(str(tmp_path), False)] * 2


def test_json_of_every_command_says_what_made_it(run, files, tmp_path):
    code, out, _ = run(
        "evaluate", files / "int8.tflite", "--data", files / "labelled.npz", "--threads=2", "--json", "--quiet"
    )
    made = json.loads(out)["made_by"]
    assert (code, made["tool"], made["version"], made["command"]) == (0, "tfmpq", tfmpq.__version__, "evaluate")
    assert made["files"] == {"file": str(files / "int8.tflite"), "data": str(files / "labelled.npz")}
    assert made["options"]["threads"] == 2
    assert not {"json", "quiet", "progress", "data"} & set(made["options"])
    path = tmp_path / "found.json"
    code, out, _ = run("inspect", files / "int8.tflite", "--json", path)
    assert (code, "CONV_2D" in out) == (0, True)  # the text is printed too
    assert json.loads(path.read_text())["made_by"]["command"] == "inspect"
    code, out, err = run("inspect", files / "int8.tflite", f"--json={path}", "--quiet")
    assert (code, out, err) == (0, "", "")


def test_json_takes_no_file_for_its_path(run, files):
    before = (files / "int8.tflite").read_bytes()
    code, _, err = run("inspect", "--json", files / "int8.tflite")  # its former spelling
    assert (code, "belongs to --json" in err) == (2, True)
    code, _, err = run("inspect", files / "int8.tflite", f"--json={files / 'int8.tflite'}")
    assert (code, "would overwrite what is read" in err) == (2, True)
    assert (files / "int8.tflite").read_bytes() == before


def test_flags_may_be_spelled_with_dashes():
    values = flags.FlagValues()
    COMMANDS["convert"].define_flags(values)
    given = ["--max-samples=3", "--no-flip", "--write-recipe", "a-b", "--bo-gus", "--json", "--", "--max-samples"]
    assert spelled(given, values) == [
        "--max_samples=3", "--no-flip", "--write_recipe", "a-b", "--bo-gus", "--json=-", "--", "--max-samples",
    ]  # fmt: skip
    assert spelled(["--json", "-"], values) == ["--json", "-"]
    assert spelled(["--json"], values) == ["--json=-"]


def test_evaluate_on_class_folders(run, files, images, tmp_path):
    pixels = np.rint((images[:20] + 1) * 127.5).astype(np.uint8)
    for i, image in enumerate(pixels):
        (tmp_path / "photos" / str(i % 10)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / "photos" / str(i % 10) / f"{i:02}.png")
    order = [i for number in range(10) for i in range(20) if i % 10 == number]
    np.savez(tmp_path / "same.npz", x=pixels[order] / np.float32(127.5) - 1, y=[i % 10 for i in order])
    arguments = ("evaluate", files / "float.tflite", "--json=-", "--quiet", "--data")
    _, out, _ = run(*arguments, tmp_path / "same.npz")
    code, folders, err = run(*arguments, tmp_path / "photos", "--preprocess=minus_one_one")
    assert code == 0, err
    for field in ("count", "top1", "top5"):
        assert json.loads(folders)[field] == json.loads(out)[field]
    code, _, err = run(*arguments, tmp_path / "photos")
    assert (code, "--preprocess=minus_one_one" in err) == (2, True)


def test_commands_that_run_files_work_without_tensorflow(run_python, files, tmp_path):
    code = """
    from tfmpq.cli import run
    file, reference, data, labelled = sys.argv[1:]
    assert run(["inspect", file, "--delegate", "--quiet"]) == 0
    assert run(["evaluate", file, "--data", labelled, "--quiet"]) == 0
    assert run(["expand", file, "-o", "copy.tflite", "--quiet"]) in (0, 1)  # stock's file is none of tfmpq's
    assert run(["diff", reference, file, "--data", data, "--limit=2", "--quiet"]) == 0
    assert run(["check", file, "--against", reference, "--labelled", labelled, "--max_drop=100", "--quiet"]) == 0
    assert run(["benchmark", file, "--rounds=1", "--min_runs=1", "--min_seconds=0", "--quiet"]) == 0
    import tfmpq
    tfmpq.inspect, tfmpq.evaluate, tfmpq.expand, tfmpq.load_labelled
    import tfmpq.benchmark
    """
    paths = (files / "int8.tflite", files / "float.tflite", files / "calibration.npz", files / "labelled.npz")
    result = run_python(code, *paths, blocked=("tensorflow", "keras", "tf_keras", "torch", "PIL", "matplotlib"))
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""
    assert "needs the package" not in result.stderr


def test_evaluate_and_inspect_work_without_tensorflow(run_python, files):
    code = """
    from tfmpq.cli import run
    assert run(["inspect", sys.argv[1]]) == 0
    assert run(["evaluate", sys.argv[1], "--data", sys.argv[2], "--noprogress"]) == 0
    """
    blocked = ("tensorflow", "keras", "flatbuffers")
    result = run_python(code, files / "int8.tflite", files / "labelled.npz", blocked=blocked)
    assert result.returncode == 0, result.stderr
    assert "top-1" in result.stdout
    code = "from tfmpq.cli import run; sys.exit(run(['convert', 'm', '--data=d', '-o', 'o']))"
    result = run_python(code, blocked=blocked)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "tfmpq convert needs the package 'flatbuffers': pip install tfmpq\n"


# ---------------------------------------------------------------- convert


def test_flags_are_the_options_of_the_function():
    """Same defaults, same choices, and no option without a flag."""
    values = flags.FlagValues()
    COMMANDS["convert"].define_flags(values)
    parameters = inspect.signature(tfmpq.convert).parameters
    for name in OPTIONS:
        assert values[name].default == parameters[name].default, name
        for choice in getattr(values[name].parser, "enum_values", None) or ():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # a former spelling is a choice too
                tfmpq.Options(**{name: choice})
    assert parse_budget(str(values["budget"].default)) == parameters["budget"].default
    views = inspect.signature(image_views).parameters
    assert {name: values[name].default for name in ("crop", "flip", "seed")} == {
        name: views[name].default for name in ("crop", "flip", "seed")
    }
    own = {"model", "rep_dataset", "budget", "recipe", "points", "batch_size", "signature", "sizes", "outputs"}
    own.add("statistics")  # a glob there
    assert set(parameters) == {*OPTIONS, *own}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"budget": "lots"}, "budget 'lots'"),
        ({"output": "absent/o.tflite"}, "there is no directory"),
        ({"output": "."}, "--output=. cannot be written"),
        ({"output": "float.tflite"}, "would overwrite what is read"),
        ({"report": "absent/r.json"}, "--report=absent/r.json"),
        ({"preprocess": "raw", "mean": "1"}, "either --preprocess or --mean"),
        ({"mean": "a"}, "--mean and --std take numbers"),
        ({"std": "0"}, "std not 0"),
        ({"data": "photos"}, "--preprocess=minus_one_one"),
        ({"crop": "0.5"}, "--crop is about views: it needs --views=N"),
        ({"flip": "false"}, "--flip is about views: it needs --views=N"),
        ({"outputs": "boxes"}, "--outputs=boxes: give NAME=FORM"),
        ({"outputs": "boxes=half"}, "outputs={'boxes': 'half'}"),
        ({"views": "0"}, "views"),
        ({"views": "2", "crop": "0"}, "crop=0.0 is no share"),
        ({"views": "2", "crop": "nan"}, "crop=nan is no share"),
    ],
)
def test_bad_options_exit_with_2_before_any_work(run, files, monkeypatch, changed, message):
    monkeypatch.chdir(files)
    Path("photos").mkdir(exist_ok=True)
    Image.new("RGB", (8, 8)).save("photos/0.png")
    options = {"model": "float.tflite", "data": "calibration.npz", "output": "o.tflite", **changed}
    code, out, err = run("convert", *(f"--{name}={value}" for name, value in options.items()))
    assert (code, out) == (2, "")
    assert message in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--algorithm=gredy"], 2, "algorithm='gredy' is not known"),
        (["--max_latency_ratio=-1"], 2, "max_latency_ratio=-1.0 is out of range"),
        (["--max_drop=1"], 2, "--max_drop needs labelled data: --eval_data"),
        (["--eval_data=labelled.npz"], 2, "--eval_data is for --max_drop"),
        (["--max_drop=1", "--budget=extra:0", "--eval_data=labelled.npz"], 2, "either --budget or --max_drop"),
        (["--max_drop=1", "--eval_data=calibration.npz"], 1, "has no labels"),
        (["--max_drop=1", "--eval_data=cut*.tar"], 1, "shard 'cut.tar' cannot be read after 0 samples"),
        (["--max_drop=101", "--eval_data=labelled.npz"], 2, "MaxDrop: 101"),
        (["--preprocess=unitt"], 2, "preprocessing 'unitt' is not known; give minus_one_one"),
        (["--data=nan.npz"], 1, "sample 5 of 'nan.npz', array 'x', is nan"),
        (["--data=none/*.tar"], 1, "no file matches 'none/*.tar'"),
        (["--data=cut*.tar"], 1, "shard 'cut.tar' cannot be read after 0 samples as WebDataset tar"),
        (["--data=no_such_package.of_mine:samples"], 1, "'no_such_package.of_mine' cannot be imported"),
        (["--statistics=none*.npz"], 1, "no file matches 'none*.npz'"),
        (["--statistics=labelled.npz"], 1, "'labelled.npz' holds no sums by tfmpq collect"),
        (["--data=lab*.npz", "--json=labelled.npz"], 2, "would overwrite what is read"),
        (["--write-recipe=absent/r.json"], 2, "--write_recipe=absent/r.json"),
        (["--json=float.tflite"], 2, "would overwrite what is read"),
        (["--html=page.keras"], 2, "is what models are called; --html=FILE writes there"),
        (["--model_explorer=o.json", "--json=o.form.json"], 2, "is what --model_explorer writes"),
        (["--target=absent.json"], 2, "absent.json"),
        (["second.tflite"], 2, "0 argument(s) expected besides flags, 1 given"),
    ],
)
def test_what_can_be_wrong_is_found_before_tensorflow_loads(run, files, monkeypatch, images, arguments, code, message):
    monkeypatch.chdir(files)
    monkeypatch.setattr("converters.frontend.load.load_model", lambda *_, **__: pytest.fail("it loads the model"))
    broken = images.copy()
    broken[5, 1, 1, 1] = np.nan
    np.savez("nan.npz", x=broken)
    Path("cut.tar").write_bytes(b"0.npy")
    given = run("convert", "float.tflite", "--data=calibration.npz", "-o", "o.tflite", *arguments)
    assert given[:2] == (code, "")
    assert message in given[2]


@pytest.mark.slow
def test_the_verdict_comes_first_and_the_recipe_gives_the_same_weights(run, files, tmp_path):
    arguments = ("convert", files / "float.tflite", "--data", files / "calibration.npz", "--noprogress")
    first, second, recipe = (tmp_path / name for name in ("first.tflite", "second.tflite", "recipe.json"))
    code, out, err = run(*arguments, "-o", first, f"--write-recipe={recipe}", "--json", tmp_path / "first.json")
    assert code == 0, err
    line = out.splitlines()[0]
    assert re.fullmatch(
        rf"wrote {re.escape(str(first))}: \d+ % of stock int8, agreement \d+ of 8 \(\d+-\d+ %\), "
        r"predicted \d\.\d\d x stock's time", line,
    )  # fmt: skip
    content = json.loads((tmp_path / "first.json").read_text())
    assert content["made_by"]["seed"] == 0
    assert content["settled_recipe"] == json.loads(recipe.read_text())
    code, out, err = run(*arguments, "-o", second, f"--recipe={recipe}", "--quiet")
    assert (code, out) == (0, ""), err
    assert inspect_file(second).weights == inspect_file(first).weights


@pytest.mark.slow
def test_shards_and_functions_give_the_same_file_as_arrays(run, files, images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for start in (0, 20):
        part = images[start : start + 20]
        write_tar(Path(f"{start:02}.tar"), [{"npy": npy(image), "cls": b"1"} for image in part])
    np.savez("one.npz", x=images[:40])
    Path("pipeline_of_images.py").write_text("import numpy as np\ndef samples(): yield from np.load('one.npz')['x']")
    made = []
    for number, data in enumerate(("one.npz", "*.tar", "pipeline_of_images:samples")):
        file = f"{number}.tflite"
        arguments = ("convert", files / "float.tflite", "--data", data, "--max_samples=33", "--quiet", "-o", file)
        code, _, err = run(*arguments)
        assert code == 0, err
        made.append(Path(file).read_bytes())
    assert made[0] == made[1] == made[2]


@pytest.mark.slow
def test_the_fewest_points_that_keep_accuracy(run, files, tmp_path):
    arguments = ("convert", files / "float.tflite", "--data", files / "calibration.npz", "--bits=2", "--quiet")
    with np.load(files / "labelled.npz") as arrays:
        samples = zip(arrays["x"], arrays["y"], strict=True)
        write_tar(tmp_path / "labelled.tar", [{"npy": npy(x), "cls": str(y).encode()} for x, y in samples])
    for name in (files / "labelled.npz", tmp_path / "labelled.tar"):
        code, _, err = run(*arguments, "-o", tmp_path / "o.tflite", "--max-drop=100", "--eval-data", name)
        assert code == 0, err
    code, _, err = run(*arguments, "-o", tmp_path / "none.tflite", "--budget=extra:0")
    assert code == 0, err
    # Any drop is allowed, so no further point is needed.
    assert inspect_file(tmp_path / "o.tflite").weights == inspect_file(tmp_path / "none.tflite").weights


@pytest.mark.slow
def test_convert_writes_the_file_and_the_report(files, conv_net_path, tmp_path):
    recipe = tmp_path / "recipe.json"
    recipe.write_text(tfmpq.Recipe([tfmpq.Rule("^project$", bits=3)]).to_json())
    arguments = [
        f"--model={conv_net_path}",
        f"--data={files / 'calibration.npz'}",
        f"--output={tmp_path / 'out.tflite'}",
        f"--report={tmp_path / 'report.json'}",
        f"--recipe={recipe}",
        "--lowering=fused",
        "--budget=extra:0.25",
        "--max_samples=16",
    ]
    command = [sys.executable, "-m", "tfmpq", "convert", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    # No bar where there is no terminal, and nothing of what TensorFlow says about the machine.
    assert [line for line in result.stderr.splitlines() if not line.startswith("tfmpq convert: warning: ")] == []
    for name in ("stem", "depthwise", "project", "classifier"):
        assert name in result.stdout
    checked((tmp_path / "report.json").read_text(), "convert")
    weights = inspect_file(tmp_path / "out.tflite").weights
    assert [w.shape for w in weights] == [(8, 3, 3, 3), (1, 3, 3, 8), (16, 1, 1, 8), (10, 16)]
    assert min(weights[2].rows_by_bits) <= 3  # the rule took effect: rows with one 3-bit point


def test_convert_from_a_directory_of_images(run, files, tmp_path):
    (tmp_path / "photos").mkdir()
    for i, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)):
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{i}.png")
    code, out, err = run(
        "convert",
        f"--model={files / 'float.tflite'}",
        f"--data={tmp_path / 'photos'}",
        f"--output={tmp_path / 'out.tflite'}",
        "--mean=127.5",
        "--std=127.5",
        "--noprogress",
        f"--json={tmp_path / 'report.json'}",
        f"--html={tmp_path / 'page.html'}",
        f"--model-explorer={tmp_path / 'net.json'}",
    )
    assert code == 0, err
    content = json.loads((tmp_path / "report.json").read_text())
    page = (tmp_path / "page.html").read_text()
    assert "<title>out.tflite</title>" in page
    assert "<dt>options</dt><dd>mean=127.5, std=127.5</dd>" in page
    assert f"<dt>data</dt><dd>{tmp_path / 'photos'}</dd>" in page
    assert all(f'data-value="{layer["bytes_after"]}"' in page for layer in content["layers"])
    # The operators of layers carry what is said of these, and nothing else does; the file's names are the keys.
    ops = load((tmp_path / "out.tflite").read_bytes()).graph.ops
    assert [op["output"] for op in content["operators"]] == [op.outputs[0].name for op in ops]
    assert [op["layer"] for op in content["operators"] if op["weighted"]] == [x["name"] for x in content["layers"]]
    form, delegate = (json.loads((tmp_path / f"net.{name}.json").read_text()) for name in ("form", "delegate"))
    assert list(delegate["results"]) == [op.outputs[0].name for op in ops]
    assert list(form["results"]) == [op["output"] for op in content["operators"] if op["weighted"]]
    assert checked((tmp_path / "report.json").read_text(), "convert")["images"] == 4
    assert "SQNR dB" in out  # the report
    (detail,) = runtime.inputs(runtime.make_interpreter(tmp_path / "out.tflite"))
    assert detail.scale == pytest.approx(2 / 255, rel=0.02)  # pixels 0..255 became -1..1; a few values may be missing


@pytest.mark.parametrize("source", ["directory", "array"])
def test_convert_with_views_of_images(run, files, tmp_path, monkeypatch, images, source):
    given = []

    def convert(model, samples, **options):
        given.append(list(samples()))
        raise ConversionError("enough")

    monkeypatch.setattr(tfmpq, "convert", convert)
    data, flags_of_data = files / "calibration.npz", []
    if source == "directory":
        data, flags_of_data = tmp_path / "photos", ["--preprocess=minus_one_one"]
        data.mkdir()
        for i, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)):
            Image.fromarray(pixels).save(data / f"{i:02}.png")
        images = np.stack([np.asarray(Image.open(file)) / np.float32(127.5) - 1 for file in sorted(data.iterdir())])
    command = [
        f"--model={files / 'float.tflite'}", f"--data={data}", f"--output={tmp_path / 'o.tflite'}", *flags_of_data,
        "--views=3", "--crop=0.5", "--noflip", "--seed=5", "--max_samples=6",
    ]  # fmt: skip
    code, _, err = run("convert", *command)
    assert (code, "enough" in err) == (1, True), err
    spaced = images[:: len(images) // 6][:6] if source == "directory" else images[[i * 64 // 6 for i in range(6)]]
    expected = [item[0] for item in image_views(spaced, 3, crop=0.5, flip=False, seed=5)()]
    np.testing.assert_allclose([item[0] for item in given[0]], expected, atol=1e-6)  # preprocessing, rounded otherwise


def test_the_form_of_an_output(run, files, tmp_path):
    paths = [
        f"--model={files / 'float.tflite'}",
        f"--data={files / 'calibration.npz'}",
        f"--output={tmp_path / 'o.tflite'}",
    ]
    code, _, err = run("convert", *paths, "--outputs=boxes=float")
    assert (code, "outputs names 'boxes', and the model has no such output" in err) == (2, True), err
    code, _, err = run("convert", *paths, "--outputs=output_0=float", "--novalidate", "--noprogress")
    assert code == 0, err
    (output,) = runtime.outputs(runtime.make_interpreter(tmp_path / "o.tflite"))
    assert (output.name, output.dtype) == ("output_0", np.float32)


def test_views_of_what_are_no_images_are_refused(run, tmp_path, to_tflite):
    import keras

    model = keras.Sequential([keras.Input((6,), name="numbers"), keras.layers.Dense(3)])
    (tmp_path / "dense.tflite").write_bytes(to_tflite(model))
    np.save(tmp_path / "data.npy", np.zeros((4, 6), np.float32))
    paths = [f"--model={tmp_path / 'dense.tflite'}", f"--data={tmp_path / 'data.npy'}"]
    code, _, err = run("convert", *paths, f"--output={tmp_path / 'o.tflite'}", "--views=2")
    assert code == 2
    assert "views=2: views are made of images (height, width, channels), but the model's inputs are 'numbers'" in err


def test_a_failed_conversion_leaves_the_old_file(run, files, tmp_path):
    output = tmp_path / "out.tflite"
    output.write_bytes(b"old")
    (tmp_path / "recipe.json").write_text('{"rules": [{"match": "^projekt$", "bits": 8}]}')
    code, _, err = run(
        "convert",
        f"--model={files / 'float.tflite'}",
        f"--data={files / 'calibration.npz'}",
        f"--output={output}",
        f"--recipe={tmp_path / 'recipe.json'}",
        "--noprogress",
    )
    assert code == 1
    assert "'^projekt$' matches none" in err
    assert output.read_bytes() == b"old"
