"""The options of a conversion: one place for what they are called, what they mean, and what they may be."""

from __future__ import annotations

import dataclasses
import inspect
import os
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict, TypeVar, get_args

import numpy as np

from converters.errors import OptionError
from converters.frontend.open_sizes import GivenSizes, check_sizes
from converters.lowering.forms import lowerings
from converters.paths import path_text
from converters.points import MAX_BITS, MAX_POINTS, MIN_BITS, MultipointWeight
from converters.printable import shown
from tfmpq.algorithms import ALGORITHMS
from tfmpq.option_checks import (
    check_choice,
    check_integer,
    check_outputs,
    check_paths,
    check_points,
    check_ratio,
    check_signature,
)
from tfmpq.recipe.budgets import Budget, Epsilon, ExtraBits, LikeStock, MaxBytes, MaxDrop
from tfmpq.recipe.rules import Recipe

IoType = Literal["int8", "uint8", "float32"]
Sensitivity = Literal["auto", "energy", "kl", "kl+gradient"]
Weights = Literal["auto", "int8", "int4"]
Optimize = Literal["file", "download"]
Effort = Literal["fast", "best", "distill"]
Ranges = Literal["auto", "minmax"]
Equalization = Literal["auto", "cross_layer", "off"]
OutputForm = Literal["int8", "float", "split"]
Activations = Literal["int8", "float", "auto"]
TensorNames = Literal["keep", "strip"]
BiasScales = Literal["exact", "shared"]
Function = TypeVar("Function", bound=Callable[..., Any])
_CHOICES = {
    "activations": get_args(Activations),
    "optimize": get_args(Optimize),
    "effort": get_args(Effort),
    "sensitivity": get_args(Sensitivity),
    "io_dtype": get_args(IoType),
    "weights": get_args(Weights),
    "equalize": get_args(Equalization),
    "ranges": get_args(Ranges),
    "names": get_args(TensorNames),
    "bias_scales": get_args(BiasScales),
}
_SWITCHES = ("progress", "validate", "strict", "trust")
# Of predicted latency to stock's: what "auto" keeps to unless told otherwise; measured files have been at or below it.
STOCK_SPEED = 1.02
# The same beside float activations, where INT4 dense layers take .95 to 1.1 of int8 ones: at 1.02 language models would
# be int8 for the most part.
DYNAMIC_SPEED = 1.05
# What a file needs that one calibration serves many of; the rest is needed before.
OF_A_FILE = ("budget", "weights", "max_latency_ratio", "names", "bias_scales", "validate")


class OptionValues(TypedDict, total=False):
    """The options as keyword arguments, for type checkers; :class:`Options` says what they are."""

    activations: Activations
    bits: int
    budget: Budget
    lowering: str
    optimize: Optimize
    effort: Effort
    target: str | os.PathLike[str]
    max_latency_ratio: float | None
    algorithm: str
    max_points: int | None
    sensitivity: Sensitivity
    recipe: Recipe | None
    points: Mapping[str, MultipointWeight]
    equalize: Equalization
    ranges: Ranges
    outputs: Mapping[str, OutputForm]
    weights: Weights
    names: TensorNames
    bias_scales: BiasScales
    io_dtype: IoType
    batch_size: int | None
    signature: str | Sequence[str] | None
    sizes: GivenSizes | None
    seed: int
    cache: str | os.PathLike[str] | None
    statistics: Sequence[str | os.PathLike[str]] | None
    progress: bool
    validate: bool
    strict: bool
    trust: bool


