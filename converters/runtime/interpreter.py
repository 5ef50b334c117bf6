"""The one place that picks a TensorFlow Lite interpreter, feeds it and reads it.

ai-edge-litert is taken if it is installed, else tflite-runtime, else TensorFlow's own interpreter. Everything here
works with one of the three and NumPy.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.metadata
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any, Literal, get_args

import numpy as np

from converters.errors import DataError, FileFormatError, MissingDependencyError, OptionError
from converters.printable import shown
from converters.runtime.content import read_content
from converters.runtime.values import IoDetail, quantize
from converters.tflite.model_file import read_model
from converters.tflite.soundness import check_sound

Kernels = Literal["xnnpack", "builtin", "reference"]
_MAX_THREADS = 1024  # the runtime starts as many as it is told
Delegate = Literal["xnnpack", "builtin"]  # kernels that are worth timing

# (distribution, module with Interpreter and OpResolverType), first choice first
RUNTIMES = (
    ("ai-edge-litert", "ai_edge_litert.interpreter"),
    ("tflite-runtime", "tflite_runtime.interpreter"),
    ("tensorflow", "tensorflow.lite.python.interpreter"),
)
_RESOLVERS = {"xnnpack": "AUTO", "builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES", "reference": "BUILTIN_REF"}


@functools.cache
def _runtime() -> tuple[str, ModuleType]:
    reasons = []
    for distribution, module in RUNTIMES:
        try:
            return distribution, importlib.import_module(module)
        except (ImportError, AttributeError) as error:  # tflite-runtime beside NumPy 2 fails with either
            reasons.append(f"{distribution}: {error}")
    raise MissingDependencyError(
        "running a .tflite file needs a TensorFlow Lite interpreter and none can be imported "
        f"({'; '.join(reasons)}). Install one: pip install ai-edge-litert"
    )


def runtime_name() -> str:
    """The interpreter in use and its version, e.g. ``"ai-edge-litert 2.3.0"``.

    Raises:
        MissingDependencyError: No interpreter is installed.
    """
    distribution, module = _runtime()
    try:
        return f"{distribution} {importlib.metadata.version(distribution)}"
    except importlib.metadata.PackageNotFoundError:  # a variant such as ai-edge-litert-nightly
        package = importlib.import_module(module.__name__.partition(".")[0])
        return f"{distribution} {getattr(package, '__version__', '(version unknown)')}"


def make_interpreter(
    model: bytes | str | os.PathLike[str],
    *,
    kernels: Kernels = "xnnpack",
    threads: int = 1,
    preserve_all_tensors: bool = False,
    label: str | None = None,
) -> Any:
    """An interpreter of the file with its tensors allocated.

    Args:
        model: content of a .tflite file, or its path.
        kernels: ``"xnnpack"``: with the runtime's default delegates; ``"builtin"``: its optimized kernels without a
            delegate; ``"reference"``: its plain reference kernels.
        threads: CPU threads.
        preserve_all_tensors: keep every intermediate tensor readable after a run. Inside delegated partitions there
            are none: combine it with ``"builtin"`` or ``"reference"``.
        label: what messages call the file; None: its path, or its size.

    Raises:
        FileFormatError: The file cannot be read, is corrupt, or the runtime refuses it.
        MissingDependencyError: No interpreter is installed.
        OptionError: ``model`` is neither content nor path, or an option is out of range.
    """
    if not isinstance(kernels, str) or kernels not in get_args(Kernels):
        raise OptionError(f"kernels={shown(kernels)}: choose one of {', '.join(get_args(Kernels))}.")
    if isinstance(threads, bool) or not isinstance(threads, int) or not 1 <= threads <= _MAX_THREADS:
        raise OptionError(f"threads={shown(threads)}: give a whole number from 1 to {_MAX_THREADS}.")
    content, known = read_content(model)
    label = label or known
    check_content(content, label)
    return create_interpreter(
        content, label, kernels=kernels, threads=threads, preserve_all_tensors=preserve_all_tensors
    )


def check_content(content: bytes, label: str) -> None:
    """Refuses what is no intact .tflite file; some runtimes crash the process on one.

    Raises:
        FileFormatError: It is corrupt; ``label`` names it in the message.
    """
    try:
        check_sound(read_model(content))
    except FileFormatError as error:
        raise FileFormatError(f"{label}: {error}. Convert or download it again.") from error


def create_interpreter(
    content: bytes, label: str, *, kernels: Kernels, threads: int, preserve_all_tensors: bool = False
) -> Any:
    """:func:`make_interpreter` of content that :func:`check_content` has seen: nothing but the runtime's own work.

    Raises:
        FileFormatError: The runtime refuses the file; ``label`` names it in the message.
        MissingDependencyError: No interpreter is installed.
    """
    _, module = _runtime()
    try:
        with warnings.catch_warnings():  # TensorFlow announces the removal of its interpreter, LiteRT the memory use
            warnings.simplefilter("ignore")
            interpreter = module.Interpreter(
                model_content=content,
                num_threads=threads,
                experimental_op_resolver_type=getattr(module.OpResolverType, _RESOLVERS[kernels]),
                experimental_preserve_all_tensors=preserve_all_tensors,
            )
            interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise FileFormatError(
            f"{label}: {runtime_name()} refuses to run it with {kernels} kernels: {_reason(error)}. "
            "A newer runtime may know the operator; otherwise convert the model again."
        ) from error
    return interpreter


def _reason(error: Exception) -> str:
    """The runtime's message on one line, without the paths of its sources."""
    words = " ".join(re.sub(r"\S+\.(cc|h):\d+:?", "", str(error)).split()).rstrip(". ")
    return words or "it gives no reason, as where memory does not suffice"


