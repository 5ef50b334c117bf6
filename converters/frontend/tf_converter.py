"""TensorFlow's own converter: the float file and its stock int8 twin."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from converters.errors import ConversionError, DataError, MissingDependencyError, ModelError, OptionError
from converters.frontend.calibrated import Range, check_ranges, read_ranges, with_ranges
from converters.frontend.first_run import place
from converters.frontend.float_file import graph_order
from converters.frontend.float_model import FloatModel, Samples
from converters.frontend.float_tail import append_tail, cut_tail
from converters.frontend.loops import with_copies
from converters.frontend.quantizer import InProcess, Quantizer, QuantizerError, QuantizerMissingError, quantizer
from converters.native_logs import quiet
from converters.tflite.file import File
from converters.tflite.reader import load
from converters.tflite.writer import save

OpenConverter = Callable[[], AbstractContextManager[Any]]  # gives a tf.lite.TFLiteConverter

IO_DTYPES = ("int8", "uint8", "float32")
_MEASURED: Mapping[str, Range] = MappingProxyType({})  # as the data say
_REASON_LENGTH = 400  # MLIR quotes whole graphs
_COMPLAINT = re.compile(r"'\w+\.\w+' op [^()\n]+")  # how MLIR states what it does not accept
_NODE = re.compile(r'"([^"@\s]+/[^"@\s]+)@')
_MOST_ERRORS = 3  # one cause tends to be said again for every operator


def convert_float(open_converter: OpenConverter, source: str) -> bytes:
    """The float .tflite file.

    Raises:
        ModelError: TensorFlow cannot export or convert the model.
    """
    return _convert(open_converter, source, lambda converter: None)


def convert_int8(open_converter: OpenConverter, source: str, samples: Samples, io_dtype: str) -> bytes:
    """The full-int8 .tflite file by the public converter, which converts the model anew.

    Raises:
        ModelError: TensorFlow cannot export, convert or quantize the model.
    """
    import tensorflow as tf

    def configure(converter: Any) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.representative_dataset = samples
        converter.inference_input_type = converter.inference_output_type = tf.as_dtype(io_dtype)

    return _convert(open_converter, source, configure)


def int8_twin(
    float_model: FloatModel,
    samples: Samples,
    *,
    io_dtype: str = "int8",
    ranges: Mapping[str, Range] = _MEASURED,
    float_tail: frozenset[str] = frozenset(),
    float_outputs: frozenset[str] = frozenset(),
) -> bytes:
    """The stock full-int8 file of the same graph, tensor for tensor what TensorFlow's converter gives.

    The converter's own two steps run on the float flatbuffer, which spares a second conversion and works for .tflite
    files too. They are not public; where TensorFlow lacks them, Keras models and SavedModels go through the public
    converter.

    A range set by hand takes the place of the measured one. Its tensor, and whatever shares its scale, then has the
    scale and zero point that TensorFlow derives from any range: (max - min) / 255 of the range widened to contain 0,
    which it moves by up to half a step so that 0 is an integer. Values beyond are clipped, by a fused activation too.
    Which tensors have a scale of their own is TensorFlow's decision, and no range changes it; of others the range is
    ignored without a word:

    * what RESHAPE, TRANSPOSE, SLICE, GATHER, pooling, RESIZE and other operators that compute nothing new write has
      the scale of what they read, never one of its own;
    * what goes into a CONCATENATION, PACK, PADV2, MAXIMUM, MINIMUM or SELECT has the scale of what comes out, through
      several of them and graph inputs too; a result of fixed scale, or one that two of them claim, is converted by a
      QUANTIZE in front;
    * SOFTMAX, LOGISTIC, TANH, LOG_SOFTMAX and L2_NORMALIZATION write at fixed scales;
    * what is computed in float or in integers has none.

    Args:
        float_model: from ``load_model``.
        samples: gives an iterator of calibration samples, dicts by input name.
        io_dtype: type of the model's float inputs and outputs: "int8", "uint8" or "float32".
        ranges: tensor name -> (min, max) of real values, of activations, inputs and outputs of the main graph that are
            not to have the range of the samples.
        float_tail: names of tensors, up to outputs, whose operators stay in float; their outputs are float32.
        float_outputs: names of further output tensors that are float32 whatever ``io_dtype`` says.

    Raises:
        DataError: There are no samples.
        MissingDependencyError: TensorFlow lacks the two steps, and the model came as a .tflite file or has ``ranges``.
        ModelError: TensorFlow cannot calibrate or quantize the model.
        OptionError: Unknown ``io_dtype``; a range of what has none, as constants, or not (smaller, larger).
    """
    if not float_tail and not float_outputs:
        return _twin(float_model, samples, io_dtype, ranges)[0]
    cut = cut_tail(load(float_model.flatbuffer), float_tail)
    body = replace(float_model, flatbuffer=save(cut.body), public_int8=None)
    known = {tensor.name for tensor in cut.body.graph.tensors()}
    content, _ = _twin(body, samples, io_dtype, {name: span for name, span in ranges.items() if name in known})
    return append_tail(content, cut, float_outputs)


def measured_twin(
    float_model: FloatModel, samples: Samples, *, io_dtype: str = "int8"
) -> tuple[bytes, dict[str, Range]]:
    """:func:`int8_twin`, and the ranges that it found on the samples.

    With these as its ``ranges`` and any one sample it gives the same file: running the samples takes most of the time,
    and many files can be made of one float model.

    Args:
        float_model, samples, io_dtype: as for :func:`int8_twin`.

    Returns:
        The file; tensor name -> (min, max) of all float activations of the main graph, {} where the public converter
        made it.

    Raises:
        ConversionError: As :func:`int8_twin`.
    """
    return _twin(float_model, samples, io_dtype, _MEASURED)


def _twin(
    float_model: FloatModel, samples: Samples, io_dtype: str, ranges: Mapping[str, Range]
) -> tuple[bytes, dict[str, Range]]:
    if io_dtype not in IO_DTYPES:
        raise OptionError(f"io_dtype={io_dtype!r} is unknown: choose one of {', '.join(IO_DTYPES)}")
    try:
        with _process(float_model) as process:
            calibrated = _calibrated(process, float_model, samples, ranges)
            return process.quantize(calibrated, io_dtype), read_ranges(calibrated)
    except QuantizerMissingError as error:
        if float_model.public_int8 is None or ranges:
            raise MissingDependencyError(
                f"{float_model.source} cannot be quantized{' with ranges set by hand' if ranges else ''}: this "
                f"TensorFlow has no calibrator for .tflite files ({error}). Install the TensorFlow release tfmpq asks "
                f"for, or give the Keras model{' and set none' if ranges else ''}."
            ) from error
        return float_model.public_int8(samples, io_dtype), {}


@contextmanager
def _process(float_model: FloatModel) -> Iterator[Quantizer | InProcess]:
    try:
        with quantizer() as process:
            yield process
    except QuantizerError as error:
        raise ModelError(
            f"{float_model.source}: TensorFlow cannot quantize it to int8: {_reason(str(error), error.said)}. "
            "See whether tf.lite.TFLiteConverter can; if it can, please report the model."
        ) from error


def _calibrated(
    process: Quantizer | InProcess, float_model: FloatModel, samples: Samples, ranges: Mapping[str, Range]
) -> bytes:
    float_model = replace(float_model, flatbuffer=with_copies(float_model.flatbuffer))
    model = load(float_model.flatbuffer)
    measured = _calibrate(process, float_model, samples, graph_order(model, float_model.source))
    calibrated = with_ranges(measured, ranges, float_model.source)
    check_ranges(calibrated, model, float_model.source)
    return calibrated


def _calibrate(
    process: Quantizer | InProcess, float_model: FloatModel, samples: Samples, order: Sequence[str]
) -> bytes:
    """The float file with the ranges of all samples in it.

    Inputs are given by their place in the graph: by name, TensorFlow would sort them by tensor number, which feeds a
    file whose inputs are numbered otherwise in the wrong order without a word.
    """
    count = 0
    for sample in samples():
        arrays = [sample[name] for name in order]
        if not count:
            process.begin(float_model.flatbuffer, sum(array.nbytes for array in arrays))
        count += 1
        try:
            process.add(arrays)
        except QuantizerError as error:
            where = place(File.parse(float_model.flatbuffer), sample, "builtin") if error.died else ""
            raise QuantizerError(f"its calibrator fails on sample {count}: {error}{where}", said=error.said) from error
    if not count:
        raise DataError("there are no calibration samples: int8 needs some to find the ranges of activations")
    return process.finish()


def _convert(open_converter: OpenConverter, source: str, configure: Callable[[Any], None]) -> bytes:
    said: list[str] = []
    try:
        with quiet() as said, open_converter() as converter:
            configure(converter)
            return converter.convert()
    except ConversionError:
        raise
    except Exception as error:  # Keras, the tracer and MLIR raise whatever they meet
        raise ModelError(
            f"{source}: TensorFlow cannot convert it: {_reason(f'{type(error).__name__}: {error}', said)}"
        ) from error


def _reason(message: str, said: Sequence[str]) -> str:
    """The part of TensorFlow's message that a user can act on, on one line.

    Args:
        message: the error it raised and its text; the quantizer's is empty.
        said: MLIR's own errors.
    """
    missing = re.findall(r"(?:TF Select|Custom) ops: ([\w:, ]+)", message)
    if missing:
        names = ", ".join(dict.fromkeys(missing))
        return (
            f"TensorFlow Lite has no operator for {names}. Leave that part out of the model or express it with other "
            "layers; tfmpq does not use TensorFlow's own operators (Flex) or custom ones"
        )
    if message.count("callsite(") > 1 and (found := _COMPLAINT.search(message)):
        # The places, whole call stacks, come before what is wrong.
        place = _NODE.search(message)
        return found[0].strip().rstrip(".,") + (f" (at '{place[1]}')" if place else "")
    errors = [line for line in dict.fromkeys(said) if line not in message]
    words = " ".join(" ".join([message, *errors[:_MOST_ERRORS]]).split()).rstrip(". ")
    return f"{words[:_REASON_LENGTH]}{' ...' if len(words) > _REASON_LENGTH else ''}"
