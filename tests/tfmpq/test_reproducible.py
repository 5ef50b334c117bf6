"""The same bytes whatever BLAS computes with: other kernels, other numbers of threads, other vector instructions."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import platform
import subprocess
import sys

import pytest
from threadpoolctl import threadpool_info

# Kernels of other processors than this one's, from narrow to wide: all that x86-64 has can run Nehalem's.
ENVIRONMENTS = {
    "Nehalem": {"OPENBLAS_CORETYPE": "Nehalem"},
    "Haswell": {"OPENBLAS_CORETYPE": "Haswell"},
    "one thread": {"OPENBLAS_NUM_THREADS": "1"},
    "no wide vectors": {"NPY_DISABLE_CPU_FEATURES": "X86_V3,X86_V4,AVX512_ICL,AVX512_SPR,AVX2,FMA3,AVX512F"},
}

_PREAMBLE = """
import hashlib, json, warnings
warnings.simplefilter("ignore")  # NumPy on features that it does not have
import numpy as np
from threadpoolctl import threadpool_info
rng = np.random.default_rng(0)
found = {}
def book(name, *values):
    content = b"".join(v if isinstance(v, bytes) else np.ascontiguousarray(v).tobytes() for v in values)
    found[name] = hashlib.sha256(content).hexdigest()
"""
_FINISH = """
kernels = [i.get("architecture") for i in threadpool_info() if i["internal_api"] == "openblas"]
plain = rng.normal(size=(300, 300)).astype(np.float32)
print(json.dumps([kernels, hashlib.sha256((plain @ plain.T).tobytes()).hexdigest(), found]))
"""
# Moments of inputs, and the points of all algorithms for them.
_POINTS = """
from tfmpq.algorithms import ALGORITHMS, Problem
from tfmpq.measure.sums import FullSums
for groups, rows, positions, columns in [(1, 24, 200, 27), (1, 16, 60, 300), (40, 1, 90, 9), (2, 5, 70, 130)]:
    mixing = rng.normal(size=(groups, columns, columns)) / columns**0.5
    sums = FullSums(groups, columns)
    for _ in range(9):
        sample = np.maximum(rng.normal(0.3, 1, (groups, positions, columns)).astype(np.float32), 0)
        sample = np.einsum("gpd,gde->gpe", sample, mixing).astype(np.float32)
        sums.add(sample)
    weight = rng.standard_t(5, (groups, rows, columns)).astype(np.float32).astype(np.float64)
    moment, share = sums.covariance()
    book(f"{columns} columns: share", share)
    for name in ("radix", "nearest_radix", "greedy"):
        candidates = ALGORITHMS[name].quantize(Problem(weight, moment, 4, np.zeros((groups, rows))), 2)
        for n, c in enumerate(candidates, 1):
            book(f"{columns} columns: {name}, {n} points", c.codes, c.scales, c.error)
"""
_FILES = """
import tfmpq
from tools.same_bytes import networks
import keras
for network, lowering in (("residual", "parallel"), ("pointwise", "auto"), ("shapes", "auto")):
    budget, model = tfmpq.ExtraBits(0.25), getattr(networks, network)(keras)
    result = tfmpq.convert(model, networks.images(40), lowering=lowering, budget=budget, progress=False)
    book(f"{network} {lowering}: stock", result.stock_model)
    book(f"{network} {lowering}", result.tflite_model)
"""


@functools.cache
def run(script: str, environment: str | None) -> tuple[list[str], str, dict[str, str]]:
    """Kernels of a process of its own, what they make of a product, and digests of what ``script`` made."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("OPENBLAS", "NPY_"))}
    given = {} if environment is None else ENVIRONMENTS[environment]
    own |= {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "TF_CPP_MIN_LOG_LEVEL": "3", **given}
    content = _PREAMBLE + script + _FINISH
    done = subprocess.run([sys.executable, "-c", content], env=own, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    kernels, product, found = json.loads(done.stdout.splitlines()[-1])
    return kernels, product, found


def check(script: str, environment: str) -> None:
    import numpy as np  # noqa: F401  (its BLAS must be there to be asked)

    if all(info["internal_api"] != "openblas" for info in threadpool_info()):
        pytest.skip("NumPy's BLAS is not OpenBLAS: its kernels cannot be chosen")
    if "CORETYPE" in str(ENVIRONMENTS[environment]) and platform.machine().lower() not in ("x86_64", "amd64"):
        pytest.skip("the names of the kernels are those of x86-64")
    own, other = run(script, None), run(script, environment)
    assert other[2] == own[2], {name for name in own[2] if other[2].get(name) != own[2][name]}
    if "CORETYPE" in str(ENVIRONMENTS[environment]) and other[0] == own[0]:
        pytest.skip(f"this machine's own kernels are those of {environment}, or OpenBLAS has none of them")


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_points_do_not_depend_on_blas(environment: str):
    check(_POINTS, environment)


def test_kernels_do_differ():
    """What the other tests are about: a plain float32 product has other last bits under other kernels."""
    with contextlib.suppress(AssertionError):
        check(_POINTS, "Nehalem")
    assert run(_POINTS, None)[1] != run(_POINTS, "Nehalem")[1]


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.parametrize("environment", ["Nehalem", "no wide vectors"])
def test_files_do_not_depend_on_blas(environment: str):
    check(_FILES, environment)
