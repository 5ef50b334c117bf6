"""What is converted: networks and options. Only names that tfmpq promises to keep are used."""

from __future__ import annotations

import functools
import json
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tools.same_bytes import networks

Produce = Callable[[], "dict[str, bytes]"]


@dataclass(frozen=True)
class Case:
    """One conversion.

    Attributes:
        name: of the case.
        produce: makes its files, by name.
        exact: whether ops, shapes and counts are the same on every processor (see tests/tfmpq/test_golden.py).
    """

    name: str
    produce: Produce
    exact: bool


@functools.cache
def _keras() -> Any:
    import keras

    return keras


@functools.cache
def _network(name: str) -> Any:
    return getattr(networks, name)(_keras())


def _convert(name: str, options: dict[str, Any], samples: int) -> dict[str, bytes]:
    import tfmpq

    data = (networks.vectors if name == "two_inputs" else networks.images)(samples)
    made: dict[str, Any] = {key: value(tfmpq) if callable(value) else value for key, value in options.items()}
    made.setdefault("budget", tfmpq.ExtraBits(0.10))  # not what is chosen by running files
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # spellings that are on their way out
        result = tfmpq.convert(_network(name), data, progress=False, **made)
    counts = {layer: entry["points"] for layer, entry in result.plan.to_dict().items()}
    return {"file": result.tflite_model, "points": json.dumps(counts, sort_keys=True).encode()}


def _case(name: str, network: str, *, samples: int = 12, exact: bool = False, **options: Any) -> Case:
    return Case(name, lambda: _convert(network, options, samples), exact)


def _all_at_4(tfmpq: Any) -> Any:
    return tfmpq.Recipe([tfmpq.Rule(".*", bits=4)])


def _mixed(tfmpq: Any) -> Any:
    rule = tfmpq.Rule
    return tfmpq.Recipe(
        [rule("stem", keep="int8"), rule("conv$", bits=3, max_points=2, lowering="parallel"), rule("dw", bits=4),
         rule("expand|project", bits=4), rule("classifier", algorithm="greedy", bits=4, lowering="parallel")]
    )  # fmt: skip


def _extra(fraction: float) -> Callable[[Any], Any]:
    return lambda tfmpq: tfmpq.ExtraBits(fraction)


def _views(tfmpq: Any) -> dict[str, bytes]:
    pictures = [sample["image"][0] for sample in networks.images(10)()]
    data, budget = tfmpq.image_views(pictures, 3), tfmpq.ExtraBits(0.10)
    result = tfmpq.convert(_network("residual"), data, budget=budget, progress=False)
    return {"file": result.tflite_model}


def _of_flatbuffer(tfmpq: Any) -> dict[str, bytes]:
    budget = tfmpq.ExtraBits(0.10)
    first = tfmpq.convert(_network("pointwise"), networks.images(), budget=budget, progress=False, validate=False)
    again = tfmpq.convert(first.float_model, networks.images(), budget=budget, progress=False, batch_size=1)
    return {"float": first.float_model, "stock": first.stock_model, "file": again.tflite_model}


