"""The runtimes that files are tried in: one a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Home = Literal["here", "pip", "arm64", "npm"]


@dataclass(frozen=True)
class Runtime:
    """A runtime and how to come by it.

    Attributes:
        key: names its folder and what ``--only`` takes.
        title: what the table calls it.
        backend: what the workers call it.
        home: where it runs: this environment's Python, one with packages of its own, an emulated arm64 Python, Node.js.
        packages: what is installed there, as pip or npm take it.
        kernels: ``default``, or ``builtin`` or ``reference`` without a delegate.
        timed: whether times say something; not under emulation.
        differs: why its outputs may differ from this environment's.
    """

    key: str
    title: str
    backend: str
    home: Home
    packages: tuple[str, ...] = ()
    kernels: str = "default"
    timed: bool = True
    differs: str = ""


_OLD = "its kernels are of 2023; which of them rounds otherwise was not looked for"
_ELSEWHERE = "operators that XNNPACK does not take run in built-in kernels, which round otherwise on this processor"


def _litert(series: str) -> Runtime:
    return Runtime(
        f"litert-{series}", f"ai-edge-litert {series}", "ai-edge-litert", "pip", (f"ai-edge-litert=={series}.*",)
    )


def _tensorflow(series: str, differs: str = "") -> Runtime:
    title = f"TensorFlow {series}, tf.lite"
    packages = (f"tensorflow-cpu=={series}.*",)
    return Runtime(f"tensorflow-{series}", title, "tensorflow", "pip", packages, differs=differs)


RUNTIMES: tuple[Runtime, ...] = (
    Runtime("here", "this environment", "ai-edge-litert", "here"),
    Runtime("here-builtin", "this environment, no delegate", "ai-edge-litert", "here", kernels="builtin"),
    Runtime("here-tensorflow", "this environment, tf.lite", "tensorflow", "here"),
    _litert("2.0"),
    _litert("2.1"),
    _litert("2.2"),
    _litert("2.3"),
    Runtime(
        "litert-nightly",
        "ai-edge-litert, nightly",
        "ai-edge-litert-nightly",
        "pip",
        ("--pre", "ai-edge-litert-nightly"),
    ),
    _tensorflow("2.19", "INT4 dense layers run in its built-in kernels, beside XNNPACK's for the rest"),
    _tensorflow("2.20"),
    _tensorflow("2.21"),
    Runtime(
        "tflite-runtime",
        "tflite-runtime 2.14",
        "tflite-runtime",
        "pip",
        ("tflite-runtime==2.14.*", "numpy<2"),
        differs=_OLD,
    ),
    Runtime(
        "arm64",
        "ai-edge-litert, arm64 (emulated)",
        "ai-edge-litert",
        "arm64",
        ("ai-edge-litert==2.3.*", "numpy==2.2.*", "flatbuffers"),
        timed=False,
        differs=_ELSEWHERE,
    ),
    Runtime(
        "openvino",
        "OpenVINO, CPU",
        "openvino",
        "pip",
        ("openvino",),
        differs="it turns quantization into floating-point operations of its own and rounds elsewhere",
    ),
    Runtime("litertjs", "LiteRT.js (WebAssembly)", "@litertjs/core", "npm", ("@litertjs/core",), differs=_ELSEWHERE),
    Runtime("tfjs-tflite", "tfjs-tflite (WebAssembly)", "@tensorflow/tfjs-tflite", "npm", ("@tensorflow/tfjs-tflite",)),
)
