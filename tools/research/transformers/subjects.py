"""The three models and what each is judged by: columns of a table from a file's outputs.

Every number is against the float file unless its title says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converters.errors import DataError
from converters.runtime import interpreter as runtime
from converters.runtime.values import dequantize
from tfmpq.activations.values.cosines import cosines
from tfmpq.files import read_npz
from tools.research.measuring import predict
from tools.research.transformers.quality import nearest, perplexity, spearman

Cells = dict[str, str]
GENERATED = 50  # tokens after each prompt

_READY = {
    "encoder": "python -m tools.research.transformers.sentence_encoder",
    "vit": "python -m tools.research.transformers.vit",
    "lm": "python -m tools.research.transformers.char_lm",
}
MODELS = tuple(_READY)


@dataclass(frozen=True)
class Subject:
    """A model with its data.

    Attributes:
        keras: path of the .keras file.
        calibration: input name -> array, samples first.
        sample: input name -> array of batch dimension 1, the first one to be judged by.
        judge: the quality of a file (content), by column title.
    """

    keras: Path
    calibration: Mapping[str, np.ndarray]
    sample: Mapping[str, np.ndarray]
    judge: Callable[[bytes], Cells]


def open_subject(folder: Path, name: str, *, samples: int, threads: int) -> Subject:
    """Reads a model's data, and runs its float file, which all others are compared with.

    Args:
        folder: where the scripts of :data:`MODELS` wrote.
        name: of :data:`MODELS`.
        samples: evaluation samples at most: pairs of sentences, images or sequences.
        threads: CPU threads for the outputs.

    Raises:
        DataError: A file is missing.
    """
    missing = [p.name for p in (folder / f"{name}.keras", folder / f"{name}_float.tflite") if not p.is_file()]
    if missing:
        raise DataError(f"'{folder}' has no {missing[0]}: make it with `{_READY[name]} --output {folder}`")
    content = (folder / f"{name}_float.tflite").read_bytes()
    judge = {"encoder": _encoder, "vit": _vit, "lm": _lm}[name](folder, content, samples, threads)
    calibration = read_npz(folder / f"{name}_calibration.npz")
    evaluation = read_npz(folder / f"{name}_eval.npz")
    sample = {key: evaluation[key][:1] for key in calibration}
    return Subject(folder / f"{name}.keras", calibration, sample, judge)


def _spread(count: int, most: int) -> np.ndarray:
    """Numbers of at most so many samples, evenly spread over all."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int))


def _some(arrays: Mapping[str, np.ndarray], most: int) -> dict[str, np.ndarray]:
    rows = _spread(len(next(iter(arrays.values()))), most)
    return {name: array[rows] for name, array in arrays.items()}


def _directions(found: np.ndarray, reference: np.ndarray) -> Cells:
    values = cosines(found, reference)
    return {"cosine, mean": f"{values.mean():.5f}", "smallest": f"{values.min():.5f}"}


def _encoder(folder: Path, float_file: bytes, samples: int, threads: int) -> Callable[[bytes], Cells]:
    scores = read_npz(folder / "encoder_pairs.npz")["scores"]
    pairs = _spread(len(scores), samples)  # the benchmark's parts follow one another
    rows = np.stack([2 * pairs, 2 * pairs + 1], axis=1).reshape(-1)
    inputs = {name: array[rows] for name, array in read_npz(folder / "encoder_eval.npz").items()}
    scores = scores[pairs]
    reference = predict(float_file, inputs, threads=threads)[0]
    similarities, closest = cosines(reference[::2], reference[1::2]), nearest(reference)

    def judge(content: bytes) -> Cells:
        found = predict(content, inputs, threads=threads)[0]
        mine = cosines(found[::2], found[1::2])
        return _directions(found, reference) | {
            "rank correlation": f"{spearman(mine, similarities):.4f}",
            "with people": f"{spearman(mine, scores):.4f}",
            "nearest kept": f"{np.mean(nearest(found) == closest):.1%}",
        }

    return judge


def _vit(folder: Path, float_file: bytes, samples: int, threads: int) -> Callable[[bytes], Cells]:
    arrays = _some(read_npz(folder / "vit_eval.npz"), samples)
    truth = arrays.pop("y")
    reference = predict(float_file, arrays, threads=threads)[0]

    def judge(content: bytes) -> Cells:
        found = predict(content, arrays, threads=threads)[0]
        classes = {
            "top-1": f"{np.mean(found.argmax(1) == truth):.2%}",
            "same class": f"{np.mean(found.argmax(1) == reference.argmax(1)):.2%}",
        }
        return classes | _directions(found, reference)

    return judge


def _lm(folder: Path, float_file: bytes, samples: int, threads: int) -> Callable[[bytes], Cells]:
    arrays = _some(read_npz(folder / "lm_eval.npz"), samples)
    following = arrays.pop("y")
    prompts = read_npz(folder / "lm_prompts.npz")["ids"]
    reference = predict(float_file, arrays, threads=threads)[0].argmax(-1)
    continued = generate(float_file, prompts, threads=threads)

    def judge(content: bytes) -> Cells:
        logits = predict(content, arrays, threads=threads)[0]
        same = generate(content, prompts, threads=threads) == continued
        return {
            "perplexity": f"{perplexity(logits, following):.3f}",
            "same next token": f"{np.mean(logits.argmax(-1) == reference):.2%}",
            f"prompts with the same {GENERATED} tokens": f"{same.all(1).sum()} of {len(prompts)}",
            "same tokens until the first other": f"{np.cumprod(same, axis=1).sum(1).mean():.1f}",
        }

    return judge


def generate(content: bytes, prompts: np.ndarray, *, tokens: int = GENERATED, threads: int = 1) -> np.ndarray:
    """Greedy continuations of prompts (n, length), int64 (n, tokens).

    Args:
        content: a causal .tflite file of one input (1, sequence) of ids and one output (1, sequence, vocabulary);
            what follows the text is filled with zeros, which a causal network does not see.
        prompts: ids; with the tokens they must fit into the sequence.
        tokens: how many to append.
        threads: CPU threads.

    Raises:
        DataError: The prompts and the tokens are longer than the sequence.
    """
    interpreter = runtime.make_interpreter(content, threads=threads)
    detail = runtime.inputs(interpreter)[0]
    length, sequence = prompts.shape[1], detail.shape[1]
    if length + tokens > sequence:
        raise DataError(f"prompts of {length} tokens and {tokens} more do not fit into the file's {sequence}")
    texts = np.zeros((len(prompts), sequence), np.int32)
    texts[:, :length] = prompts
    for text in texts:
        for end in range(length, length + tokens):
            raw = runtime.run(interpreter, {detail.name: text[None]})[0]
            text[end] = dequantize(raw, runtime.outputs(interpreter)[0])[0, end - 1].argmax()
    return texts[:, length : length + tokens].astype(np.int64)
