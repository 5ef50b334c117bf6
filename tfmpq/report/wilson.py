"""How far a share that was counted on few samples can be trusted."""

from __future__ import annotations

import math

_Z = 1.959963984540054  # 95 % of a normal distribution lie within


def wilson_interval(hits: int, count: int, *, z: float = _Z) -> tuple[float, float]:
    """The 95 % confidence interval of a share (Wilson 1927): right for few samples and for shares near 0 and 1.

    Args:
        hits: how often it was so, 0..count.
        count: samples, 1 or more.
        z: how many standard errors it reaches to each side; 1.645 makes each end a one-sided 95 % limit.

    Returns:
        Lower and upper end, 0..1.
    """
    share, z2 = hits / count, z**2
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = z / (1 + z2 / count) * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    return max(0.0, centre - half), min(1.0, centre + half)