def _expanded(tfmpq: Any) -> dict[str, bytes]:
    result = {}
    for network in ("residual", "shapes"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compact = tfmpq.convert(
                _network(network), networks.images(), lowering="parallel", weights="int4", recipe=_all_at_4(tfmpq),
                budget=tfmpq.ExtraBits(0.3), progress=False,
            ).tflite_model  # fmt: skip
        result |= {f"{network}_compact": compact, f"{network}_expanded": tfmpq.expand(compact)}
    return result


def _prepared(tfmpq: Any) -> dict[str, bytes]:
    prepared = tfmpq.prepare(_network("residual"), networks.images(40), progress=False)
    budgets = {"small": tfmpq.ExtraBits(0.05), "large": tfmpq.ExtraBits(0.6), "epsilon": tfmpq.Epsilon(0.01)}
    return {name: prepared.finish(budget=budget).tflite_model for name, budget in budgets.items()}


def _max_drop(tfmpq: Any) -> dict[str, bytes]:
    samples = np.concatenate([s["image"] for s in networks.images(24)()])
    scored: list[int] = []

    def evaluate(content: bytes) -> float:
        scored.append(len(content))
        return 100.0 * float(tfmpq.evaluate(content, tfmpq.Labelled({"image": samples}, labels)).top1)

    labels = np.arange(24) % 10
    budget = tfmpq.MaxDrop(100.0, evaluate)
    result = tfmpq.convert(_network("residual"), networks.images(), budget=budget, progress=False)
    return {"file": result.tflite_model, "scored": json.dumps(scored).encode()}


def _annotated(tfmpq: Any) -> dict[str, bytes]:
    import tfmpq.keras as plugin

    settings = plugin.SimulationSettings(bits=3, share=0.5)
    model = plugin.annotate(_keras().models.clone_model(_network("residual")), settings)
    networks._settle(model)
    plain = tfmpq.convert(model, networks.images(), budget=tfmpq.ExtraBits(0.10), progress=False)
    simulated = plugin.simulate(model, networks.images())
    return {
        "annotated": plain.tflite_model,
        "simulated": tfmpq.convert(simulated, networks.images(), progress=False).tflite_model,
        "parallel": tfmpq.convert(simulated, networks.images(), lowering="parallel", progress=False).tflite_model,
    }


def _tf_keras(tfmpq: Any) -> dict[str, bytes]:
    import tf_keras

    model = networks.residual(tf_keras)
    budget = tfmpq.ExtraBits(0.10)
    return {"file": tfmpq.convert(model, networks.images(), budget=budget, progress=False).tflite_model}


def _custom(name: str, make: Callable[[Any], dict[str, bytes]]) -> Case:
    def produce() -> dict[str, bytes]:
        import tfmpq

        return make(tfmpq)

    return Case(name, produce, exact=False)


def cases() -> list[Case]:
    """All of them."""
    return [
        _case("defaults", "residual"),
        _case("held_out", "residual", samples=40),
        _case("like_stock", "residual", samples=40, recipe=_all_at_4, budget=lambda t: t.LikeStock()),
        *[_case(f"{low}", "residual", lowering=low, budget=_extra(0.2)) for low in ("split", "fused", "parallel")],
        *[_case(f"pointwise_{low}", "pointwise", lowering=low, recipe=_all_at_4, exact=low != "auto",
                budget=_extra(0.0))
          for low in ("auto", "split", "fused", "parallel")],
        *[_case(f"bits_{b}", "residual", bits=b, lowering="parallel", sensitivity="energy") for b in (2, 3, 5, 8)],
        *[_case(f"all_points_{b}", "shapes", bits=b, lowering=low, recipe=_all_at_4 if b == 4 else None, exact=True,
                budget=_extra(3.0), sensitivity="energy")
          for b, low in ((4, "fused"), (3, "parallel"))],
        _case("all_points_compact", "shapes", lowering="parallel", weights="int4", recipe=_all_at_4, exact=True,
              budget=_extra(3.0), sensitivity="energy"),
        _case("four_points", "residual", bits=2, max_points=4, lowering="parallel", budget=_extra(1.0)),
        _case("points_of_8_bits", "residual", bits=8, max_points=2, lowering="parallel", budget=_extra(0.5)),
        *[_case(a, "residual", algorithm=a, lowering="parallel", budget=_extra(0.3))
          for a in ("nearest", "nearest_radix", "greedy")],
        _case("greedy_auto", "residual", algorithm="greedy", recipe=_all_at_4),
        _case("one_point", "residual", max_points=1, exact=True, lowering="fused"),
        _case("max_bytes", "residual", budget=lambda t: t.MaxBytes(32_000), recipe=_all_at_4),
        _case("epsilon", "residual", budget=lambda t: t.Epsilon(0.005), lowering="parallel"),
        _case("epsilon_auto", "pointwise", budget=lambda t: t.Epsilon(0.005), recipe=_all_at_4),
        _custom("max_drop", _max_drop),
        _case("int8_storage", "pointwise", weights="int8", lowering="parallel", recipe=_all_at_4, budget=_extra(0.3)),
        _case("int8_storage_auto", "pointwise", weights="int8", recipe=_all_at_4, budget=_extra(0.3)),
        _case("compact", "residual", weights="int4", lowering="parallel", recipe=_all_at_4, budget=_extra(0.3)),
        _case("compact_shapes", "shapes", weights="int4", lowering="parallel", recipe=_all_at_4, budget=_extra(0.3)),
        *[_case(f"io_{t}", "residual", io_dtype=t, exact=t == "uint8", max_points=1, lowering="fused")
          for t in ("uint8", "float32")],
        _case("open_batch", "residual", batch_size=None, recipe=_all_at_4, budget=_extra(0.3)),
        *[_case(f"sensitivity_{s}", "residual", sensitivity=s, recipe=_all_at_4)
          for s in ("energy", "kl", "kl+gradient")],
        _case("rules", "residual", recipe=_mixed, budget=_extra(0.3)),
        _case("builtin", "residual", target="builtin", recipe=_all_at_4),
        _case("tight", "pointwise", max_latency_ratio=1.0, recipe=_all_at_4, budget=_extra(0.4)),
        _case("loose", "residual", max_latency_ratio=3.0, lowering="parallel", recipe=_all_at_4, budget=_extra(0.4)),
        _case("seed", "residual", seed=3),
        *[_case(f"shapes_{low}", "shapes", lowering=low, recipe=_all_at_4, budget=_extra(0.3))
          for low in ("auto", "parallel")],
        *[_case(f"two_inputs_{low}", "two_inputs", lowering=low, recipe=_all_at_4, exact=low == "parallel",
                budget=_extra(3.0 if low == "parallel" else 0.3))
          for low in ("auto", "parallel")],
        _custom("views", _views),
        _custom("flatbuffer", _of_flatbuffer),
        _custom("expanded", _expanded),
        _custom("prepared", _prepared),
        _custom("annotated", _annotated),
        _custom("tf_keras", _tf_keras),
    ]  # fmt: skip


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
