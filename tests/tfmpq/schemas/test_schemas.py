"""The schemas of the commands' JSON: that they are schemas, what they promise, and real output of every command."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

import numpy as np
import pytest
from absl import flags
from jsonschema import Draft202012Validator, ValidationError

from converters.errors import OptionError
from tests.support.documents import checked
from tests.support.reports import loss, make
from tfmpq.activations.subject import Mended
from tfmpq.commands import COMMANDS
from tfmpq.demo import DemoRow
from tfmpq.recipe.rules import Rule
from tfmpq.report.operators import Operator
from tfmpq.report.suggestion import Suggestion
from tfmpq.schemas import schema_id, schema_names, schema_text

# What was published: others' programs rely on it. The digest is that of the schema without its words.
PUBLISHED = {
    "tfmpq/benchmark/1": "7626995d3c0266e8",
    "tfmpq/cache/1": "9a94bb6964fd470c",
    "tfmpq/check/1": "66fa4d7ffa5b432f",
    "tfmpq/check_sweep/1": "464de23468d828d6",
    "tfmpq/collect/1": "5ccba4e3ac27aa96",
    "tfmpq/compare/1": "ad90a29b885e94d8",
    "tfmpq/convert/1": "8881634a1b92b3d3",
    "tfmpq/demo/1": "29c644e60538bf9f",
    "tfmpq/diff/1": "8e170f0c9e90cd08",
    "tfmpq/evaluate/1": "83cd48e7bba08022",
    "tfmpq/expand/1": "fd8d8c13577a51ef",
    "tfmpq/inspect/1": "87512a78f1a020fb",
    "tfmpq/sweep/1": "b3bb322523abaab2",
    "tfmpq/target/1": "740b7ecf6b206dbb",
    "tfmpq/train/1": "1cb034cdcbe08bf4",
}
WHAT_TO_DO = (
    "{name} is published and has changed. If nothing but keys that are not required came in, every old document still "
    "keeps it: put the new digest, {digest}, into PUBLISHED. If a key went, became required or means something else, "
    "leave the file as it is, write the next version beside it, and add that to PUBLISHED."
)


def promise(schema: Any) -> Any:
    """The schema without titles and descriptions; a property of such a name is no word."""
    if isinstance(schema, list):
        return [promise(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: value for key, value in schema.items() if key not in ("title", "description")}
    return {
        key: {name: promise(entry) for name, entry in value.items()}
        if key in ("properties", "$defs")
        else promise(value)
        for key, value in kept.items()
    }


def test_every_command_with_json_has_a_schema_and_a_published_one_never_changes():
    with_json = set()
    for command in COMMANDS.values():
        values = flags.FlagValues()
        command.define_flags(values)
        with_json |= {command.name} if "json" in values else set()
    assert set(schema_names()) == {*with_json, "check_sweep"}  # of a spec check writes another
    for name in {*PUBLISHED, *map(schema_id, schema_names())}:
        schema = json.loads(schema_text(name))
        Draft202012Validator.check_schema(schema)
        command, number = name.split("/")[1:]
        assert schema["$id"] == f"urn:tfmpq:{command}:{number}"
        assert schema["properties"]["schema"] == {"const": name}
        digest = hashlib.sha256(json.dumps(promise(schema), sort_keys=True).encode()).hexdigest()[:16]
        assert PUBLISHED.get(name) == digest, WHAT_TO_DO.format(name=name, digest=digest)


def test_a_promise_has_all_but_the_words():
    schema = {"description": "words", "properties": {"description": {"title": "words", "type": "string"}}}
    assert promise(schema) == {"properties": {"description": {"type": "string"}}}


def test_readers_pass_over_new_keys_and_miss_none(run, tmp_path, conv_net_int8):
    (tmp_path / "int8.tflite").write_bytes(conv_net_int8)
    document = checked(run("inspect", tmp_path / "int8.tflite", "--json")[1], "inspect")
    validator = Draft202012Validator(json.loads(schema_text("inspect")))
    validator.validate({**document, "something_new": 1})
    with pytest.raises(ValidationError, match="'file_bytes' is a required property"):
        validator.validate({key: value for key, value in document.items() if key != "file_bytes"})


def test_the_command_prints_them(run):
    code, out, _ = run("schema")
    assert (code, out.split()) == (0, [schema_id(name) for name in schema_names()])
    for name in ("check", "check/1", "tfmpq/check/1"):
        assert run("schema", name) == (0, schema_text("check"), "")
    for name in ("quantise", "check/99", "../check/1", "check/", "check/\N{SUPERSCRIPT TWO}", ""):
        code, out, err = run("schema", name)
        assert (code, out, "there is no schema" in err) == (2, "", True), name
        with pytest.raises(OptionError):
            schema_text(name)


# ---------------------------------------------------------------- real output
# That of compare, expand and target, and of whole conversions, is checked where these are tested.


def test_commands_that_run_files(run, tmp_path, conv_net_int8, conv_net_float, images, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "int8.tflite").write_bytes(conv_net_int8)
    (tmp_path / "float.tflite").write_bytes(conv_net_float)
    np.savez("test.npz", x=images, y=np.arange(len(images)) % 10)
    np.savez("samples.npz", x=images)
    quick = ("--rounds=6", "--min_runs=6", "--min_seconds=0", "--warmup=0")
    for arguments in (
        ("inspect", "int8.tflite", "--delegate"),
        ("inspect", "float.tflite"),
        ("evaluate", "int8.tflite", "--data=test.npz"),
        ("evaluate", "int8.tflite", "--data=test.npz", "--against=float.tflite"),
        ("evaluate", "int8.tflite", "--data=samples.npz", "--against=int8.tflite", "--metric=cosine"),
        ("diff", "float.tflite", "int8.tflite", "--data=samples.npz", "--limit=4"),
        ("benchmark", "float.tflite", "int8.tflite", "absent.tflite", *quick, "--per_op"),
        ("check", "int8.tflite", "--against=float.tflite", "--labelled=test.npz", "--max_drop=5", "--max_kl=1"),
        ("check", "int8.tflite", "--against=float.tflite", "--max_bytes=1x"),
    ):
        code, out, err = run(*arguments, "--json", "--quiet")
        assert code in (0, 1), err
        document = checked(out, arguments[0])
        assert next(iter(document)) == "schema"


def test_rows_of_the_demo(run, tmp_path, monkeypatch):
    rows = [DemoRow("float", 0.9, 2, 1, None), DemoRow("tfmpq", 0.8, 1, 1, 1.02)]
    monkeypatch.setattr("tfmpq.demo.demo.run_demo", lambda *_, **__: rows)
    code, out, err = run("demo", "-o", tmp_path, "--json", "--quiet")
    assert checked(out, "demo")["files"][1] == dataclasses.asdict(rows[1]), err
    assert code == 0


def test_reports_of_conversions_with_all_that_may_be_in_them():
    suggestion = Suggestion("block/conv", Rule("^block/conv$", bits=8), 0.5, 120)
    losses = (loss("add", 9.0), loss("mul", float("inf"), cure="range", range=(-1.0, 2.0)))
    mended = (Mended("equalized", "block/conv", "channels", 10.0, None),)
    operators = (Operator("CONV_2D", "block/conv", "out", True, True),)
    full = make(suggestions=(suggestion,), losses=losses, mended=mended, operators=operators)
    for report in (make(), full):
        made = {"tool": "tfmpq", "version": "0", "command": "convert", "options": {}, "seed": 0, "files": {}}
        settled = {"rules": [{"match": "^block/conv$", "bits": 4}]}
        document = {"schema": schema_id("convert"), **report.to_dict(), "settled_recipe": settled, "made_by": made}
        checked(json.dumps(document), "convert")
