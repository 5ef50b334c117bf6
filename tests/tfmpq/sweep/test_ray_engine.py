"""Sweeps on Ray: a cluster that loses a node, and machines where something is missing."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters.errors import MissingDependencyError
from tests.support.sweeps import write_spec
from tfmpq.sweep.ray_engine import run_ray
from tfmpq.sweep.results import Journal
from tfmpq.sweep.run import run_sweep

pytestmark = pytest.mark.usefixtures("only_keras_classes")

SPEC = """
budgets = ["extra:0", "extra:0.3"]
[models.one]
path = "net.tflite"
data = "calibration.npz"
labelled = "test.npz"
[models.two]
path = "net.tflite"
data = "calibration.npz"
labelled = "test.npz"
max_samples = 12
"""


def test_without_ray_a_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'tfmpq\[ray\]'"):
        run_ray([], print, started=print, address=None, threads=None)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head that does no work and two nodes, in processes of their own."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster  # pyright: ignore[reportMissingImports]

    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    made.nodes = [made.add_node(num_cpus=1) for _ in range(2)]
    made.wait_for_nodes()
    yield made
    made.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_a_node_is_lost_and_no_row(
    cluster: Any, tmp_path: Path, conv_net_float: bytes, images: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    path = write_spec(tmp_path, conv_net_float, images[:16], SPEC)
    lost = threading.Event()
    append = Journal.append

    def lose_a_node(journal: Journal, entry: dict[str, Any]) -> None:
        append(journal, entry)
        if not lost.is_set():  # both nodes are at work: the first of eight rows is there
            lost.set()
            cluster.remove_node(cluster.nodes[0], allow_graceful=False)

    monkeypatch.setattr(Journal, "append", lose_a_node)
    usual = {"cache": "off", "progress": False}
    on_ray = run_sweep(path, tmp_path / "ray", engine="ray", address=cluster.address, **usual)
    assert lost.is_set()
    here = run_sweep(path, tmp_path / "here", processes=1, **usual)
    assert [plain(row) for row in on_ray.rows] == [plain(row) for row in here.rows]
    assert len(here.rows) == 8
    assert here.failed == []
    for row in here.rows:
        assert (on_ray.folder / row["file"]).read_bytes() == (here.folder / row["file"]).read_bytes()


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """What does not depend on where and when."""
    return {name: value for name, value in row.items() if name not in ("seconds", "host")}