@dataclass(frozen=True)
class Options:
    """What :func:`tfmpq.convert` may be asked for; all keyword arguments of it are these.

    Attributes:
        activations: ``"int8"`` (integer arithmetic throughout: convolutional networks), ``"float"`` (dynamic range:
            activations stay in float and the runtime rounds them row by row where weights are low-bit: transformers,
            recurrent networks, language models), or ``"auto"``: what is predicted to be faster on ``target``. With
            float activations ``equalize``, ``ranges``, ``outputs`` and ``io_dtype`` have nothing to do: inputs and
            outputs keep the model's own types.
        bits: bits of a point, 2..8. First, last and depthwise layers and those with less than 1 % of the weights take 8
            unless the recipe says otherwise; see ``optimize`` for others.
        budget: what further points may cost: :class:`LikeStock`, :class:`ExtraBits`, :class:`MaxBytes`,
            :class:`Epsilon` or :class:`MaxDrop`.
        lowering: how points become operators: ``"auto"`` (the smallest file at stock int8 speed, layer by layer),
            ``"split"`` (INT4 and merged int8 rows side by side), ``"fused"`` (merged into one int8 op), ``"parallel"``
            (every point its own op) or ``"compact"`` (INT4 in convolutions too, for :func:`tfmpq.expand` at load).
        optimize: which size counts with ``"auto"`` and ``"split"``: that of the ``"file"``, in which layers that would
            be stored as int8 whatever their points have 8 bits, or that of a compressed ``"download"``, in which they
            are rounded to ``bits`` all the same.
        effort: how long points are chosen: ``"fast"``; ``"best"``, which rounds them again once it is known which
            rows have how many, with what the network makes of errors of all rows together and of inputs that are
            rounded themselves; or ``"distill"``, which then trains them to give what the float network gives, without
            labels, on a thousand samples or more. Both take minutes, not seconds; see docs/effort.md.
        target: whose speed counts: ``"xnnpack"``, ``"builtin"`` (no delegate), or a table of your own machine by
            ``tfmpq target``; or who is to take the file: ``"openvino"``, ``"qnn"``, ``"mtk"``, of which it is stated
            what they take, and times are xnnpack's.
        max_latency_ratio: most predicted latency relative to stock int8, or to stock's dynamic-range file with float
            activations; None: 1.02 for ``"auto"`` (1.05 with float activations), else no limit.
        algorithm: how rows become points: ``"radix"``, ``"nearest_radix"``, ``"greedy"`` (the paper's), ``"nearest"``,
            those of other papers (``"nearest_bias"``, ``"ocs"``, ``"aciq"``, ``"lapq"``, ``"adaround"``; see
            docs/compare.md) or a registered one.
        max_points: most points a row may have, 1..4; None: 2, and 1 for 8-bit layers.
        sensitivity: how a layer's error is weighed: ``"energy"`` (free), ``"kl"``, ``"kl+gradient"``, or ``"auto"``.
        recipe: per-layer settings.
        points: layer name -> points of its rows, from anywhere: they are written as they are, biases stay.
        equalize: whether channels of activations are scaled, exactly, so that one int8 scale suits all of them:
            ``"auto"`` where held-back samples gain, or ``"off"``; recipes can say it for a layer. ``"cross_layer"``
            evens the weights of neighbouring layers instead, whatever that brings (DFQ, to compare with). Models that
            come with simulated points keep their channels and ranges: they were trained with them.
        ranges: what int8 activations cover: ``"auto"`` leaves out rare extremes and what saturates anyway where
            held-back samples gain, ``"minmax"`` covers all that the data reach.
        outputs: output name -> ``"int8"`` (as TensorFlow's converter does), ``"float"`` (its last step is computed in
            float) or ``"split"`` (its parts become outputs of their own); others become float where int8 would lose
            channels.
        weights: storage of points that stay apart: ``"auto"`` (INT4 where it runs fast) or ``"int8"``. (``"int4"`` with
            ``lowering="parallel"`` is the former spelling of ``lowering="compact"``.)
        names: whether tensors keep their names: ``"keep"``, or ``"strip"``, which calls inner ones by numbers and saves
            2 to 7 % of a small file. Their names go to a file beside it (``net.names.json``), where ``tfmpq inspect``,
            ``diff`` and ``benchmark`` look for them. Outputs are the same bit by bit, in all runtimes.
        bias_scales: ``"exact"``, or ``"shared"``: biases have the scales of their weights, which the file then holds
            once. TensorFlow Lite's CPU kernels compute the same bits, as they do not read them. For them only: whoever
            does read them, as accelerators do, computes something else.
        io_dtype: type of the file's inputs and outputs: ``"int8"``, ``"uint8"`` or ``"float32"``.
        batch_size: batch of the exported graph; None keeps it dynamic.
        signature: the entry point to convert, of a SavedModel or .tflite file that has several; None: the only one, or
            ``"serving_default"``. With float activations .tflite files keep all theirs, and this says whose weights
            may change: one, a list of several, or all where none is named; samples are for the first that takes them.
        sizes: for dimensions that the model leaves open behind the batch: the shape of one sample, or a dict of shapes
            by input name; None: those of the first sample. With float activations None leaves them open.
        seed: of everything random.
        cache: folder, or its URL in a store, in which what is found before a file is written is kept, and looked for: a
            second budget of the same network and data takes seconds then, in another process too. The result is the
            same bit by bit. See docs/fleets.md. None: nothing is kept.
        statistics: files of all parts that ``tfmpq collect`` wrote for this network: moments of what layers read come
            from these, of any number of samples. None: from the representative data.
        progress: show progress bars on stderr.
        validate: check the emitted file integer by integer and op by op (a few seconds).
        strict: data that look wrong for the model are an error, before any work; they are a warning otherwise.
        trust: the model file may run code of its own, as Lambda layers and the initializers of SavedModels do; a file
            with such is refused otherwise. Only for files whose source you trust; see docs/security.md.

    Raises:
        OptionError: With the option, its value and what is allowed.
    """

    activations: Activations = "int8"
    bits: int = 4
    budget: Budget = LikeStock()  # noqa: RUF009 (frozen)
    lowering: str = "auto"
    optimize: Optimize = "file"
    effort: Effort = "fast"
    target: str | os.PathLike[str] = "xnnpack"
    max_latency_ratio: float | None = None
    algorithm: str = "radix"
    max_points: int | None = None
    sensitivity: Sensitivity = "auto"
    recipe: Recipe | None = None
    points: Mapping[str, MultipointWeight] = field(default_factory=dict)
    equalize: Equalization = "auto"
    ranges: Ranges = "auto"
    outputs: Mapping[str, OutputForm] = field(default_factory=dict)
    weights: Weights = "auto"
    names: TensorNames = "keep"
    bias_scales: BiasScales = "exact"
    io_dtype: IoType = "int8"
    batch_size: int | None = 1
    signature: str | Sequence[str] | None = None
    sizes: GivenSizes | None = None
    seed: int = 0
    cache: str | os.PathLike[str] | None = None
    statistics: Sequence[str | os.PathLike[str]] | None = None
    progress: bool = True
    validate: bool = True
    strict: bool = False
    trust: bool = False

    def __post_init__(self) -> None:
        check_integer("bits", self.bits, MIN_BITS, MAX_BITS)
        if self.max_points is not None:
            check_integer("max_points", self.max_points, 1, MAX_POINTS)
        if self.batch_size is not None:
            check_integer("batch_size", self.batch_size, 1, 1)
        check_signature(self.signature, self.activations)
        check_sizes(self.sizes)
        check_integer("seed", self.seed, 0, 2**32 - 1)
        if self.cache is not None:
            path_text(self.cache, "a cache folder")
        check_paths("statistics", self.statistics)
        for name in _SWITCHES:
            if not isinstance(getattr(self, name), (bool, np.bool_)):
                raise OptionError(f"{name}={shown(getattr(self, name))} must be True or False.")
        for name in ("lowering", *_CHOICES):
            check_choice(name, getattr(self, name), choices_of(name))
        check_choice("algorithm", self.algorithm, tuple(ALGORITHMS))
        if self.recipe is not None and not isinstance(self.recipe, Recipe):
            raise OptionError(
                f"recipe={shown(self.recipe)} is no Recipe; build Recipe([Rule(...)]) or Recipe.from_json(text)."
            )
        if not isinstance(self.budget, (LikeStock, ExtraBits, MaxBytes, Epsilon, MaxDrop)):
            raise OptionError(
                f"budget={shown(self.budget)} is no budget; give LikeStock(margin), ExtraBits(fraction), "
                "MaxBytes(bytes), Epsilon(value) or MaxDrop(points, evaluate)."
            )
        check_ratio(self.max_latency_ratio)
        check_points(self.points)
        check_outputs(self.outputs, get_args(OutputForm))
        if self.weights == "int4":
            warnings.warn(
                "weights='int4' is on its way out: lowering='compact' is the same", FutureWarning, stacklevel=2
            )

    @classmethod
    def of(cls, values: Mapping[str, Any], allowed: Sequence[str] | None = None) -> Options:
        """Options from keyword arguments.

        Args:
            values: by name.
            allowed: the names that may be given; None: all.

        Raises:
            TypeError: An unknown name, as Python says it of any function.
            OptionError: See the class.
        """
        known = [f.name for f in dataclasses.fields(cls)] if allowed is None else allowed
        for name in values:
            if name not in known:
                raise TypeError(f"got an unexpected keyword argument {name!r}; options are {', '.join(known)}")
        return cls(**values)


