"""The check on an emulated ARM processor: what it changes in the library, what it compares, and when it gives up."""

import hashlib
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tools.android import arm_check as android_arm_check
from tools.android.arm_check import ArmCheckError, Subject, compare, main, without_versions

_VERSYM, _NEEDED = 0x6FFFFFF0, 1


def _library(*entries: tuple[int, int]) -> bytes:
    """A 64-bit ELF header, one program header (DYNAMIC) and its entries."""
    header = b"\x7fELF\x02" + bytes(27) + struct.pack("<Q", 64) + bytes(14) + struct.pack("<HH", 56, 1) + bytes(6)
    length = 16 * len(entries)
    program = struct.pack("<IIQQQQQQ", 2, 6, 120, 120, 120, length, length, 8)
    return header + program + b"".join(struct.pack("<QQ", *entry) for entry in entries)


def test_only_version_tags_change():
    library = _library((_NEEDED, 77), (_VERSYM, 1234), (0x6FFFFFFE, 99), (0, 0))
    changed = without_versions(library)
    tags = [struct.unpack_from("<QQ", changed, 120 + 16 * i) for i in range(4)]
    assert tags[0] == (_NEEDED, 77)
    assert tags[3] == (0, 0)
    assert [value for _, value in tags] == [77, 1234, 99, 0]
    assert all(tag not in (_VERSYM, 0x6FFFFFFE) for tag, _ in tags)
    assert changed[:120] == library[:120]


def test_a_32_bit_library_is_refused():
    with pytest.raises(ArmCheckError, match="64-bit"):
        without_versions(b"\x7fELF\x01" + bytes(200))


@pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler")
def test_the_changed_library_still_loads(tmp_path: Path):
    source = tmp_path / "a.c"
    source.write_text("#include <stdlib.h>\nint half(const char* n) { return atoi(n) / 2; }\n")
    subprocess.run(["cc", "-shared", "-fPIC", str(source), "-o", str(tmp_path / "a.so")], check=True)
    library = (tmp_path / "a.so").read_bytes()
    changed = without_versions(library)
    assert changed != library  # it wanted the C library's versions
    (tmp_path / "b.so").write_bytes(changed)
    (tmp_path / "main.c").write_text('int half(const char*);\nint main(void) { return half("84"); }\n')
    command = [
        "cc",
        str(tmp_path / "main.c"),
        str(tmp_path / "b.so"),
        "-Wl,-rpath," + str(tmp_path),
        "-o",
        str(tmp_path / "m"),
    ]
    subprocess.run(command, check=True)
    assert subprocess.run([str(tmp_path / "m")], check=False).returncode == 42


def _subject(outputs: np.ndarray, digest: str) -> Subject:
    return Subject("m", b"", [], [outputs], digest)


def test_integer_outputs_must_be_the_same_bytes():
    outputs = np.array([1, 2, 3], np.int8)
    digest = hashlib.sha256(outputs.tobytes()).hexdigest()
    assert digest[:16] in compare(_subject(outputs, digest), outputs.tobytes())
    with pytest.raises(ArmCheckError, match="m: outputs"):
        compare(_subject(outputs, digest), np.array([1, 2, 4], np.int8).tobytes())


def test_float_outputs_may_differ_by_rounding_only():
    outputs = np.array([0.25, 0.75], np.float32)
    assert "rounding" in compare(_subject(outputs, ""), (outputs + np.float32(1e-6)).tobytes())
    for wrong in (outputs + np.float32(1e-4), np.full(2, np.nan, np.float32)):
        with pytest.raises(ArmCheckError, match="differ"):
            compare(_subject(outputs, ""), wrong.tobytes())


def test_without_the_tools_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["nonesuch.apk"]) == 0
    assert "skipped: not installed: qemu-user, gcc-aarch64-linux-gnu" in capsys.readouterr().out
    assert main(["nonesuch.apk", "--strict"]) == 1


def test_a_missing_apk_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(android_arm_check, "missing_tools", list)
    assert main([str(tmp_path / "nonesuch.apk")]) == 1
    assert "nonesuch.apk" in capsys.readouterr().err
