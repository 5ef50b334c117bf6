"""What is kept of a network, and what it is given back."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import tfmpq
from tfmpq.cache.key import FREE, MEANT
from tfmpq.cache.pickled import read_pickle, write_pickle
from tfmpq.cache.prepared import Kept
from tfmpq.options import Options
from tfmpq.preparation import Prepared


@pytest.fixture(scope="module")
def prepared(conv_net_float: bytes, images: np.ndarray) -> Prepared:
    return tfmpq.prepare(conv_net_float, images, progress=False, sensitivity="energy", seed=3)


def kept_bytes(prepared: Prepared) -> bytes:
    stream = io.BytesIO()
    write_pickle(Kept.of(prepared), stream)
    return stream.getvalue()


def test_samples_are_not_kept(prepared: Prepared, images: np.ndarray):
    content = kept_bytes(prepared)
    assert not any(image.tobytes() in content for image in images)
    assert Kept.of(prepared).prepared.data is None


def test_options_are_those_of_the_next_conversion(prepared: Prepared):
    kept: Kept = read_pickle(io.BytesIO(kept_bytes(prepared)))

    def score(content: bytes) -> float:
        return 1.0

    given = Options(
        effort="best", budget=tfmpq.MaxDrop(1.0, score), target="builtin", validate=False, cache="x", bits=8
    )
    found = kept.put_back(prepared.data, given, "another", {"cache": 1.0})
    for name in (*FREE, *MEANT):
        assert getattr(found.options, name) == getattr(given, name), name
    assert (found.options.seed, found.options.bits) == (3, 4)  # what is in the key is as it was
    assert (found.network.float_model.source, dict(found.seconds)) == ("another", {"cache": 1.0})
    assert found.data is prepared.data


def test_functions_in_options_are_not_kept(prepared: Prepared):
    def score(content: bytes) -> float:
        return 1.0

    measured = replace(prepared, options=replace(prepared.options, budget=tfmpq.MaxDrop(1.0, score)))
    assert kept_bytes(measured) == kept_bytes(prepared)


def test_what_has_been_computed_since_is_not_kept(conv_net_float: bytes, images: np.ndarray):
    own = tfmpq.prepare(conv_net_float, images, progress=False, sensitivity="energy")
    before = kept_bytes(own)
    own.finish(budget=tfmpq.ExtraBits(0.1))
    assert any(name in vars(own) for name in ("_eight_bits", "_refiner"))
    assert len(kept_bytes(own)) == len(before)


def test_objects_are_shared_as_before(prepared: Prepared):
    """Layers know their operators by identity, and channels their tensors."""
    kept: Any = read_pickle(io.BytesIO(kept_bytes(prepared))).prepared
    network = kept.network
    assert set(network.groups) <= set(network.base.graph.tensors())
    for layer in kept.weighed:
        assert all(use.int8_op in network.base.graph.ops for use in layer.layer.uses)
        assert all(use.float_op in network.model.graph.ops for use in layer.layer.uses)
    first = kept.weighed[0]
    assert next(m.layer for m in kept.measured if m.name == first.name) is first.layer
