"""Reading all of an HDF5 file once, in a process of its own: its library may hang or die on a damaged one."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

from converters.frontend.float_model import MAX_BYTES
from converters.runtime.limits import limits_for
from converters.runtime.sessions import child_environment, status_name

WEIGHTS = "model.weights.h5"  # in a .keras file
_MAX_PLACES = 10**5  # groups and arrays
_SECONDS, _SECONDS_OF_BYTE = 30.0, 1e-6  # reading takes a second for 100 MB
_REFUSED = 3
_CHILD = "import sys; from converters.frontend.hdf5_check import main; sys.exit(main(sys.argv[1]))"


def find_fault(path: Path) -> str | None:
    """What is wrong with an .h5 file, or with the weights in a .keras file; None: all of it can be read.

    Args:
        path: of the file.
    """
    seconds = _SECONDS + _SECONDS_OF_BYTE * path.stat().st_size
    try:
        child = subprocess.run(
            [sys.executable, "-c", _CHILD, os.path.abspath(path)],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=seconds,
            env=child_environment(),
            start_new_session=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"reading it does not end within {seconds:.0f} s"
    if child.returncode == 0:
        return None
    if child.returncode == _REFUSED:
        return child.stdout.decode(errors="replace").strip()
    return f"the HDF5 library dies of it ({status_name(child.returncode)})"


def main(path: str) -> int:
    """The child: says what is wrong and returns the exit status."""
    try:
        limits_for(os.path.getsize(path)).impose_memory()
        if not zipfile.is_zipfile(path):
            _read_all(path)
            return 0
        with zipfile.ZipFile(path) as archive:
            if WEIGHTS in archive.namelist():
                with archive.open(WEIGHTS) as weights:
                    stored = archive.getinfo(WEIGHTS).compress_type == zipfile.ZIP_STORED
                    # Jumping about in a deflated member would inflate it again and again.
                    _read_all(weights if stored else io.BytesIO(weights.read(MAX_BYTES)))
    except Exception as error:  # h5py raises whatever a damaged file leads to
        print(" ".join(str(error).split())[:500] or type(error).__name__)
        return _REFUSED
    return 0


def _read_all(file: Any) -> None:
    """Reads every attribute and array; links to elsewhere are refused, not followed."""
    import h5py

    library: Any = h5py  # its low-level modules have no types
    size, places, seen = 0, 0, set[int]()
    with h5py.File(file) as opened:
        waiting: list[Any] = [opened]
        while waiting:
            item = waiting.pop()
            places += 1
            if places > _MAX_PLACES:
                raise ValueError(f"it holds more than {_MAX_PLACES} arrays, as no network does")
            dict(item.attrs)
            if isinstance(item, h5py.Dataset):
                if item.external or item.is_virtual:
                    raise ValueError(f"the values of '{item.name}' are in another file, which is not read")
                size += item.nbytes
                if size > MAX_BYTES:
                    raise ValueError(f"its arrays take more than {MAX_BYTES / 2**30:.0f} GiB")
                item[()]
                continue
            for name in item:
                if item.get(name, getclass=True, getlink=True) is not h5py.HardLink:
                    raise ValueError(f"it holds the link '{name}' to another place; weights of Keras have none")
                child = item[name]
                address = library.h5o.get_info(child.id).addr
                if address not in seen and isinstance(child, (h5py.Group, h5py.Dataset)):
                    seen.add(address)  # hard links can form circles
                    waiting.append(child)
