"""`tfmpq.compare`: other papers' methods and tfmpq on one model, under the same conditions.

All methods have the same samples, one scale a channel, and the same layers at 8 bits: those that tfmpq's defaults
leave there. All but tfmpq's own rows have stock's int8 activations.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from converters.errors import ConversionError, OptionError
from converters.lowering.expand import expand
from converters.points import MAX_BITS, MIN_BITS
from converters.printable import shown
from tfmpq.algorithms.ocs import split_columns
from tfmpq.analysis.sample_sums import no_class
from tfmpq.api import prepare
from tfmpq.benchmark.latency import latency_ratios
from tfmpq.choosing import points_again, settled_again
from tfmpq.comparison.methods import METHODS, Method, chosen_methods
from tfmpq.comparison.quality import Outputs, is_classifier, outputs_of, quality
from tfmpq.comparison.result import FLOAT, STOCK, MethodComparison, Row
from tfmpq.data.evaluation_set import Labelled, check_labelled
from tfmpq.option_checks import check_integer
from tfmpq.options import OF_A_FILE, Options
from tfmpq.progress import Progress
from tfmpq.recipe.rules import Recipe, Rule
from tfmpq.sources import read_source

if TYPE_CHECKING:
    from tfmpq.preparation import Prepared
    from tfmpq.result import ConversionResult

Score = Callable[[bytes], float]
BITS = (4, 8)
SHARED = ("lowering", "optimize", "target", "batch_size", "signature", "sizes", "seed", "validate", "strict", "trust")
_AT_A_TIME = 8  # files timed in turns with stock: more would not stay in the caches


def compare(
    model: object,
    rep_dataset: object,
    labelled: Labelled,
    *,
    bits: Sequence[int] = BITS,
    methods: Sequence[str] | None = None,
    score: Score | None = None,
    latency: bool = True,
    progress: bool = True,
    **options: Any,
) -> MethodComparison:
    """Converts a model by every method and measures the files.

    Args:
        model, rep_dataset: as for :func:`tfmpq.convert`; int8 activations.
        labelled: samples that the files are judged on, with class numbers or without labels.
        bits: of low-bit layers; each is a row for every method.
        methods: names of :data:`tfmpq.comparison.methods.METHODS`; None: all.
        score: (content of a .tflite file) -> a figure of it, the more the better: mAP, say.
        latency: measure it, which wants a machine with nothing else to do.
        progress: show a progress bar on stderr.
        **options: options of :func:`tfmpq.convert` that hold for all: ``lowering``, ``optimize``, ``target``,
            ``batch_size``, ``signature``, ``sizes``, ``seed``, ``validate``, ``strict``, ``trust``.

    Returns:
        A row for the float file, stock int8 and each method and number of bits; those that failed say why.

    Raises:
        ConversionError: Data, options or the model are wrong for all of them.
    """
    chosen, data = chosen_methods(methods), check_labelled(labelled)
    if isinstance(bits, (str, int)) or not bits:
        raise OptionError(f"bits={shown(bits)}: give a list of whole numbers from {MIN_BITS} to {MAX_BITS}.")
    for number in bits:
        check_integer("bits", number, MIN_BITS, MAX_BITS)
    unknown = [name for name in options if name not in SHARED]
    if unknown:
        raise TypeError(f"compare got an unexpected keyword argument {unknown[0]!r}; options are {', '.join(SHARED)}")
    if read_source(model).simulated:
        raise OptionError("compare chooses points of its own: give the float model, not one that is simulated.")
    made = _Comparison(model, rep_dataset, data, options, score)
    return made.run(chosen, list(dict.fromkeys(bits)), latency=latency, progress=progress)


class _Comparison:
    """One comparison, and what its methods share."""

    def __init__(
        self,
        model: object,
        rep_dataset: object,
        data: Labelled,
        options: Mapping[str, Any],
        score: Score | None,
    ) -> None:
        self._rep_dataset, self._data, self._options, self._score = rep_dataset, data, dict(options), score
        self._known: dict[object, Prepared] = {}
        self._model = model
        self._files: dict[tuple[str, int], bytes] = {}
        # What is known of the layers does not depend on how they are rounded; later ones start from the float file.
        self._base = self._prepared(Options(**options).bits, METHODS["nearest"])
        self._model = self._base.network.float_model

    def run(
        self, methods: Mapping[str, Method], bits: Sequence[int], *, latency: bool, progress: bool
    ) -> MethodComparison:
        """All rows."""
        network = self._base.network
        files = {(FLOAT, 32): network.float_model.flatbuffer, (STOCK, 8): network.stock.content}
        real = outputs_of(files[FLOAT, 32], self._data)
        self._check_labels(real)
        rows = [self._row(*key, content, real) for key, content in files.items()]
        self._files |= files
        asked = [(name, method, number) for number in bits for name, method in methods.items()]
        for name, method, number in Progress(progress)(asked, len(asked), "methods"):
            try:
                rows.append(self._converted(name, method, number, real))
            except ConversionError as error:
                rows.append(Row(name, number, failure=" ".join(str(error).split())))
        ratios = self._latencies() if latency else {}
        rows = [replace(row, latency=ratios.get((row.method, row.bits))) for row in rows]
        return MethodComparison(str(network.float_model.source), self._data.count, rows)

    def _converted(self, name: str, method: Method, bits: int, real: Outputs) -> Row:
        prepared = self._prepared(bits, method)
        options = Options(progress=False, bits=bits, **self._of(method, bits))
        of_file = {name: getattr(options, name) for name in OF_A_FILE}
        if replace(prepared.options, **of_file) != options:
            prepared = points_again(prepared, options)
        result = prepared.finish(budget=method.budget, validate=options.validate)
        content = result.tflite_model
        runnable = expand(content) if options.lowering == "compact" else content
        self._files[name, bits] = runnable
        row = self._row(name, bits, runnable, real)
        size = len(content) - _saved_by_copies(prepared, result) if method.copies else len(content)
        notes = tuple(note for note in prepared.notes if note.startswith("algorithm "))
        return replace(
            row, bytes=size, file_bytes=len(content), seconds=_from_float_file(result.report.seconds), notes=notes
        )

    def _prepared(self, bits: int, method: Method) -> Prepared:
        """The network with a method's activations, measured once for all that have the same."""
        key = bits if method.is_own else tuple(sorted(method.activations.items()))
        if key not in self._known:
            options = self._options | dict(method.activations)
            if not method.is_own:
                options |= {"algorithm": "nearest", "max_points": 1, "sensitivity": "energy"}
            self._known[key] = prepare(self._model, self._rep_dataset, bits=bits, progress=False, **_early(options))
        return self._known[key]

    def _of(self, method: Method, bits: int) -> dict[str, Any]:
        """Options of a conversion by a method."""
        options = self._options | dict(method.activations) | {"algorithm": method.algorithm, "budget": method.budget}
        if method.is_own:
            return options
        points = 1 if bits == MAX_BITS else method.max_points  # 8-bit activations could not use more
        options |= {"max_points": points, "sensitivity": "energy", "recipe": self._same_bits(bits)}
        # "auto" may store as int8, for speed, what gains nothing by more points: "split" shows what a row takes.
        asked = options.get("lowering", "auto")
        return options | {"lowering": method.lowering or ("split" if asked == "auto" else asked)}

    def _same_bits(self, bits: int) -> Recipe:
        """Rules that give every layer the bits that it has by tfmpq's defaults."""
        found, _ = settled_again(self._base, Options(progress=False, bits=bits, **self._options))
        rules = []
        for layer in found:
            settings, match = layer.settings, f"^{re.escape(layer.name)}$"
            rules.append(Rule(match, keep=settings.keep) if settings.keep else Rule(match, bits=settings.bits))
        return Recipe(rules)

    def _row(self, name: str, bits: int, content: bytes, real: Outputs) -> Row:
        outputs = outputs_of(content, self._data)
        score = None if self._score is None else float(self._score(content))
        return Row(name, bits, quality(outputs, real, self._data.labels), score, len(content), len(content))

    def _check_labels(self, real: Outputs) -> None:
        labels, classes = self._data.labels, real[0].shape[-1]
        if labels is not None and is_classifier(real) and labels.max() >= classes:
            row = int((labels >= classes).argmax())
            raise no_class(self._data.place(row), int(labels[row]), classes)

    def _latencies(self) -> dict[tuple[str, int], float]:
        """Of each file relative to stock; equal files once."""
        stock = self._files[STOCK, 8]
        different = list(dict.fromkeys(content for content in self._files.values() if content != stock))
        ratios = {stock: 1.0}
        parts = math.ceil(len(different) / _AT_A_TIME)
        for part in (different[i::parts] for i in range(parts)):
            names = {str(number): content for number, content in enumerate(part)}
            found = latency_ratios({"stock": stock, **names}, reference="stock")
            ratios |= {content: found[name] for name, content in names.items()}
        return {key: ratios[content] for key, content in self._files.items()}


def _from_float_file(seconds: Mapping[str, float]) -> float:
    """Without what only the first of all conversions did."""
    return sum(value for stage, value in seconds.items() if stage != "float conversion")


def _early(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options that :func:`tfmpq.prepare` takes."""
    return {name: value for name, value in options.items() if name != "validate"}


def _saved_by_copies(prepared: Prepared, result: ConversionResult) -> int:
    """What low-bit rows with copied columns, and the columns' numbers, would take less than int8 rows: bytes."""
    saved = 0
    for layer in prepared.weighed:
        if len(layer.candidates) < 2 or layer.settings.bits == 8:
            continue
        counts = result.plan.layers[layer.name].counts
        second = layer.weight(counts).points[1:2]
        copies = split_columns(second[0].codes) if second else 0
        channels, columns = layer.layer.weight.shape
        saved += channels * columns - math.ceil(channels * (columns + copies) * layer.settings.bits / 8) - 4 * copies
    return saved
