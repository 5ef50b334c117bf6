"""Rounding to a symmetric grid with a learned step, and the gradients that stand in for its own.

Learned step: LSQ (Esser et al., ICLR 2020). What replaces its gradients: LG-LSQ (Lin et al., 2022, arXiv 2202.09009),
whose abstract names SSG, ASR and MDE; their equations here are a reconstruction, SSG's direction is that of LLSQ
(ICLR 2020), the method before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from tfmpq.training.rounding import rounded

_TINY = 1e-12


@dataclass(frozen=True)
class Surrogate:
    """Which gradients stand in for those of rounding; none of them: the straight-through ones of LSQ.

    Attributes:
        ssg: the step also moves towards the better of half and twice itself (scaling simulated gradient).
        asr: the slope of a soft rounding by arctangents replaces 1 (arctangent soft round).
        mde: gradients that take values closer to their levels count more (minimize discretization error).
        delta: how much more.
    """

    ssg: bool = True
    asr: bool = True
    mde: bool = True
    delta: float = 0.1


LSQ = Surrogate(ssg=False, asr=False, mde=False)


def soft_round(u: Any, sharpness: Any) -> tuple[Any, Any]:
    """A smooth rounding and its slope, which is positive everywhere (ASR, a reconstruction).

    ``phi(u) = floor(u) + 1/2 + atan(k t) / (2 atan(k / 2))`` with ``t = u - floor(u) - 1/2``. For k -> 0 it is the
    identity, with slope 1; for k -> infinity it is hard rounding.

    Args:
        u: float tensor, in steps.
        sharpness: k > 0.

    Returns:
        (phi, dphi/du)
    """
    whole = tf.floor(u)
    t = u - whole - 0.5
    full = 2.0 * tf.atan(sharpness / 2.0)
    slope = sharpness / (full * (1.0 + (sharpness * t) ** 2))
    return whole + 0.5 + tf.atan(sharpness * t) / full, slope


def simulated_gradient(values: Any, step: Any, low: int, high: int) -> Any:
    """A gradient of the step that points to the smallest squared error among half, once and twice the step (SSG).

    ``d * s * (E(s) - E(best)) / (E(s) + tiny)`` with d = 1 where half is best, -1 where twice is, else 0. A
    reconstruction.

    Args:
        values: float tensor.
        step: s > 0; of rank 0, or of the values' rank with size 1 where they share it.
        low, high: limits of the codes.

    Returns:
        A tensor of the step's shape.
    """
    axes = _shared_axes(step)
    tried = [step * factor for factor in (1.0, 0.5, 2.0)]
    errors = [
        _sum((values - s * tf.round(tf.clip_by_value(values / s, float(low), float(high)))) ** 2, axes) for s in tried
    ]
    best = tf.minimum(tf.minimum(errors[0], errors[1]), errors[2])
    direction = tf.where(errors[0] <= best, 0.0, tf.where(errors[1] <= best, 1.0, -1.0))
    return direction * step * (errors[0] - best) / (errors[0] + _TINY)


def quantize(
    values: Any,
    step: Any,
    *,
    low: int,
    high: int,
    surrogate: Surrogate,
    sharpness: Any,
    count: Any,
    noise: Any | None = None,
) -> Any:
    """``s * round(clip(v / s, low, high))``, rounded hard, with surrogate gradients for values and step.

    With u = clip(v / s) and g the gradient of the result: values get ``g phi'(u) (1 + delta sign(g) (u - round(u)))``
    inside the limits and 0 outside; the step gets the sum of ``g (phi(u) - u phi'(u))`` inside and ``g low`` or
    ``g high`` outside, divided by ``sqrt(count high)`` (LSQ, section 2.2), and SSG's gradient on top. Without ASR phi
    is the hard rounding and phi' = 1.

    Args:
        values: float tensor.
        step: see :func:`simulated_gradient`.
        low, high: limits of the codes.
        surrogate: which gradients.
        sharpness: of the soft rounding.
        count: how many values share a step: weights of a row or layer, features of an activation.
        noise: see :func:`tfmpq.training.rounding.rounded`.
    """

    @tf.custom_gradient
    def function(values: Any, step: Any) -> Any:
        scaled = values / step
        u = tf.clip_by_value(scaled, float(low), float(high))
        codes = tf.clip_by_value(rounded(u, noise), float(low), float(high))

        def gradient(upstream: Any) -> tuple[Any, Any]:
            soft, slope = soft_round(u, sharpness) if surrogate.asr else (codes, tf.ones_like(u))
            inside = tf.logical_and(scaled >= low, scaled <= high)
            of_values = upstream * slope
            if surrogate.mde:
                of_values *= 1.0 + surrogate.delta * tf.sign(upstream) * (u - tf.round(u))
            of_step = _sum(upstream * tf.where(inside, soft - u * slope, u), _shared_axes(step))
            of_step /= tf.sqrt(tf.cast(count, tf.float32) * float(high))
            if surrogate.ssg:
                of_step += simulated_gradient(values, step, low, high)
            return tf.where(inside, of_values, tf.zeros_like(of_values)), of_step

        return codes * step, gradient

    return function(values, step)


def _shared_axes(step: Any) -> list[int] | None:
    """Axes along which values share a step; None: all of them."""
    return None if step.shape.rank == 0 else [axis for axis, size in enumerate(step.shape) if size == 1]


def _sum(values: Any, axes: list[int] | None) -> Any:
    return tf.reduce_sum(values) if axes is None else tf.reduce_sum(values, axis=axes, keepdims=True)
