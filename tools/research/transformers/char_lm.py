"""A causal language model of characters, trained here in minutes on two cores.

A transformer of 1.8 million weights, or a recurrent one of .2 million (``--network lstm``, ``gru``: a layer of 192).

    python -m tools.research.transformers.char_lm --output build/transformers

Writes lm.keras, lm_float.tflite (batch 1, 128 characters), lm_calibration.npz (ids), lm_eval.npz (ids and the next
characters y) and lm_prompts.npz (ids of the beginnings that are to be continued). The test documents are none of those
it was trained on.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from absl import app, flags

from tools.research.transformers.artifacts import OUTPUT, write_model
from tools.research.transformers.documentation_text import documents, split
from tools.research.transformers.pre_norm import block, compile_model
from tools.research.transformers.quality import perplexity

SEQUENCE = 128
WIDTH, HEADS, BLOCKS = 192, 6, 4
ALPHABET = "\n" + "".join(chr(code) for code in range(32, 127))
CALIBRATION, EVALUATION, PROMPTS, PROMPT = 128, 200, 40, 64  # sequences; the last: characters of a prompt
BATCH, LEARNING_RATE, WEIGHT_DECAY, WARM_UP = 32, 2e-3, 0.05, 100

_NETWORK = flags.DEFINE_enum("network", "transformer", ["transformer", "lstm", "gru"], "What is trained.")
_STEPS = flags.DEFINE_integer("steps", 1000, "Training steps, each of 32 sequences.", lower_bound=1)


def encode(text: str) -> np.ndarray:
    """Ids of the characters, int32 (length,); those outside the alphabet are left out."""
    ids = {character: i for i, character in enumerate(ALPHABET)}
    return np.array([ids[c] for c in text if c in ids], np.int32)


def decode(ids: np.ndarray) -> str:
    """The text of ids (length,)."""
    return "".join(ALPHABET[i] for i in ids)


def build() -> Any:
    """The network: ids int32 (batch, SEQUENCE) -> logits of the next character (batch, SEQUENCE, alphabet)."""
    import keras
    from keras import layers, ops

    ids = keras.Input((SEQUENCE,), dtype="int32", name="ids")
    counted: Any = ops.cumsum(ops.ones_like(ids), axis=1)
    x = layers.Embedding(len(ALPHABET), WIDTH, name="token_embedding")(ids)
    x = layers.Add(name="embedding")([x, layers.Embedding(SEQUENCE, WIDTH, name="position_embedding")(counted - 1)])
    for n in range(1, BLOCKS + 1):
        x = block(x, f"block{n}", width=WIDTH, heads=HEADS, causal=True)
    x = layers.LayerNormalization(name="norm")(x)
    return keras.Model(ids, layers.Dense(len(ALPHABET), name="head")(x), name="char_lm")


def build_recurrent(kind: str) -> Any:
    """A smaller one: a recurrent layer in place of the blocks; ``kind``: ``"lstm"`` or ``"gru"``."""
    import keras
    from keras import layers

    ids = keras.Input((SEQUENCE,), dtype="int32", name="ids")
    x = layers.Embedding(len(ALPHABET), WIDTH // 3, name="embedding")(ids)
    layer = layers.LSTM if kind == "lstm" else layers.GRU
    recurrent: Any = layer(WIDTH, return_sequences=True, name="recurrent")
    return keras.Model(ids, layers.Dense(len(ALPHABET), name="head")(recurrent(x)), name=f"char_{kind}")


def train(model: Any, ids: np.ndarray, *, steps: int) -> None:
    """Fits the model to random pieces of one long text (length,)."""
    import keras

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    warm_up = min(WARM_UP, steps // 2)
    compile_model(model, loss, rate=LEARNING_RATE, weight_decay=WEIGHT_DECAY, steps=steps, warm_up=warm_up)
    rng = np.random.default_rng(1)
    start = time.monotonic()
    for step in range(1, steps + 1):
        x, y = pieces(ids, rng.integers(0, len(ids) - SEQUENCE - 1, BATCH))
        loss = float(model.train_on_batch(x, y))
        if step % 100 == 0:
            print(f"step {step}: loss {loss:.3f}, {time.monotonic() - start:.0f} s", flush=True)


def pieces(ids: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(ids, next ids) of the sequences that start there, int32 (len(starts), SEQUENCE) each."""
    index = starts[:, None] + np.arange(SEQUENCE)
    return ids[index], ids[index + 1]


def data_sets(train_ids: np.ndarray, test_ids: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """What is written beside the model; sequences are spread evenly over the texts."""

    def spread(ids: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        return pieces(ids, np.linspace(0, len(ids) - SEQUENCE - 1, count).astype(int))

    x, y = spread(test_ids, EVALUATION)
    prompts = spread(test_ids, PROMPTS)[0][:, :PROMPT]
    return {
        "calibration": {"ids": spread(train_ids, CALIBRATION)[0]},
        "eval": {"ids": x, "y": y},
        "prompts": {"ids": prompts},
    }


def main(_: list[str]) -> None:
    import keras

    keras.utils.set_random_seed(1)
    train_text, test_text = split(documents())
    train_ids, test_ids = encode(train_text), encode(test_text)
    print(f"{len(train_ids)} characters to train on, {len(test_ids)} to test")
    model = build() if _NETWORK.value == "transformer" else build_recurrent(_NETWORK.value)
    train(model, train_ids, steps=_STEPS.value)
    data = data_sets(train_ids, test_ids)
    found = perplexity(model.predict(data["eval"]["ids"], verbose=0), data["eval"]["y"])
    print(f"{model.count_params()} parameters, perplexity of the test text {found:.3f}")
    write_model(model, Path(OUTPUT.value), "lm", data)


if __name__ == "__main__":
    app.run(main)
