"""Notebooks are whole and were run; `make notebooks` runs them, as does the workflow of CI."""

from __future__ import annotations

from typing import Any

import pytest

from tools.docs.notebooks import as_markdown, notebooks

ALL = dict(notebooks())


def test_there_are_two():
    assert set(ALL) == {"photos_to_phone", "pytorch_to_tflite"}


@pytest.mark.parametrize("name", ALL)
def test_all_cells_were_run_in_order_without_an_error_and_outputs_are_kept(name: str):
    cells: list[dict[str, Any]] = [cell for cell in ALL[name]["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert len(outputs) >= 5
    assert {output["output_type"] for output in outputs} <= {"stream", "display_data", "execute_result"}


def test_a_page_has_code_text_and_pictures_in_their_order():
    printed = {"output_type": "stream", "name": "stdout", "text": "1\n"}
    shown = {"output_type": "display_data", "data": {"image/png": "AA"}}
    cells = [
        {"cell_type": "markdown", "source": ["# A\n", "b"]},
        {"cell_type": "code", "source": "f()", "outputs": [printed]},
        {"cell_type": "code", "source": "g()", "outputs": [shown]},
    ]
    text, pictures = as_markdown({"cells": cells}, "net")
    assert text.split("\n\n")[1:3] == ["```python\nf()\n```", "```text\n1\n```"]
    assert text.rstrip().endswith("![output of the cell above](net_0.png)")
    assert pictures == {"net_0.png": "AA"}
