"""Models to measure, and their data: an entry of a zoo, or a model and data files of the user's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from converters.errors import DataError
from tfmpq.data.calibration_files import open_calibration
from tfmpq.data.evaluation_set import load_labelled
from tfmpq.data.preprocessing import preprocessing_of
from tfmpq.sweep.identity import content_digest
from tools.research.measuring import load_zoo


@dataclass(frozen=True)
class Data:
    """What a model is calibrated and measured on.

    Attributes:
        calibration, evaluation: input name -> array, samples first; one array of any name for a single input.
        truth: labels, int64 (samples,), or what the zoo entry's ``score`` takes; None: only agreement is measured.
        entry: the zoo entry if it scores its outputs itself.
    """

    calibration: dict[str, np.ndarray]
    evaluation: dict[str, np.ndarray]
    truth: Any
    entry: Any = None


@dataclass(frozen=True)
class Subject:
    """A model with its data, by path: every process opens them for itself.

    Attributes:
        name: in tables.
        zoo: directory of ``zoo.py``, which knows the model by its name; None: the paths below.
        model: a .keras, .h5 or float .tflite file, or a SavedModel directory.
        data: labelled samples for the measurements, .npz.
        calibration_data: .npz, .npy or directory.
        preprocess: for calibration images, see :func:`preprocessing_of`.
        calibration: calibration samples to take.
        evaluation: evaluation samples to take, None: all.
        model_hash, data_hash: of the files' contents; the latter with the numbers of samples.
    """

    name: str
    zoo: str | None
    model: str
    data: str
    calibration_data: str
    preprocess: str | None
    calibration: int
    evaluation: int | None
    model_hash: str
    data_hash: str

    @property
    def identity(self) -> str:
        """The same for the same model and data, wherever they lie."""
        return f"{self.name} {self.model_hash} {self.data_hash}"


def zoo_subject(folder: Path, name: str, *, calibration: int, evaluation: int | None) -> Subject:
    """An entry of a zoo.

    Raises:
        DataError: The zoo has no such entry.
    """
    try:
        entry = load_zoo(folder).load(name)
    except KeyError as error:
        raise DataError(f"zoo '{folder}': {error.args[0]}") from error
    data = f"{content_digest(folder / 'zoo.py')} {content_digest(folder / 'data')} {calibration} {evaluation}"
    return Subject(
        name, str(folder), str(entry.path), "", "", None, calibration, evaluation, content_digest(entry.path), data
    )


def file_subject(
    model: Path,
    data: Path,
    calibration_data: Path,
    *,
    preprocess: str | None,
    calibration: int,
    evaluation: int | None,
) -> Subject:
    """A model and data files of the user's.

    Raises:
        DataError: A file does not exist.
        OptionError: Unknown preprocessing.
    """
    if preprocess is not None:
        preprocessing_of(preprocess)
    for path in (model, data, calibration_data):
        if not path.exists():
            raise DataError(f"'{path}' does not exist; check the path")
    data_hash = f"{content_digest(data)} {content_digest(calibration_data)} {preprocess} {calibration} {evaluation}"
    return Subject(
        model.stem, None, str(model), str(data), str(calibration_data), preprocess, calibration, evaluation,
        content_digest(model), data_hash,
    )  # fmt: skip


def open_model(subject: Subject) -> object:
    """The model as :func:`tfmpq.convert` takes it."""
    if subject.zoo is None:
        return subject.model
    return load_zoo(Path(subject.zoo)).load(subject.name).keras_model()


def read_data(subject: Subject) -> Data:
    """Reads and decodes all data; takes seconds. TensorFlow is loaded for the user's own files, to know the inputs.

    Raises:
        DataError: The data do not fit the model.
    """
    if subject.zoo is not None:
        entry = load_zoo(Path(subject.zoo)).load(subject.name)
        images, truth = entry.evaluation(subject.evaluation)
        own = None if entry.task == "classification" else entry
        return Data({"image": entry.calibration(None)}, {"image": images}, truth, own)
    from converters.frontend.load import load_model

    inputs = load_model(subject.model).inputs
    samples = open_calibration(
        subject.calibration_data,
        inputs,
        preprocessing=None if subject.preprocess is None else preprocessing_of(subject.preprocess),
    )
    calibration: dict[str, list[np.ndarray]] = {}
    for sample in samples():
        for name, array in sample.items():
            calibration.setdefault(name, []).append(array)
    labelled = load_labelled(subject.data)
    labels = None if labelled.labels is None else labelled.labels[: subject.evaluation]
    return Data(
        {name: np.concatenate(arrays) for name, arrays in calibration.items()},
        {name: array[: subject.evaluation] for name, array in labelled.inputs.items()},
        labels,
    )


def cache_data(data: Data, folder: Path) -> None:
    """Writes the data as arrays that :func:`open_data` maps into memory: decoded once, shared by all processes."""
    for kind, arrays in (("calibration", data.calibration), ("evaluation", data.evaluation)):
        for name, array in arrays.items():
            (folder / kind).mkdir(parents=True, exist_ok=True)
            np.save(folder / kind / f"{name.replace('/', '%')}.npy", array)
    if data.truth is not None:
        parts = [data.truth] if data.entry is None else data.truth
        np.savez(folder / "truth.npz", *parts)


def open_data(subject: Subject, folder: Path) -> Data:
    """What :func:`cache_data` wrote."""
    entry = None
    if subject.zoo is not None:
        found = load_zoo(Path(subject.zoo)).load(subject.name)
        entry = None if found.task == "classification" else found
    truth = None
    if (folder / "truth.npz").exists():
        with np.load(folder / "truth.npz") as content:
            parts = [content[f"arr_{i}"] for i in range(len(content.files))]
        truth = parts[0] if entry is None else parts

    def arrays(kind: str) -> dict[str, np.ndarray]:
        files = sorted((folder / kind).glob("*.npy"))
        return {path.stem.replace("%", "/"): np.load(path, mmap_mode="r") for path in files}

    return Data(arrays("calibration"), arrays("evaluation"), truth, entry)


def calibration_samples(data: Data, count: int, seed: int) -> dict[str, np.ndarray]:
    """``count`` calibration samples: the first ones for seed 0, drawn at random for every other seed."""
    available = len(next(iter(data.calibration.values())))
    count = min(count, available)
    chosen = np.arange(count)
    if seed:
        chosen = np.sort(np.random.default_rng(seed).permutation(available)[:count])
    return {name: array[chosen] for name, array in data.calibration.items()}
