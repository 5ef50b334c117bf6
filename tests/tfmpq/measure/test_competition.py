from __future__ import annotations

import numpy as np
import pytest

from tfmpq.measure.competition import Competition, logit_noise

RNG = np.random.default_rng(0)


def logits(rows: int, classes: int = 20) -> list[np.ndarray]:
    return [RNG.normal(size=(1, classes)) * 3 for _ in range(rows)]


@pytest.mark.parametrize("size", [0.05, 0.3, 1.0])
def test_the_share_of_predictions_that_normal_errors_change(size: float):
    real = logits(400)
    found = [x + RNG.normal(size=x.shape) * size for x in real]
    changed = np.mean([x.argmax() != y.argmax() for x, y in zip(real, found, strict=True)])
    noise = float(np.mean([logit_noise(x, y) for x, y in zip(real, found, strict=True)]))
    competition = Competition.of(real, found)
    assert competition.growth == pytest.approx(1.0, abs=0.3)  # from 400 rows
    # Of 400 rows, and of the 128 that the estimate looks at, shares have standard errors of 2 and 3 points.
    assert competition.changed(noise) == pytest.approx(changed, abs=0.06)


def test_errors_where_classes_compete_count():
    """Errors that grow with the logits change more predictions than their mean square over all classes tells."""
    real = logits(300)
    found = [x + RNG.normal(size=x.shape) * np.where(x > np.sort(x)[0, -6], 0.6, 0.1) for x in real]
    competition = Competition.of(real, found)
    noise = float(np.mean([logit_noise(x, y) for x, y in zip(real, found, strict=True)]))
    assert competition.growth > 2
    changed = np.mean([x.argmax() != y.argmax() for x, y in zip(real, found, strict=True)])
    assert competition.changed(noise) == pytest.approx(changed, abs=0.07)


def test_more_noise_never_changes_fewer_predictions():
    real = logits(50)
    competition = Competition.of(real, [x + 0.1 for x in real])
    shares = [competition.changed(noise) for noise in (0.0, 0.01, 0.1, 1.0, 100.0)]
    assert shares == sorted(shares)
    assert shares[0] == 0.0
    assert shares[-1] > 0.5


def test_what_all_logits_have_in_common_is_no_error():
    x = logits(1)[0]
    assert logit_noise(x, x + 5.0) == pytest.approx(0.0, abs=1e-12)
    assert Competition.of([x], [x]).growth == 1.0
