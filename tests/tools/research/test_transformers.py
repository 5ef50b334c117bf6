"""The transformers to measure and what they are judged by. Their networks are made small here; no data are needed."""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any

import numpy as np
import pytest

from converters.errors import DataError
from tfmpq.text import to_markdown
from tools.research.transformers import char_lm, compare, pre_norm, quality, sentence_encoder, subjects, vit
from tools.research.transformers.artifacts import float_file, write_model
from tools.research.transformers.baselines import FLOAT
from tools.research.transformers.documentation_text import documents, split

BLOCK = ("norm1", "attention", "add1", "norm2", "expand", "project", "add2")


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_recurrent_language_models_look_back_only(kind: str):
    model = char_lm.build_recurrent(kind)
    ids = np.arange(2 * char_lm.SEQUENCE, dtype=np.int32).reshape(2, -1) % len(char_lm.ALPHABET)
    ids[1, :64] = ids[0, :64]
    first, second = model.predict(ids, verbose=0)
    assert first.shape == (char_lm.SEQUENCE, len(char_lm.ALPHABET))
    np.testing.assert_allclose(first[:64], second[:64], atol=1e-5)  # float32, in another order of sums at most
    assert np.abs(first[64:] - second[64:]).max() > 1e-3


def test_rank_correlation_is_that_of_the_definition():
    rng = np.random.default_rng(0)
    a, b = rng.permutation(30), rng.permutation(30)
    assert quality.spearman(a, b) == pytest.approx(1 - 6 * ((a - b) ** 2).sum() / (30 * (30**2 - 1)))
    assert quality.spearman(np.exp(a / 5), a) == pytest.approx(1)
    np.testing.assert_array_equal(quality.ranks(np.array([3.0, 1.0, 3.0, 0.0])), [2.5, 1, 2.5, 0])
    assert math.isnan(quality.spearman(a, np.ones(30)))


def test_nearest():
    vectors = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 2.0], [0.0, 0.0]])
    np.testing.assert_array_equal(quality.nearest(vectors)[:3], [1, 2, 1])  # by the inner product


def test_perplexity_of_even_logits_is_the_vocabulary():
    following = np.array([[1, 0, 2]])
    assert quality.perplexity(np.full((1, 3, 7), 1e4), following) == pytest.approx(7)
    certain = np.full((1, 3, 7), -1e4)
    np.put_along_axis(certain, following[..., None], 0.0, -1)
    assert quality.perplexity(certain, following) == 1


def test_texts_of_training_and_test_are_disjoint():
    texts = [f"text {i}" for i in range(25)]
    train, test = (text.split("\n\n") for text in split(texts))
    assert sorted(train + test) == sorted(texts)
    assert test == ["text 0", "text 10", "text 20"]


def test_the_documentation_is_text_of_some_length():
    text = "\n".join(documents())
    assert len(text) > 1_000_000
    assert "dictionary" in text


def test_characters_come_back():
    text = "def f(x):\n    return 'ä'"
    assert char_lm.decode(char_lm.encode(text)) == text.replace("ä", "")
    ids = np.arange(200, dtype=np.int32)
    x, y = char_lm.pieces(ids, np.array([0, 7]))
    np.testing.assert_array_equal(y[:, :-1], x[:, 1:])
    np.testing.assert_array_equal(x[1], ids[7 : 7 + char_lm.SEQUENCE])


@pytest.fixture(scope="module")
def small_lm() -> Any:
    import keras

    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"SEQUENCE": 12, "WIDTH": 16, "HEADS": 2, "BLOCKS": 1}.items():
            patch.setattr(char_lm, name, value)
        keras.utils.set_random_seed(0)
        model = char_lm.build()
    for layer in model.layers:  # as drawn, all logits are nearly equal, and the first token wins everywhere
        layer.set_weights([w + np.random.default_rng(1).normal(0, 0.5, w.shape) for w in layer.get_weights()])
    return model


def test_the_language_model_sees_no_later_token(small_lm):
    ids = np.random.default_rng(0).integers(0, 96, (1, 12)).astype(np.int32)
    other = ids.copy()
    other[0, 8:] = (other[0, 8:] + 1) % 96
    a, b = (small_lm.predict(x, verbose=0)[0] for x in (ids, other))
    np.testing.assert_allclose(a[:8], b[:8], atol=1e-5)  # the same sums, maybe in another order
    assert np.abs(a[8:] - b[8:]).max() > 0.1


