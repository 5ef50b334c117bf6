"""Specs of sweeps: what is read, and all that is wrong at once, with its line."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from converters.errors import OptionError
from tfmpq.options import Options, choices_of
from tfmpq.sweep.spec import options_from, read_spec, spec_schema, with_recipe

GOOD = """
metrics = ["latency"]
[options]
bits = 3
seed = 1
[models.net]
path = "nets/net.tflite"
data = "data.npz"
options = { bits = 5, recipe = "rules.json" }
[[variants]]
name = "own"
options = { seed = 2, target = "table.json" }
[[variants]]
name = "plain"
options = { target = "builtin" }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "nets").mkdir()
    for name in ("nets/net.tflite", "data.npz"):
        (tmp_path / name).touch()
    (tmp_path / "rules.json").write_text('{"rules": [{"match": "stem", "bits": 8}]}')
    return tmp_path


def wrong(folder: Path, text: str, name: str = "spec.toml") -> list[str]:
    (folder / name).write_text(text)
    with pytest.raises(OptionError) as caught:
        read_spec(folder / name)
    return str(caught.value).replace(f"{folder}/", "").split("; spec")


def test_paths_are_relative_to_the_spec_and_options_have_an_order(folder: Path, monkeypatch: pytest.MonkeyPatch):
    text = GOOD.replace('target = "table.json"', 'algorithm = "greedy"')
    (folder / "spec.toml").write_text(text)
    monkeypatch.chdir(folder.parent)
    spec = read_spec(f"{folder.name}/spec.toml")
    (net,) = spec.models
    assert (net.path, net.data) == (str(folder / "nets/net.tflite"), str(folder / "data.npz"))
    assert (list(spec.budgets), list(spec.metrics)) == (["like_stock"], ["latency"])
    own, plain = (spec.options_of(net, variant) for variant in spec.variants)
    assert (own["bits"], own["seed"], own["algorithm"]) == (5, 2, "greedy")
    assert (plain["bits"], plain["seed"], plain["target"]) == (5, 1, "builtin")
    asked = Options(**options_from(with_recipe(own)))
    assert asked.recipe is not None
    assert asked.recipe.rules[0].bits == 8


def test_json_says_the_same(folder: Path):
    content = {"models": {"net": {"path": "nets/net.tflite", "data": "data.npz"}}, "metrics": ["latency"]}
    (folder / "spec.json").write_text(json.dumps(content))
    spec = read_spec(folder / "spec.json")
    assert [variant.name for variant in spec.variants] == ["default"]


def test_all_that_the_schema_refuses_is_told_with_its_line(folder: Path):
    text = """
budget = ["extra:0"]
metrics = ["top-1"]
[options]
lowring = "fused"
bits = 9
strict = 1
lowering = "fuse"
[models.net]
path = "net.tflite"
[models."a b"]
[[variants]]
name = "../up"
"""
    assert wrong(folder, text) == [
        "spec.toml:2: 'budget' is no key; did you mean 'budgets'?",
        ".toml:3: metrics[0] is 'top-1'; did you mean 'top1'?; known are top1, agreement, kl, latency",
        ".toml:5: 'lowring' is no key of options; did you mean 'lowering'?",
        ".toml:6: options.bits is 9, and must be at most 8",
        ".toml:7: options.strict is 1, and must be true or false",
        ".toml:8: options.lowering is 'fuse'; did you mean 'fused'?; known are auto, split, fused, parallel, compact",
        ".toml:9: models.net has no 'data'",
        ".toml:11: models cannot have the name 'a b': " + spec_schema()["properties"]["models"]["description"],
        ".toml:13: variants[0].name is '../up', and must be " + spec_schema()["properties"]["models"]["description"],
    ]


def test_what_only_their_meaning_shows_is_told_too(folder: Path):
    text = """
budgets = ["extra:0.1", "extra:0.10", "much"]
[options]
algorithm = "nosuch"
[models.net]
path = "nets/net.tflite"
data = "absent.npz"
[models.Net]
path = "nets/net.tflite"
data = "data.npz"
labelled = "data.npz"
preprocess = "odd"
[[variants]]
name = "a"
[[variants]]
name = "Stock"
[[variants]]
name = "a"
options = { target = "nosuch.json", algorithm = "greedy" }
"""
    lines = wrong(folder, text)
    for number, part in (
        (2, "budget 'extra:0.10' is there twice, as 'extra:0.1'"),
        (2, "budget 'much': give like_stock"),
        (4, "algorithm='nosuch' is not known"),
        (5, "models.net has no 'labelled' samples"),
        (7, "models.net.data: 'absent.npz' does not exist"),
        (8, "model 'Net' is there twice, as 'net' too"),
        (8, "preprocessing 'odd' is not known"),
        (16, "variant 'Stock' is what a row is called"),
        (18, "variant 'a' is there twice"),
        (19, "target 'nosuch.json' cannot be read"),
    ):
        assert any(f".toml:{number}:" in line and part in line for line in lines), part
    assert sum("nosuch'" in line for line in lines) == 1  # not once for every model


