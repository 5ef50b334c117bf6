"""A sentence encoder with real weights: all-MiniLM-L6-v2 (BERT, 6 blocks, 22.7 million weights) in Keras 3.

    python -m tools.research.transformers.sentence_encoder --pairs DIR --output build/transformers [--onnx FILE]

DIR holds sts-train.csv and sts-test.csv of the STS benchmark (Cer et al. 2017), sentence pairs with people's judgement
of how much the two mean the same (0..5). Writes encoder.keras, encoder_float.tflite (batch 1, 64 tokens),
encoder_calibration.npz (ids, mask), encoder_eval.npz (ids, mask; the two sentences of a pair in turn) and
encoder_pairs.npz (scores of the pairs). With --onnx the network is checked against another export of it: inputs
input_ids, attention_mask, token_type_ids, output the last hidden state.

The weights: see :mod:`tools.research.transformers.minilm`.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import app, flags

from converters.errors import DataError, MissingDependencyError
from tfmpq.activations.values.cosines import cosines
from tools.research.transformers.artifacts import OUTPUT, write_model
from tools.research.transformers.minilm import make_tokenizer, read_weights, tokenize
from tools.research.transformers.quality import spearman

SEQUENCE = 64  # tokens: the longest sentence of the test has 46 with its two ends
VOCABULARY, POSITIONS, TYPES = 30522, 512, 2
WIDTH, HEADS, BLOCKS, HIDDEN = 384, 12, 6, 1536
EPSILON = 1e-12  # of all normalizations, as in the checkpoint
CALIBRATION = 200  # sentences
_TOLERANCE = 1e-4  # against the other export: sums of 1536 float32 products in another order, through 6 blocks

_PAIRS = flags.DEFINE_string("pairs", None, "Directory of sts-train.csv and sts-test.csv.")
_ONNX = flags.DEFINE_string("onnx", None, "An .onnx file of the same network to check against (needs onnxruntime).")


def build() -> Any:
    """The network: ids and mask int32 (batch, SEQUENCE) -> embedding of length 1 (batch, WIDTH)."""
    import keras
    from keras import layers, ops

    ids = keras.Input((SEQUENCE,), dtype="int32", name="ids")
    mask = keras.Input((SEQUENCE,), dtype="int32", name="mask")
    ones: Any = ops.ones_like(ids)
    positions: Any = ops.cumsum(ones, axis=1)
    tokens = layers.Embedding(VOCABULARY, WIDTH, name="token_embedding")(ids)
    places = layers.Embedding(POSITIONS, WIDTH, name="position_embedding")(positions - 1)
    types = layers.Embedding(TYPES, WIDTH, name="type_embedding")(ones - 1)
    x = layers.Add(name="embedding")([tokens, places, types])
    x = layers.LayerNormalization(epsilon=EPSILON, name="embedding_norm")(x)
    allowed = ops.cast(ops.expand_dims(mask, 1), "bool")  # (batch, 1, SEQUENCE): the same for every query
    for n in range(1, BLOCKS + 1):
        attention = layers.MultiHeadAttention(HEADS, WIDTH // HEADS, name=f"block{n}_attention")
        x = layers.Add(name=f"block{n}_add1")([x, attention(x, x, attention_mask=allowed)])
        x = layers.LayerNormalization(epsilon=EPSILON, name=f"block{n}_norm1")(x)
        y = layers.Dense(HIDDEN, activation="gelu", name=f"block{n}_expand")(x)
        x = layers.Add(name=f"block{n}_add2")([x, layers.Dense(WIDTH, name=f"block{n}_project")(y)])
        x = layers.LayerNormalization(epsilon=EPSILON, name=f"block{n}_norm2")(x)
    weight = ops.expand_dims(ops.cast(mask, "float32"), -1)
    total: Any = ops.sum(x * weight, axis=1)
    mean = total / ops.maximum(ops.sum(weight, axis=1), 1e-9)
    length = ops.sqrt(ops.maximum(ops.sum(ops.square(mean), axis=-1, keepdims=True), 1e-24))
    return keras.Model([ids, mask], mean / length, name="sentence_encoder")


def load_weights(model: Any, checkpoint: Mapping[str, np.ndarray]) -> None:
    """Puts a BERT checkpoint into the network; dense weights come (outputs, inputs), heads one behind the other."""

    def put(layer: str, *names: str) -> None:
        model.get_layer(layer).set_weights([checkpoint[name] for name in names])

    for kind, layer in (("word", "token"), ("position", "position"), ("token_type", "type")):
        put(f"{layer}_embedding", f"embeddings.{kind}_embeddings.weight")
    put("embedding_norm", "embeddings.LayerNorm.weight", "embeddings.LayerNorm.bias")
    for n in range(1, BLOCKS + 1):
        prefix = f"encoder.layer.{n - 1}"
        for layer, name in (("norm1", "attention.output"), ("norm2", "output")):
            put(f"block{n}_{layer}", *(f"{prefix}.{name}.LayerNorm.{part}" for part in ("weight", "bias")))
        for layer, name in (("expand", "intermediate.dense"), ("project", "output.dense")):
            weight, bias = checkpoint[f"{prefix}.{name}.weight"], checkpoint[f"{prefix}.{name}.bias"]
            model.get_layer(f"block{n}_{layer}").set_weights([weight.T, bias])
        arrays = []
        for name in ("query", "key", "value"):
            weight, bias = (checkpoint[f"{prefix}.attention.self.{name}.{part}"] for part in ("weight", "bias"))
            arrays += [weight.T.reshape(WIDTH, HEADS, -1), bias.reshape(HEADS, -1)]
        weight, bias = (checkpoint[f"{prefix}.attention.output.dense.{part}"] for part in ("weight", "bias"))
        model.get_layer(f"block{n}_attention").set_weights([*arrays, weight.T.reshape(HEADS, -1, WIDTH), bias])


def read_pairs(path: Path) -> tuple[list[tuple[str, str]], np.ndarray]:
    """(sentence pairs, their scores 0..5) of a file of the STS benchmark.

    Raises:
        DataError: There is no such file, or a line has fewer than seven fields.
    """
    if not path.is_file():
        raise DataError(f"'{path}' is missing: give the directory of the STS benchmark with --pairs")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    short = [number for number, row in enumerate(rows, 1) if len(row) < 7]
    if short:
        raise DataError(f"'{path}', line {short[0]}: fewer than the seven fields of the STS benchmark")
    return [(row[5].strip(), row[6].strip()) for row in rows], np.array([float(row[4]) for row in rows])


def embed_onnx(path: Path, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """Embeddings by another export of the network, pooled here: float32 (samples, WIDTH).

    Raises:
        MissingDependencyError: onnxruntime is not installed.
    """
    try:
        import onnxruntime  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise MissingDependencyError("--onnx needs onnxruntime: pip install onnxruntime") from error
    ids, mask = (inputs[name].astype(np.int64) for name in ("ids", "mask"))
    session: Any = onnxruntime.InferenceSession(str(path))
    feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    states = session.run(None, feeds)[0]
    mean = (states * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
    return mean / np.linalg.norm(mean, axis=1, keepdims=True)


def calibration_sentences(pairs: Sequence[tuple[str, str]], known: set[str]) -> list[str]:
    """Sentences spread over the pairs, none of them twice or among the known ones."""
    candidates = [text for text in dict.fromkeys(text for pair in pairs for text in pair) if text not in known]
    return [candidates[int(i)] for i in np.linspace(0, len(candidates) - 1, CALIBRATION)]


def main(_: list[str]) -> None:
    tokenizer = make_tokenizer(SEQUENCE)
    pairs, scores = read_pairs(Path(_PAIRS.value) / "sts-test.csv")
    train = read_pairs(Path(_PAIRS.value) / "sts-train.csv")[0]
    sentences = [text for pair in pairs for text in pair]
    evaluation = tokenize(tokenizer, sentences)
    calibration = tokenize(tokenizer, calibration_sentences(train, set(sentences)))
    model = build()
    load_weights(model, read_weights())
    embeddings = model.predict(evaluation, verbose=0)
    similarities = cosines(embeddings[::2], embeddings[1::2])
    print(
        f"{model.count_params()} parameters, rank correlation with the judgements {spearman(similarities, scores):.4f}"
    )
    if _ONNX.value:
        some = {name: array[:64] for name, array in evaluation.items()}
        largest = float(np.abs(embed_onnx(Path(_ONNX.value), some) - embeddings[:64]).max())
        print(f"largest difference to {Path(_ONNX.value).name}: {largest:.2e}")
        if largest > _TOLERANCE:
            raise DataError(f"the network does not compute what '{_ONNX.value}' does: {largest:.2e} > {_TOLERANCE:.0e}")
    data = {"calibration": calibration, "eval": evaluation, "pairs": {"scores": scores}}
    write_model(model, Path(OUTPUT.value), "encoder", data)


if __name__ == "__main__":
    flags.mark_flag_as_required("pairs")
    app.run(main)