@pytest.mark.parametrize("causal", [True, False])
def test_a_block_sees_later_positions_unless_it_is_causal(causal):
    import keras

    keras.utils.set_random_seed(0)
    x = keras.Input((4, 8))
    model: Any = keras.Model(x, pre_norm.block(x, "first", width=8, heads=2, causal=causal))
    assert [layer.name for layer in model.layers[1:]] == [f"first_{part}" for part in BLOCK]
    values = np.random.default_rng(0).normal(size=(1, 4, 8)).astype(np.float32)
    other = values.copy()
    other[0, 3] = -other[0, 3]
    seen = np.abs(np.subtract(*(model.predict(v, verbose=0)[0, :3] for v in (values, other)))).max()
    assert seen < 1e-5 if causal else seen > 1e-3  # the same sums, maybe in another order


def test_the_rate_rises_and_falls_to_nothing():
    import keras

    x = keras.Input((1,))
    model = keras.Model(x, keras.layers.Dense(1)(x))
    pre_norm.compile_model(model, keras.losses.MeanSquaredError(), rate=0.5, weight_decay=0.1, steps=30, warm_up=10)
    schedule = model.optimizer._learning_rate
    # 20 steps after the warm-up the cosine has ended, half way it is at a half; float32
    np.testing.assert_allclose([schedule(n) for n in (0, 5, 10, 20, 30)], [0, 0.25, 0.5, 0.25, 0], atol=1e-6)
    assert (model.optimizer.weight_decay, model.optimizer.clipnorm) == (0.1, 1.0)


def test_greedy_text_is_that_of_the_network(small_lm):
    prompts = np.random.default_rng(2).integers(0, 96, (3, 5)).astype(np.int32)
    found = subjects.generate(float_file(small_lm), prompts, tokens=7)
    texts = np.zeros((3, 12), np.int32)
    texts[:, :5] = prompts
    for end in range(5, 12):
        texts[:, end] = small_lm.predict(texts, verbose=0)[:, end - 1].argmax(-1)
    np.testing.assert_array_equal(found, texts[:, 5:])
    assert len(np.unique(found)) > 3
    with pytest.raises(DataError, match="prompts of 5 tokens and 8 more do not fit into the file's 12"):
        subjects.generate(float_file(small_lm), prompts, tokens=8)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras, when it saves
def test_a_language_model_is_judged_by_its_own_outputs(small_lm, monkeypatch, tmp_path):
    monkeypatch.setattr(subjects, "generate", functools.partial(subjects.generate, tokens=7))
    rng = np.random.default_rng(3)
    ids, following, prompts = (rng.integers(0, 96, shape).astype(np.int32) for shape in ((6, 12), (6, 12), (4, 5)))
    data = {"calibration": {"ids": ids}, "eval": {"ids": ids, "y": following}, "prompts": {"ids": prompts}}
    write_model(small_lm, tmp_path, "lm", data)
    subject = subjects.open_subject(tmp_path, "lm", samples=3, threads=1)
    np.testing.assert_array_equal(subject.sample["ids"], ids[:1])
    content = (tmp_path / "lm_float.tflite").read_bytes()
    cells = subject.judge(content)
    rows = [0, 2, 5]  # three of six, evenly spread
    expected = quality.perplexity(small_lm.predict(ids[rows], verbose=0), following[rows])
    assert float(cells["perplexity"]) == pytest.approx(expected, abs=1e-3)  # as printed
    assert cells["same next token"] == "100.00%"
    assert [cells[name].split()[0] for name in cells if name.startswith("prompts")] == ["4"]
    assert cells["same tokens until the first other"] == "7.0"
    with np.load(tmp_path / "lm_eval.npz") as arrays:
        assert sorted(arrays) == ["ids", "y"]


def test_images_are_shifted_and_mirrored():
    images = np.random.default_rng(0).normal(size=(6, 32, 32, 3)).astype(np.float32)
    found = vit.augment(images, np.random.default_rng(1))
    assert found.shape == images.shape
    padded = np.pad(images, ((0, 0), (4, 4), (4, 4), (0, 0)), mode="reflect")
    for image, source in zip(found, padded, strict=True):
        places = itertools.product(range(9), range(9), (source, source[:, ::-1]))
        assert any(np.array_equal(image, s[y : y + 32, x : x + 32]) for y, x, s in places)


# ---------------------------------------------------------------- sentence encoder


def checkpoint(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Random weights under BERT's names in the sizes that are set."""
    width, hidden = sentence_encoder.WIDTH, sentence_encoder.HIDDEN
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (sentence_encoder.VOCABULARY, width),
        "embeddings.position_embeddings.weight": (sentence_encoder.POSITIONS, width),
        "embeddings.token_type_embeddings.weight": (sentence_encoder.TYPES, width),
    }
    dense = {f"attention.self.{n}": (width, width) for n in ("query", "key", "value")}
    dense |= {"attention.output.dense": (width, width), "intermediate.dense": (hidden, width)}
    dense |= {"output.dense": (width, hidden)}
    norms = ["embeddings.LayerNorm"]
    for block in range(sentence_encoder.BLOCKS):
        prefix = f"encoder.layer.{block}"
        norms += [f"{prefix}.attention.output.LayerNorm", f"{prefix}.output.LayerNorm"]
        for name, shape in dense.items():
            shapes |= {f"{prefix}.{name}.weight": shape, f"{prefix}.{name}.bias": shape[:1]}
    for name in norms:
        shapes |= {f"{name}.weight": (width,), f"{name}.bias": (width,)}
    return {name: rng.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}


