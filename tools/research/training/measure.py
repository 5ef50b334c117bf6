"""One row: a method trained on a subject for several seeds, and the file of the first."""

from __future__ import annotations

import re
import time
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

import tfmpq
from tfmpq import training
from tfmpq.training.course import METHODS, rate_schedule
from tfmpq.training.start import HIGH_BITS, quantizers_of
from tools.research.measuring import predict
from tools.research.training.methods import AFTERWARDS, DISTILLED, FLOAT, STOCK, STUDENTS, Widths
from tools.research.training.subjects import Subject

_BATCH = 250  # of test images
_END = "/quantizer"


@dataclass(frozen=True)
class Schedule:
    """How every method is trained.

    Attributes:
        epochs: passes over the images.
        batch_size: images a step.
        rate: of Adam at the start; falls to 0 along a cosine. None: the method's usual one.
        teacher: share of the float model in the loss, see :func:`tfmpq.training.with_teacher`.
        seeds: of the order of images and how they are varied.
    """

    epochs: int
    batch_size: int
    rate: float | None
    teacher: float
    seeds: tuple[int, ...]

    def conditions(self, method: str) -> dict[str, Any]:
        """What is said beside a row: the above, with the rate and the normalizations that the method really has."""
        own: dict[str, Any] = {"rate": None, "norms": None}  # distillation has a loop of its own
        if method in STUDENTS:
            usual = METHODS[STUDENTS[method].usual]
            own = {"rate": usual.rate if self.rate is None else self.rate, "norms": usual.norms}
        return {**asdict(self), **own}


@dataclass(frozen=True)
class Row:
    """What one method gives; top-1 in per cent of the test images.

    Attributes:
        method, widths: what it is.
        start: of the network as rounded before training; None where nothing is trained, or weights are float then.
        trained: as the simulation computes it, a figure a seed.
        file: of the first seed's file, by the interpreter.
        compact, deflated: bytes of the first seed's file in the compact form, and after zlib level 9.
        seconds: of training, a seed.
    """

    method: str
    widths: str
    start: float | None
    trained: tuple[float, ...]
    file: float
    compact: int
    deflated: int
    seconds: float


@dataclass(frozen=True, eq=False)
class Bench:
    """A subject and how it is trained.

    Attributes:
        subject: the network and its images.
        schedule: of training.
    """

    subject: Subject
    schedule: Schedule

    def references(self, float_file: bytes, stock: bytes) -> list[Row]:
        """Rows of the float file and of stock int8."""
        files = ((FLOAT, "W32A32", float_file), (STOCK, "W8A8", stock))
        return [self._row(name, widths, None, (), content, content, 0.0) for name, widths, content in files]

    def row(self, method: str, wide: Widths) -> Row:
        """Trains what is asked for and measures it."""
        if method in AFTERWARDS:
            start = time.perf_counter()
            found = self._converted(self._high_bits(wide), bits=wide.weights, algorithm=AFTERWARDS[method])
            content = found.tflite_model
            return self._row(method, str(wide), None, (), content, tfmpq.expand(content), time.perf_counter() - start)
        before, trained, content, seconds = self._distilled(wide) if method == DISTILLED else self._fitted(method, wide)
        return self._row(method, str(wide), before, trained, content, tfmpq.expand(content), seconds)

    def _fitted(self, method: str, wide: Widths) -> tuple[float | None, tuple[float, ...], bytes, float]:
        import keras

        subject, schedule = self.subject, self.schedule
        student = STUDENTS[method].make(
            subject.model, subject.calibration, bits=wide.weights, activation_bits=wide.activations
        )
        conditions = schedule.conditions(method)
        if conditions["norms"] == "frozen":
            training.freeze_norms(student)
        both = training.with_teacher(student, subject.model, share=schedule.teacher)
        steps = schedule.epochs * (len(subject.images) // schedule.batch_size)
        rate = rate_schedule(STUDENTS[method].usual, wide.weights, conditions["rate"], steps)
        both.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", jit_compile=False)
        finished = not any(quantizer.unfinished() for quantizer in quantizers_of(student).values())
        start, before = student.get_weights(), self._score(student) if finished else None
        trained, content = [], b""
        began = time.perf_counter()
        for seed in schedule.seeds:
            keras.utils.set_random_seed(seed)
            student.set_weights(start)
            for variable in both.optimizer.variables:
                variable.assign(np.zeros(variable.shape, variable.dtype))
            both.fit(
                subject.batches(schedule.batch_size, seed),
                epochs=schedule.epochs,
                shuffle=False,  # batches are shuffled already
                verbose=0,
                callbacks=training.callbacks(student),
            )
            trained.append(self._score(student))
            if not content:
                content = self._file(student)
        return before, tuple(trained), content, (time.perf_counter() - began) / len(schedule.seeds)

    def _distilled(self, wide: Widths) -> tuple[float, tuple[float, ...], bytes, float]:
        subject, schedule = self.subject, self.schedule
        plan = self._converted(self._high_bits(wide), bits=wide.weights)
        before = self._top1(predict(tfmpq.expand(plan.tflite_model), {"x": subject.test})[0])
        trained, content = [], b""
        began = time.perf_counter()
        for seed in schedule.seeds:
            found = training.distill(
                subject.model,
                subject.images,
                plan,
                epochs=schedule.epochs,
                batch_size=schedule.batch_size,
                flip=subject.varied,
                seed=seed,
                progress=False,
            )
            trained.append(self._score(found.model))
            if not content:
                content = self._file(found.model)
        return before, tuple(trained), content, (time.perf_counter() - began) / len(schedule.seeds)

    def _high_bits(self, wide: Widths) -> tfmpq.Recipe:
        """8 bits for the layers to which training gives as many."""
        few, bits = self.subject.calibration[:8], min(wide.weights, HIGH_BITS - 1)
        student = training.lg_lsq(self.subject.model, few, bits=bits, start="magnitudes")  # the sooner one
        kept = [
            path.removesuffix(_END)
            for path, quantizer in quantizers_of(student).items()
            if path.endswith(_END) and quantizer.bits == HIGH_BITS
        ]
        return tfmpq.Recipe([tfmpq.Rule(match=f"^({'|'.join(map(re.escape, kept))})$", bits=HIGH_BITS)])

    def _converted(self, recipe: tfmpq.Recipe, *, bits: int, algorithm: str = "radix") -> tfmpq.ConversionResult:
        return tfmpq.convert(
            self.subject.model,
            self.subject.calibration,
            bits=bits,
            algorithm=algorithm,
            recipe=recipe,
            budget=tfmpq.ExtraBits(0.0),
            lowering="compact",
            equalize="off",
            progress=False,
        )

    def _file(self, student: Any) -> bytes:
        return tfmpq.convert(student, self.subject.calibration, lowering="compact", progress=False).tflite_model

    def _row(
        self,
        method: str,
        widths: str,
        start: float | None,
        trained: Sequence[float],
        content: bytes,
        runnable: bytes,
        seconds: float,
    ) -> Row:
        found = self._top1(predict(runnable, {"x": self.subject.test})[0])
        deflated = len(zlib.compress(content, 9))
        return Row(method, widths, start, tuple(trained), found, len(content), deflated, seconds)

    def _score(self, model: Any) -> float:
        return self._top1(model.predict(self.subject.test, batch_size=_BATCH, verbose=0))

    def _top1(self, outputs: np.ndarray) -> float:
        return float(100 * (outputs.argmax(1) == self.subject.truth).mean())
