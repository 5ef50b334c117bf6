"""What MkDocs calls while it builds the site: pages that live elsewhere, and parts that are read from the code.

One home for each rule: the front page is README.md, the changelog CHANGELOG.md; options, flags and messages are those
of the sources.
"""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig  # pyright: ignore[reportMissingImports]
from mkdocs.structure.files import File, Files  # pyright: ignore[reportMissingImports]
from mkdocs.structure.pages import Page  # pyright: ignore[reportMissingImports]

from tools.docs.links import adapted
from tools.docs.notebooks import as_markdown, notebooks
from tools.docs.reference import PARTS

ROOT = Path(__file__).parents[2]
# File of the repository -> page.
ELSEWHERE = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "reporting.md",
    "android_demo/README.md": "android_app.md",
    "tools/native/README.md": "lrt_bench.md",
}
_PART = re.compile(r"<!-- generate: (\w+) -->")
_ROLE = re.compile(r":(?:class|func|meth|mod|attr|data):(?=<code>)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that live elsewhere or are notebooks, and their pictures."""
    for source, page in ELSEWHERE.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    for name, notebook in notebooks():
        text, pictures = as_markdown(notebook, name)
        files.append(File.generated(config, f"notebooks/{name}.md", content=text))
        for picture, content in pictures.items():
            files.append(File.generated(config, f"notebooks/{picture}", content=base64.b64decode(content)))
    for picture in (ROOT / "android_demo" / "docs").glob("*.png"):
        files.append(File.generated(config, f"android_demo/{picture.name}", abs_src_path=str(picture)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links and lists as the site wants them, and what is read from the code."""
    origin = {page: source for source, page in ELSEWHERE.items()}
    origin |= {f"notebooks/{name}.md": f"docs/notebooks/{name}.ipynb" for name, _ in notebooks()}
    source = origin.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    places = {origin.get(file.src_uri, f"docs/{file.src_uri}"): file.src_uri for file in files}
    places |= {f"android_demo/docs/{Path(uri).name}": uri for uri in places.values() if uri.startswith("android_demo/")}
    return _PART.sub(lambda match: PARTS[match[1]](), adapted(markdown, source, places))


def on_page_content(html: str, **_: Any) -> str:
    """The roles of Sphinx in docstrings are words for readers of the code: `:class:` goes."""
    return _ROLE.sub("", html)