def test_data_may_be_a_glob_or_a_function(folder: Path):
    text = """
[models.globbed]
path = "nets/net.tflite"
data = "dat*.npz"
labelled = "*.npz"
[models.made]
path = "nets/net.tflite"
data = "json.tool:main"
labelled = "json.tool:main"
"""
    (folder / "f.toml").write_text(text)
    models = read_spec(folder / "f.toml").models
    assert [model.data for model in models] == [str(folder / "dat*.npz"), "json.tool:main"]
    assert [model.labelled for model in models] == [str(folder / "*.npz"), "json.tool:main"]
    lines = wrong(folder, text.replace("dat*", "none*"))
    assert ".toml:4: models.globbed.data: no file matches" in lines[0]
    (folder / "one.npy").touch()
    lines = wrong(folder, text.replace('labelled = "*.npz"', 'labelled = "*.npy"'))
    assert ".toml:5: models.globbed.labelled: " in lines[0]
    assert "matches files of a sample each, which have no labels" in lines[0]


def test_shards_and_statistics_of_a_model(folder: Path):
    text = """
[models.net]
path = "nets/net.tflite"
data = "data.npz"
labelled = "data.npz"
shards = "dat*.npz"
"""
    (folder / "f.toml").write_text(text)
    assert read_spec(folder / "f.toml").models[0].shards == str(folder / "dat*.npz")
    for more, line, message in (
        ("parts = 2", 7, "models.net.parts: 1 files cannot be shared by 2 parts"),
        ("parts = 0", 7, "parts"),
        ('statistics = "*.npz"', 7, "models.net has shards and statistics: give one of them"),
    ):
        assert f".toml:{line}: " in (found := wrong(folder, f"{text}{more}\n")[0])
        assert message in found
    for more, message in (
        ('shards = "none*.tar"', "models.net.shards: no file matches"),
        ('shards = "data.npz"', "is no glob of files"),
        ('shards = "json.tool:main"', "is no glob of files"),
        ('statistics = "none*.npz"', "models.net.statistics: no file matches"),
        ('statistics = "*.npz"', "data.npz' "),
        ("parts = 2", "models.net.parts says by how many jobs shards are shared, but there are no shards"),
    ):
        found = wrong(folder, text.replace('shards = "dat*.npz"', more))[0]
        assert ".toml:6: " in found
        assert message in found


def test_what_urls_name_is_looked_at_with_the_rest(folder: Path):
    pytest.importorskip("fsspec")
    from tests.support.stores import odd_store
    from tfmpq.measure.partial import FORMAT, Header, write_partial
    from tfmpq.storage import Remote, placed

    text = """
[models.net]
path = "nets/net.tflite"
data = "data.npz"
labelled = "odd://bucket/data.npz"
statistics = "odd://bucket/part-1.npz"
"""
    with odd_store():
        (Remote("odd://bucket/data.npz")).write_bytes(b"")
        part = Remote("odd://bucket/part-1.npz")
        for parts in (1, 2):
            with placed(part) as path:
                write_partial(path, Header(FORMAT, "net", "files", 1, parts, 3, ()), {}, {})
            if parts == 1:
                (folder / "f.toml").write_text(text)
                assert read_spec(folder / "f.toml").models[0].statistics == part.url
        (found,) = wrong(folder, text)
        assert found.startswith("spec.toml:6: models.net.statistics: part 2/2 of the statistics is missing")
        assert f"beside '{part.url}'" in found
        part.write_bytes(part.read_bytes()[:-9])
        (found,) = wrong(folder, text)
        assert found.startswith(f"spec.toml:6: models.net.statistics: '{part.url}' is damaged, or no file by tfmpq")
        found, _ = wrong(folder, text.replace("bucket/data.npz", "bucket"))
        assert found.startswith("spec.toml:5: models.net.labelled: 'odd://bucket' is a folder")


def test_lines_of_json(folder: Path):
    text = json.dumps({"models": {"net": {"path": "nets/net.tflite", "dat": "data.npz"}}}, indent=1)
    lines = wrong(folder, text, "spec.json")
    assert lines == [
        "spec.json:3: models.net has no 'data'",
        ".json:5: 'dat' is no key of models.net; did you mean 'data'?",
    ]


def test_the_schema_names_the_options_of_a_conversion():
    described = spec_schema()["$defs"]["options"]["properties"]
    own = {field.name for field in dataclasses.fields(Options)}
    elsewhere = {"budget", "points", "cache", "progress", "batch_size", "statistics"}
    assert set(described) == own - elsewhere | {"open_batch"}
    for name, schema in described.items():
        assert schema.get("enum", []) == list(choices_of(name)), name


def test_the_schema_is_one():
    schema = spec_schema()
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    good = {"models": {"net": {"path": "a", "data": "b", "options": {"bits": 4}}}}
    assert validator.is_valid(good)
    assert not validator.is_valid({**good, "budget": []})
    assert not validator.is_valid({"models": {}})
