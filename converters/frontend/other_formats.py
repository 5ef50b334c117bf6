"""Models of other frameworks: what a user who brings one is told."""

from __future__ import annotations

from pathlib import Path

from converters.frontend.keras_files import opened_archive

_PYTORCH = (
    "a PyTorch model; tfmpq starts from a float .tflite file. Convert it with litert-torch (pip install litert-torch): "
    "litert_torch.convert(model.eval(), (sample,)).export('model.tflite'), see docs/pytorch.md"
)
_WEIGHTS = (
    "weights without a model. Build the model, load them into it, and give the Keras model, or for PyTorch what "
    "litert_torch.convert(model.eval(), (sample,)).export('model.tflite') writes (pip install litert-torch)"
)
_ONNX = (
    "an ONNX model; tfmpq starts from a float .tflite file. Convert it with onnx2tf (pip install onnx2tf): "
    "onnx2tf -i model.onnx, and give the *_float32.tflite file that it writes"
)
_TENSORFLOW_1 = (
    "a frozen TensorFlow graph or a checkpoint. Give a SavedModel directory (tf.saved_model.save), or what "
    "tf.compat.v1.lite.TFLiteConverter.from_frozen_graph writes"
)
_SUFFIXES = {
    **dict.fromkeys((".pt", ".pth", ".pt2", ".torchscript"), _PYTORCH),
    **dict.fromkeys((".safetensors", ".npz", ".bin"), _WEIGHTS),
    ".onnx": _ONNX,
    **dict.fromkeys((".pb", ".ckpt", ".index", ".meta"), _TENSORFLOW_1),
}
_PACKAGES = {"torch": _PYTORCH, "onnx": _ONNX}


def other_format(path: Path) -> str | None:
    """What a file that is no Keras model and no .tflite holds, and what to do; None if that cannot be told."""
    if path.suffix.lower() not in _SUFFIXES and _is_torch_archive(path):
        return _PYTORCH
    return _SUFFIXES.get(path.suffix.lower())


def other_framework(model: object) -> str | None:
    """What an object of another framework is, and what to do; None if that cannot be told."""
    packages = [cls.__module__.partition(".")[0] for cls in type(model).__mro__]
    return next((_PACKAGES[name] for name in packages if name in _PACKAGES), None)


def _is_torch_archive(path: Path) -> bool:
    try:
        with opened_archive(path) as archive:
            return any(name.endswith("/data.pkl") for name in archive.namelist())
    except (ValueError, OSError):
        return False
