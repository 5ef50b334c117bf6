"""Checks a signed APK of the demo app the way a phone or a store would; prints one line a check, fails on the first.

    python3 -m tools.android.check APK --manifest android_demo/app/src/main/AndroidManifest.xml

Needs `apksigner`, `aapt` and `dexdump` on the PATH, and the standard library only.
"""

from __future__ import annotations

import argparse
import re
import struct
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

PAGE = 16384
_ANDROID = "{http://schemas.android.com/apk/res/android}"
_JAVACPP = ("libjnijavacpp.so", "libjnitensorflowlite.so")
_AAR = "libtensorflowlite_jni.so"
# The AAR's own libraries have 4 KiB pages: phones with larger ones refuse it, and the app says so.
_LIBRARIES = {
    "arm64-v8a": (*_JAVACPP, _AAR),
    "x86_64": (*_JAVACPP, _AAR),
    "armeabi-v7a": (_AAR,),
}


class CheckError(Exception):
    """The APK is not what it should be."""


def data_offset(archive: Path, info: zipfile.ZipInfo) -> int:
    """Where in the file an entry's data start: the local header may differ from the directory's."""
    with archive.open("rb") as stream:
        stream.seek(info.header_offset + 26)
        name, extra = struct.unpack("<HH", stream.read(4))
    return info.header_offset + 30 + name + extra


def load_alignments(library: bytes) -> list[int]:
    """Alignments of the LOAD segments of a little-endian ELF file."""
    if library[:4] != b"\x7fELF":
        raise CheckError("not an ELF file")
    wide = library[4] == 2
    table, size, count = (
        (*struct.unpack_from("<Q", library, 32), *struct.unpack_from("<HH", library, 54))
        if wide
        else (*struct.unpack_from("<I", library, 28), *struct.unpack_from("<HH", library, 42))
    )
    headers = range(table, table + size * count, size)
    loads = [at for at in headers if struct.unpack_from("<I", library, at)[0] == 1]
    return [
        struct.unpack_from("<Q", library, at + 48)[0] if wide else struct.unpack_from("<I", library, at + 28)[0]
        for at in loads
    ]


def check_zip(apk: Path) -> list[str]:
    """Models and libraries are stored and aligned, every ABI has its libraries."""
    found: list[str] = []
    with zipfile.ZipFile(apk) as archive:
        entries = {info.filename: info for info in archive.infolist()}
        models = [name for name in entries if name.startswith("assets/") and name.endswith(".tflite")]
        if not models:
            raise CheckError("no models in assets/: run python -m tools.android.make_assets first")
        expected = [f"lib/{abi}/{library}" for abi, names in _LIBRARIES.items() for library in names]
        missing = sorted(set(expected) - set(entries))
        if missing:
            raise CheckError(f"missing: {', '.join(missing)}")
        libraries = [name for name in entries if name.endswith(".so")]
        for name in models + libraries + ["resources.arsc"]:
            if entries[name].compress_type != zipfile.ZIP_STORED:
                raise CheckError(f"{name} is compressed: it cannot be mapped into memory")
            alignment = PAGE if name in libraries else 16
            if data_offset(apk, entries[name]) % alignment:
                raise CheckError(f"{name} does not start at a multiple of {alignment} bytes")
        found.append(f"{len(models)} models stored, not compressed")
        for abi, names in _LIBRARIES.items():
            for library in names:
                smallest = min(load_alignments(archive.read(f"lib/{abi}/{library}")))
                if library in _JAVACPP and smallest < PAGE:
                    raise CheckError(f"lib/{abi}/{library}: segments aligned to {smallest} bytes, phones need {PAGE}")
                found.append(f"lib/{abi}/{library}: 16 KiB in the zip, segments aligned to {smallest}")
    return found


def check_signature(output: str) -> str:
    """`output` is what ``apksigner verify --verbose`` printed."""
    for scheme in ("v2", "v3"):
        if not re.search(rf"Verified using {scheme} scheme .*: true", output):
            raise CheckError(f"no valid {scheme} signature")
    return "signatures v2 and v3 verified"


def check_badging(output: str, launcher: str) -> str:
    """`output` is what ``aapt dump badging`` printed."""
    wanted = (
        "sdkVersion:'24'",
        "targetSdkVersion:'35'",
        f"launchable-activity: name='{launcher}'",
        "native-code: 'arm64-v8a' 'armeabi-v7a' 'x86_64'",
    )
    for text in wanted:
        if text not in output:
            raise CheckError(f"badging lacks {text}")
    return "badging: " + output.splitlines()[0]


def components(manifest: str, package: str) -> list[str]:
    """Class names of the manifest's application, activities, services and providers; the launcher's first."""
    application = ElementTree.fromstring(manifest).find("application")
    if application is None:
        raise CheckError("the manifest has no <application>")
    nodes = [application, *(node for kind in ("activity", "service", "provider") for node in application.iter(kind))]
    main = "android.intent.action.MAIN"
    nodes.sort(
        key=lambda node: (
            not any(action.get(f"{_ANDROID}name") == main for action in node.iter("action")) or node is application
        )
    )
    names = [name for node in nodes if (name := node.get(f"{_ANDROID}name"))]
    return [package + name if name.startswith(".") else name for name in names]


def check_dex(output: str, classes: Sequence[str]) -> str:
    """`output` is what ``dexdump`` printed."""
    for name in classes:
        if f"'L{name.replace('.', '/')};'" not in output:
            raise CheckError(f"the dex file lacks {name}")
    return f"the dex file has {', '.join(classes)}"


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    except FileNotFoundError:
        raise CheckError(f"{command[0]} is missing (Debian: apt-get install {command[0]})") from None
    if done.returncode:
        raise CheckError(f"{command[0]} failed: {(done.stdout + done.stderr).strip()}")
    return done.stdout


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 0 when every check held."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("apk", type=Path)
    parser.add_argument("--manifest", type=Path, required=True, help="the source manifest")
    parser.add_argument("--package", default="org.tfmpq.demo")
    options = parser.parse_args(arguments)
    apk = str(options.apk)
    try:
        classes = components(options.manifest.read_text(encoding="utf-8"), options.package)
        print(check_signature(_output("apksigner", "verify", "--verbose", "--min-sdk-version", "24", apk)))
        print(check_badging(_output("aapt", "dump", "badging", apk), classes[0]))
        print(check_dex(_output("dexdump", apk), classes))
        print("\n".join(check_zip(options.apk)))
    except (OSError, CheckError, zipfile.BadZipFile) as error:
        print(f"android_check: {options.apk}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
