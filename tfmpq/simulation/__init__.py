"""What a model computes with once its weights are points, before it is converted: the part all Keras plugins share.

:mod:`tfmpq.simulation.settings` says what is wanted, :mod:`tfmpq.simulation.points` chooses the points (the one place
where that happens, for the simulation and for the conversion that follows), :mod:`tfmpq.simulation.core` is the
TensorFlow operation around it.
"""

from __future__ import annotations

from tfmpq.simulation.settings import SimulationSettings

__all__ = ["SimulationSettings"]
