"""Runs the APK's arm64 library on an emulated ARM processor: its models' outputs must be those of this machine.

    python -m tools.android.arm_check android_demo/build/tfmpq-demo.apk

The models are those in the APK, and files with float activations that its tests expand. Integer models must give the
bytes of the catalogue, others the same numbers but for rounding. Times under emulation
say nothing about a phone. Needs Debian's qemu-user, gcc-aarch64-linux-gnu and libc6-dev-arm64-cross; without them it
says so and leaves with status 0, with --strict 1.

The library is linked against Android's C library. Its calls mean the same to Linux's, but the loader insists on the
version names: they are taken out of a copy's dynamic section, and android_demo/arm/run_model.c has the few functions
that only Android has. Code and data of the library stay as they are.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import tfmpq
from converters.runtime import interpreter as runtime
from tfmpq.benchmark.inputs import random_inputs
from tools.android.make_expand_fixtures import FOLDER

_DRIVER = Path(__file__).resolve().parents[2] / "android_demo" / "arm" / "run_model.c"
_SYSROOT = Path("/usr/aarch64-linux-gnu")
_COMPILER = "aarch64-linux-gnu-gcc"
_EMULATOR = "qemu-aarch64"
_LIBRARY = "lib/arm64-v8a/libjnitensorflowlite.so"
_MODELS = "assets/models/"
_ROUNDING = 1e-5  # of the largest output: 50 times float32's epsilon, for sums in another order
_SECONDS = 300  # for one model; the demo's take two
_PT_DYNAMIC = 2
_VERSION_TAGS = (0x6FFFFFF0, 0x6FFFFFFC, 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF)  # VERSYM, VERDEF(NUM), VERNEED(NUM)
_IGNORED_TAG = 0x6FFFFEFF  # in the range of addresses that no loader has a use for
_CORE = "\n".join(
    (
        "processor\t: 0",
        "BogoMIPS\t: 48.00",
        "Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc asimddp",
        "CPU implementer\t: 0x41",
        "CPU architecture: 8",
        "CPU variant\t: 0x4",
        "CPU part\t: 0xd0b",
        "CPU revision\t: 1",
        "",
        "",
    )
)


class ArmCheckError(Exception):
    """The library does not do on ARM what it does here."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A model as the interpreter gets it, its inputs, and its outputs on this machine.

    Attributes:
        name: of the model.
        content: the file, expanded if it is compact.
        inputs: the random ones of every benchmark, in graph order.
        outputs: in graph order.
        output_sha256: of the outputs' bytes by the catalogue; empty for float models.
    """

    name: str
    content: bytes
    inputs: list[np.ndarray]
    outputs: list[np.ndarray]
    output_sha256: str


def without_versions(library: bytes) -> bytes:
    """A 64-bit ELF file whose dynamic section names no symbol versions.

    Raises:
        ArmCheckError: it is no such file.
    """
    if library[:5] != b"\x7fELF\x02":
        raise ArmCheckError("not a 64-bit ELF file")
    changed = bytearray(library)
    (table,) = struct.unpack_from("<Q", library, 32)
    size, count = struct.unpack_from("<HH", library, 54)
    for header in range(table, table + size * count, size):
        if struct.unpack_from("<I", library, header)[0] != _PT_DYNAMIC:
            continue
        (start,) = struct.unpack_from("<Q", library, header + 8)
        (length,) = struct.unpack_from("<Q", library, header + 32)
        for entry in range(start, start + length, 16):
            if struct.unpack_from("<Q", library, entry)[0] in _VERSION_TAGS:
                struct.pack_into("<Q", changed, entry, _IGNORED_TAG)
    return bytes(changed)


def missing_tools() -> list[str]:
    """Debian packages that are needed and not installed."""
    needed = {
        "qemu-user": shutil.which(_EMULATOR),
        "gcc-aarch64-linux-gnu": shutil.which(_COMPILER),
        "libc6-dev-arm64-cross": (_SYSROOT / "include" / "stdio.h").is_file(),
    }
    return [package for package, found in needed.items() if not found]


def build_runner(folder: Path, library: bytes) -> tuple[Path, Path]:
    """Compiles the driver; answers it and the library that it can load.

    Raises:
        ArmCheckError: the compiler refuses.
    """
    patched = folder / "libjnitensorflowlite.so"
    patched.write_bytes(without_versions(library))
    runner = folder / "run_model"
    warnings = ("-Wall", "-Wextra", "-Werror")
    _run(_COMPILER, "-O2", *warnings, "-rdynamic", str(_DRIVER), "-Wl,--no-as-needed", "-lm", "-o", str(runner))
    empty = folder / "empty.c"
    empty.write_text("")
    for name in ("libc.so", "libm.so", "libdl.so", "liblog.so"):  # what the library asks for, by Android's names
        _run(_COMPILER, "-shared", "-nostdlib", f"-Wl,-soname,{name}", str(empty), "-o", str(folder / name))
    return runner, patched


def outputs_on_arm(folder: Path, runner: Path, library: Path, subject: Subject) -> bytes:
    """The bytes of the model's outputs, computed by the emulated library with XNNPACK.

    Raises:
        ArmCheckError: it failed, or computed without the delegate.
    """
    cpuinfo, model, inputs, outputs = (folder / name for name in ("cpuinfo", "model.tflite", "inputs", "outputs"))
    cpuinfo.write_text(_CORE)
    model.write_bytes(subject.content)
    inputs.write_bytes(b"".join(array.tobytes() for array in subject.inputs))
    settings = (
        "-cpu",
        "cortex-a76",
        "-L",
        str(_SYSROOT),
        "-E",
        f"LD_LIBRARY_PATH={folder}",
        "-E",
        f"CPUINFO={cpuinfo}",
    )
    done = _run(_EMULATOR, *settings, *map(str, (runner, library, model, inputs, outputs)))
    if "with delegate (TfLiteXNNPackDelegate)" not in done.stderr:
        raise ArmCheckError(f"{subject.name}: the library did not say that XNNPACK computes: {done.stderr.strip()}")
    return outputs.read_bytes()


def compare(subject: Subject, found: bytes) -> str:
    """Says how well ARM's outputs agree with this machine's.

    Raises:
        ArmCheckError: they do not.
    """
    if subject.output_sha256:
        digest = hashlib.sha256(found).hexdigest()
        if digest != subject.output_sha256:
            raise ArmCheckError(f"{subject.name}: outputs {digest} on ARM, {subject.output_sha256} in the catalogue")
        return f"{subject.name}: the bytes of the catalogue, {digest[:16]}"
    expected = np.concatenate([array.ravel() for array in subject.outputs])
    difference = float(np.abs(np.frombuffer(found, expected.dtype) - expected).max())
    if not difference <= _ROUNDING * float(np.abs(expected).max()):
        raise ArmCheckError(f"{subject.name}: outputs on ARM differ by up to {difference:.2g}")
    return f"{subject.name}: the same floats but for rounding, up to {difference:.1g}"


def subjects(apk: Path) -> Iterator[Subject]:
    """The bundled models, compact ones expanded as at load."""
    with zipfile.ZipFile(apk) as archive:
        for entry in json.loads(archive.read(_MODELS + "catalogue.json"))["models"]:
            content = archive.read(_MODELS + entry["file"])
            if entry["expand"]:
                content = tfmpq.expand(content)
            yield _subject(entry["id"], content, entry.get("output_sha256", {}).get("xnnpack", ""))


def float_activations() -> Iterator[Subject]:
    """Files with float activations, expanded: 4-bit and 8-bit rows, tables of token ids, masks, an open batch."""
    for path in sorted(FOLDER.glob("float_*.tflite")):
        yield _subject(path.stem, tfmpq.expand(path.read_bytes()), "")


def _subject(name: str, content: bytes, expected: str) -> Subject:
    interpreter = runtime.make_interpreter(content)
    feeds = random_inputs(runtime.inputs(interpreter), 0)
    return Subject(name, content, list(feeds.values()), runtime.run(interpreter, feeds), expected)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 0 when all outputs are the same, or nothing could be tried."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("apk", type=Path)
    parser.add_argument("--strict", action="store_true", help="missing tools are a failure")
    options = parser.parse_args(arguments)
    missing = missing_tools()
    if missing:
        print(f"arm-check skipped: not installed: {', '.join(missing)} (Debian: apt-get install {' '.join(missing)})")
        return int(options.strict)
    try:
        with zipfile.ZipFile(options.apk) as archive:
            library = archive.read(_LIBRARY)
        print(f"{_LIBRARY}, sha256 {hashlib.sha256(library).hexdigest()}")
        with tempfile.TemporaryDirectory() as name:
            runner, patched = build_runner(Path(name), library)
            for subject in (*subjects(options.apk), *float_activations()):
                print(compare(subject, outputs_on_arm(Path(name), runner, patched, subject)))
    except (OSError, KeyError, zipfile.BadZipFile, ArmCheckError) as error:
        print(f"android_arm_check: {error}", file=sys.stderr)
        return 1
    return 0


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise ArmCheckError(f"{command[0]} took more than {_SECONDS} s") from None
    if done.returncode:
        raise ArmCheckError(
            f"{Path(command[0]).name} failed ({done.returncode}): {(done.stdout + done.stderr).strip()}"
        )
    return done


if __name__ == "__main__":
    sys.exit(main())
