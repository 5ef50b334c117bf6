"""``tfmpq train``: a Keras model, data and a method of training in, a trained .tflite file out."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from converters.errors import DataError, DataWarning
from tfmpq.commands.command import Command
from tfmpq.commands.results import give_json, say
from tfmpq.commands.train_flags import OPTIONS, course_options, define_train_flags, read_request
from tfmpq.commands.warning_lines import warning_lines
from tfmpq.data.evaluation_set import Labelled
from tfmpq.files import write_atomic
from tfmpq.text import plural

if TYPE_CHECKING:
    from tfmpq.result import ConversionResult
    from tfmpq.training.course import Course
    from tfmpq.training.course_data import CourseData


def _execute(values: flags.FlagValues, arguments: list[str]) -> None:
    request = read_request(values)

    import tfmpq
    from converters.frontend.keras_files import load_keras_file
    from tfmpq.keras.checks import check_model
    from tfmpq.training.course import Course
    from tfmpq.training.course_data import Reading, read_course_data

    course = None if values.method == "distill" else Course(**course_options(values))
    batch_size = values.batch_size or (16 if course is None else course.batch_size)
    how = Reading(batch_size, values.seed, request.preprocessing, request.names, values.output_kind)
    model = load_keras_file(Path(values.model), trust=values.trust)
    check_model(model, f"'{values.model}'")
    # Keras prints its progress, and stdout is for results.
    with contextlib.redirect_stdout(sys.stderr), warning_lines("train", DataWarning):
        data = read_course_data(model, values.data, request.validation, how)
        outcome = _distilled(values, model, data) if course is None else _trained(values, model, data, course)
        result = tfmpq.convert(outcome.model, data.examples.samples, **_convert_options(values))
    result.save(values.output)
    if values.keras_output is not None:
        write_atomic(values.keras_output, _keras_file(outcome.model))
    _give(
        values, data, replace(outcome, scores={**outcome.scores, **_score("file", result.tflite_model, data)}), result
    )


@dataclass(frozen=True)
class _Outcome:
    """What a training gives.

    Attributes:
        model: the trained model.
        how: in a line.
        scores: what was measured -> the score.
        notes: what else to say.
    """

    model: Any
    how: str
    scores: dict[str, float]
    notes: tuple[str, ...] = ()


def _trained(values: flags.FlagValues, model: Any, data: CourseData, course: Course) -> _Outcome:
    from tfmpq.training.course import score_of, train

    labelled = data.examples.labelled
    if not labelled and values.teacher not in (None, 1):
        raise DataError(
            f"'{values.data}' has no labels, and --teacher={values.teacher:g} leaves a share of the loss to them. Save "
            "labels y too, or leave --teacher out."
        )
    course = course if labelled else replace(course, teacher=1.0)
    verbose = (1 if sys.stderr.isatty() else 2) if _shows_progress(values) else 0
    trained = train(model, data.examples, data.held, data.objective, course, verbose=verbose)
    scores = {"before training": trained.before, "trained": trained.after}
    if data.held is not None and not data.agreement:
        scores = {"float": score_of(model, data.held, data.objective), **scores}
    activations = f"{course.activation_bits}-bit" if course.activation_bits else "int8"
    how = (
        f"{course.method}, {course.weight_bits}-bit weights, {activations} activations, "
        f"{plural(course.epochs, 'epoch')} of {plural(data.examples.count, 'sample')}"
    )
    notes = [] if labelled else ["without labels: the float model alone is the teacher"]
    before, after, samples = trained.before, trained.after, 0 if data.held is None else data.held.count
    if before is not None and after is not None and data.objective.is_worse(after, before, samples):
        notes.append(f"worse than before training: try a lower --learning_rate (here {course.rate:g})")
    return _Outcome(
        trained.model, how, {name: score for name, score in scores.items() if score is not None}, tuple(notes)
    )


def _distilled(values: flags.FlagValues, model: Any, data: CourseData) -> _Outcome:
    import tfmpq
    from tfmpq.training import distill
    from tfmpq.training.course import score_of

    names = ("epochs", "batch_size", "learning_rate", "seed")
    given = {name: getattr(values, name) for name in names if getattr(values, name) is not None}
    bits = 4 if values.bits is None else values.bits
    options = {**_convert_options(values), "validate": False}
    plan = tfmpq.convert(model, data.examples.samples, bits=bits, max_points=values.points, **options)
    refined = distill(
        model,
        data.examples.inputs,
        plan,
        outputs=data.objective.kind,
        progress=_shows_progress(values),
        **given,
    )
    scores = _score("before training", plan.tflite_model, data)
    if data.held is not None:
        if not data.agreement:
            scores = {"float": score_of(model, data.held, data.objective), **scores}
        scores["trained"] = score_of(refined.model, data.held, data.objective)
    how = (
        f"distill, {bits}-bit points, {plural(len(refined.losses), 'epoch')} of {plural(data.examples.count, 'sample')}"
    )
    return _Outcome(refined.model, how, scores, (str(refined), *refined.notes))


def _convert_options(values: flags.FlagValues) -> dict[str, Any]:
    return {**{name: getattr(values, name) for name in OPTIONS}, "progress": _shows_progress(values)}


def _shows_progress(values: flags.FlagValues) -> bool:
    return values.progress and not values.quiet


def _score(name: str, content: bytes, data: CourseData) -> dict[str, float]:
    """Top-1 of a file, where that is what the network is trained for."""
    held, objective = data.held, data.objective
    if held is None or held.labels is None or objective.score_name != "top-1" or len(objective.shape) > 1:
        return {}
    from tfmpq.analysis.evaluation import evaluate

    labels = held.labels if held.labels.ndim == 1 else held.labels.argmax(axis=-1)
    top1 = evaluate(content, Labelled(held.inputs, labels)).top1
    return {} if top1 is None else {name: top1}


def _keras_file(model: Any) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        model.save(path)
        return path.read_bytes()


def _give(values: flags.FlagValues, data: CourseData, outcome: _Outcome, result: ConversionResult) -> None:
    report, objective = result.report, data.objective
    name = f"{objective.score_name} against the float model" if data.agreement else objective.score_name
    content = {
        "method": values.method,
        "how": outcome.how,
        "samples": data.examples.count,
        "measured_on": data.measured_on,
        "measured_samples": 0 if data.held is None else data.held.count,
        "score": name,
        "scores": outcome.scores,
        "notes": outcome.notes,
        "report": report.to_dict(),
    }
    files = {name: getattr(values, name) for name in ("model", "data", "validation", "output", "keras_output")}
    give_json(values, content, command="train", files=files)
    share = 100 * report.file.bytes / report.stock.bytes
    lines = [
        f"wrote {values.output}: {report.file.bytes:,} bytes, {share:.0f} % of {report.stock_name} "
        f"({report.stock.bytes:,})",
        "",
        f"method    {outcome.how}",
        *(f"          {note}" for note in outcome.notes),
    ]
    if outcome.scores:
        percent = objective.kind != "values"
        found = [
            f"{key} {100 * score:.1f} %" if percent else f"{key} {score:.4g}" for key, score in outcome.scores.items()
        ]
        lines += [f"{'measured':<10}{name}: {', '.join(found)}", f"          on {data.measured_on}"]
    else:
        lines += ["measured  nothing: no samples were held back"]
    say(values, "\n".join(lines))


TRAIN = Command(
    name="train",
    summary="train a Keras model with quantized weights and write the trained integers",
    arguments="MODEL --method METHOD --data DATA -o FILE [flags]",
    examples=(
        "tfmpq train net.keras --method=lg_lsq --bits=3 --data=labelled.npz -o net.tflite",
        "tfmpq train net.keras --method=lg_lsq --bits=4 --activation_bits=4 --data=photos/ --preprocess=minus_one_one "
        "--epochs=20 -o net.tflite --keras_output=student.keras",
        "tfmpq train net.keras --method=inq --data=pipeline.py:training --validation=pipeline.py:validation "
        "-o net.tflite",
        "tfmpq train net.keras --method=distill --bits=3 --data=unlabelled.npz -o net.tflite",
    ),
    define_flags=define_train_flags,
    required=("model", "method", "data", "output"),
    stands_for=("model",),
    execute=_execute,
)