def bert(weights: dict[str, np.ndarray], ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Embedding of one sentence (length,), from the paper's formulas in float64 (Devlin et al. 2019)."""

    def dense(x: np.ndarray, name: str) -> np.ndarray:
        return x @ weights[f"{name}.weight"].T.astype(np.float64) + weights[f"{name}.bias"]

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        x = (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True)
        return x * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    x = weights["embeddings.word_embeddings.weight"][ids].astype(np.float64)
    x = x + weights["embeddings.position_embeddings.weight"][: len(ids)]
    x = norm(x + weights["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    size = sentence_encoder.WIDTH // sentence_encoder.HEADS
    for block in range(sentence_encoder.BLOCKS):
        prefix = f"encoder.layer.{block}"
        query, key, value = (dense(x, f"{prefix}.attention.self.{name}") for name in ("query", "key", "value"))
        heads = []
        for i in range(sentence_encoder.HEADS):
            columns = slice(i * size, (i + 1) * size)
            scores = np.exp(query[:, columns] @ key[:, columns].T / np.sqrt(size)) * mask
            heads.append(scores / scores.sum(1, keepdims=True) @ value[:, columns])
        attention = dense(np.concatenate(heads, 1), f"{prefix}.attention.output.dense")
        x = norm(x + attention, f"{prefix}.attention.output.LayerNorm")
        y = dense(x, f"{prefix}.intermediate.dense")
        y = y * (1 + np.vectorize(math.erf)(y / np.sqrt(2))) / 2
        x = norm(x + dense(y, f"{prefix}.output.dense"), f"{prefix}.output.LayerNorm")
    mean = x[mask == 1].mean(0)
    return mean / np.linalg.norm(mean)


def test_the_encoder_computes_bert(monkeypatch):
    small = {"SEQUENCE": 6, "VOCABULARY": 20, "POSITIONS": 9, "WIDTH": 16, "HEADS": 4, "BLOCKS": 2, "HIDDEN": 24}
    for name, value in small.items():
        monkeypatch.setattr(sentence_encoder, name, value)
    rng = np.random.default_rng(0)
    weights = checkpoint(rng)
    model = sentence_encoder.build()
    sentence_encoder.load_weights(model, weights)
    ids = rng.integers(0, 20, (2, 6)).astype(np.int32)
    mask = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]], np.int32)
    expected = np.stack([bert(weights, *sample) for sample in zip(ids, mask, strict=True)])
    # float32 against float64
    np.testing.assert_allclose(model.predict({"ids": ids, "mask": mask}, verbose=0), expected, atol=1e-5)


def test_reads_pairs(tmp_path):
    path = tmp_path / "sts-test.csv"
    path.write_text('captions\tMSRvid\t2012\t1\t2.5\tA "girl.\tA boy. \textra\ncaptions\tx\t2012\t2\t5\tOne\tTwo\n')
    pairs, scores = sentence_encoder.read_pairs(path)
    assert pairs == [('A "girl.', "A boy."), ("One", "Two")]
    assert scores.tolist() == [2.5, 5]
    path.write_text("a\tb\n")
    with pytest.raises(DataError, match="line 1: fewer than the seven fields"):
        sentence_encoder.read_pairs(path)
    with pytest.raises(DataError, match="give the directory of the STS benchmark"):
        sentence_encoder.read_pairs(tmp_path / "absent.csv")


def test_calibration_sentences_are_none_of_the_test(monkeypatch):
    monkeypatch.setattr(sentence_encoder, "CALIBRATION", 3)
    found = sentence_encoder.calibration_sentences([("a", "b"), ("b", "c"), ("d", "e")], {"a"})
    assert found == ["b", "c", "e"]


# ---------------------------------------------------------------- table


def test_the_table_has_a_line_for_every_file():
    files = {FLOAT: bytes(4000), "half": bytes(2000)}
    text = to_markdown([compare.table("lm", files, [{"top-1": "50 %"}, {}], {FLOAT: 1.0, "half": float("nan")})])
    assert "| float32 | 4,000 | 100.0% | 50 % | 1.00 |" in text
    assert "| half | 2,000 | 50.0% |  | nan |" in text


def test_says_how_to_make_what_is_missing(tmp_path):
    with pytest.raises(DataError, match=r"has no vit\.keras: make it with `python -m tools\.research\.trans"):
        subjects.open_subject(tmp_path, "vit", samples=2, threads=1)