def inputs(interpreter: Any) -> tuple[IoDetail, ...]:
    """Inputs of the main graph, in its order."""
    return _details(interpreter.get_input_details(), _signature_names(interpreter, "inputs"))


def outputs(interpreter: Any) -> tuple[IoDetail, ...]:
    """Outputs of the main graph, in its order."""
    return _details(interpreter.get_output_details(), _signature_names(interpreter, "outputs"))


def _signature_names(interpreter: Any, side: str) -> dict[int, str]:
    """Tensor number -> name in the first signature that covers exactly the main graph's inputs and outputs."""
    expected = {
        "inputs": {d["index"] for d in interpreter.get_input_details()},
        "outputs": {d["index"] for d in interpreter.get_output_details()},
    }
    for key, signature in interpreter._get_full_signature_list().items():
        # Tensors of other graphs have the same numbers.
        if _is_main(interpreter, key) and all(set(signature[s].values()) == expected[s] for s in expected):
            return {index: name for name, index in signature[side].items()}
    return {}


def _is_main(interpreter: Any, signature: str) -> bool:
    """Whether a signature is one of the main graph, as far as the runtime tells."""
    find = getattr(getattr(interpreter, "_interpreter", None), "GetSubgraphIndexFromSignature", None)
    return find is None or find(signature) == 0


def _details(details: list[dict[str, Any]], names: Mapping[int, str]) -> tuple[IoDetail, ...]:
    return tuple(
        IoDetail(
            name=names.get(d["index"], d["name"]),
            index=d["index"],
            shape=tuple(int(n) for n in d["shape"]),
            shape_signature=tuple(int(n) for n in d["shape_signature"]),
            dtype=np.dtype(d["dtype"]),
            scale=float(d["quantization"][0]),
            zero_point=int(d["quantization"][1]),
        )
        for d in details
    )


def run(interpreter: Any, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Runs the main graph once, as if for the first time: recurrent layers start from zero and not where they ended.

    Args:
        interpreter: from :func:`make_interpreter`.
        feeds: input name -> array with batch dimension, as for :func:`set_inputs`.

    Returns:
        The outputs in the order of the graph, raw: integers of a quantized output, for
        :func:`converters.runtime.values.dequantize`.

    Raises:
        DataError: A feed is missing, unknown, of the wrong shape, or not finite.
        FileFormatError: The runtime fails to run the model.
    """
    set_inputs(interpreter, feeds)
    with failures_explained():
        _reset_variables(interpreter)
    invoke(interpreter)
    return raw_outputs(interpreter)


def _reset_variables(interpreter: Any) -> None:
    """Sets the variables of all graphs to zero; those of graphs that have not run yet have no memory before."""
    inner: Any = getattr(interpreter, "_interpreter", None)
    try:
        interpreter.reset_all_variables()
    except RuntimeError:
        for number in range(1, inner.NumSubgraphs() if hasattr(inner, "NumSubgraphs") else 1):
            inner.AllocateTensors(number)
        interpreter.reset_all_variables()


def zeros(interpreter: Any) -> dict[str, np.ndarray]:
    """Feeds for :func:`run` that fit any file, if no task."""
    return {detail.name: np.zeros(detail.shape, detail.dtype) for detail in inputs(interpreter)}


def set_inputs(interpreter: Any, feeds: Mapping[str, np.ndarray]) -> None:
    """Gives the main graph its inputs.

    Args:
        interpreter: from :func:`make_interpreter`.
        feeds: input name -> array with batch dimension. Names are those of :func:`inputs`. Values are converted as
            :func:`quantize` says. An array whose shape differs in a resizable dimension resizes the input.

    Raises:
        DataError: A feed is missing, unknown, of the wrong shape, or not finite.
        FileFormatError: The runtime refuses them.
    """
    expected = inputs(interpreter)
    names = [detail.name for detail in expected]
    if set(feeds) != set(names):
        raise DataError(
            f"the model's inputs are {names}, but {sorted(feeds)} were given: give exactly one array for each"
        )
    arrays = [np.asarray(feeds[detail.name]) for detail in expected]
    resized = [(d, array.shape) for d, array in zip(expected, arrays, strict=True) if array.shape != d.shape]
    for detail, shape in resized:
        _check_resizable(detail, shape)
        interpreter.resize_tensor_input(detail.index, shape)
    with failures_explained():
        if resized:
            interpreter.allocate_tensors()
        for detail, array in zip(expected, arrays, strict=True):
            interpreter.set_tensor(detail.index, quantize(array, detail))


def invoke(interpreter: Any) -> None:
    """Runs the main graph on the inputs it has.

    Raises:
        FileFormatError: The runtime fails to run the model.
    """
    with failures_explained():
        interpreter.invoke()


def raw_outputs(interpreter: Any) -> list[np.ndarray]:
    """The outputs of the last run in the graph's order.

    Raises:
        FileFormatError: The runtime has computed none.
    """
    with failures_explained():
        return [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]


@contextlib.contextmanager
def failures_explained() -> Iterator[None]:
    """Errors of the runtime within, as errors of the file."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        raise FileFormatError(f"{runtime_name()} fails to run the model: {_reason(error)}") from error


def _check_resizable(detail: IoDetail, shape: tuple[int, ...]) -> None:
    wanted = detail.shape_signature or detail.shape
    if len(shape) != len(wanted) or any(w not in (-1, n) for n, w in zip(shape, wanted, strict=True)):
        raise DataError(
            f"input '{detail.name}' has shape {shape}, but the model takes {wanted} (-1: any size). "
            "Mind the batch dimension in front."
        )
