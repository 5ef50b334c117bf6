"""The import contracts cover the whole house: `make lint` can only check what they name."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
_OUTSIDE = {"__init__.py", "__pycache__", "BUILD", "py.typed"}


def test_every_module_and_package_has_its_place_in_the_order():
    settings = (ROOT / "pyproject.toml").read_text()
    order = settings[settings.index('type = "layers"') :]
    named = re.findall(r"(?:tfmpq|converters)\.\w+", order[: order.index("\n]")])
    found = [
        f"{package}.{path.stem}"
        for package in ("tfmpq", "converters")
        for path in (ROOT / package).iterdir()
        if path.name not in _OUTSIDE
    ]
    assert sorted(named) == sorted(found)