def help_of(name: str) -> str:
    """What the documentation of :class:`Options` says of an option, as plain text for a command line."""
    documented = inspect.getdoc(Options) or ""
    found = re.search(rf"^    {name}: (.*?)(?=^    \w+: |^\S|\Z)", documented, re.MULTILINE | re.DOTALL)
    text = "" if found is None else " ".join(found[1].split())
    text = re.sub(r":\w+:`([^`]*)`|``([^`]*)``", lambda m: (m[1] or m[2]).replace('"', ""), text)
    return (text[:1].upper() + text[1:]).replace("None:", "default:")


def choices_of(name: str) -> tuple[str, ...]:
    """The values an option may have, where there are few."""
    return lowerings() if name == "lowering" else _CHOICES.get(name, ())


def takes_options(*names: str) -> Callable[[Function], Function]:
    """Shows options as keyword arguments of a function that takes them as ``**options``; without names: all."""

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function)
        plain = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        visible = [
            inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=_default(f), annotation=f.type)
            for f in dataclasses.fields(Options)
            if not names or f.name in names
        ]
        function.__signature__ = signature.replace(parameters=[*plain, *visible])  # pyright: ignore
        return function

    return decorate


def _default(option: dataclasses.Field[Any]) -> Any:
    made = option.default_factory
    return option.default if made is dataclasses.MISSING else made()
