"""How `nox -s docs` makes the site: Sphinx over the Markdown of this folder, and the docstrings of glean_py.

The pages are plain Markdown, so that they can be read on a code host as well; what is below is for the site alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Optional

from sphinx.application import Sphinx

import glean_py

HERE = Path(__file__).parent

# The sidebar: pages of this folder, or patterns that may match none; `..` leads to the root of the repository.
NAVIGATION = {
    "Start": ["tutorial"],
    "How to": [
        "metrics-from-yaml",
        "collector",
        "testing-your-application",
        "frozen-programs",
        "web-workers",
        "building",
        "platforms",
        "testing-any-wheel",
        "using-in-ci",
        "adding-a-target",
        "adding-a-python",
        "adding-a-metric-type",
    ],
    "How it works": ["design", "storage", "uploads", "benchmarks"],
    "Reference": ["reference/*", "compatibility", "exit-codes", "when-things-go-wrong"],
    "The project": ["../CONTRIBUTING", "../CHANGELOG", "../SECURITY"],
}

project = "Glean for Python"
author = glean_py.__author__
copyright = author  # Sphinx's name for it.
version = release = glean_py.__version__

# The root of the repository is the source folder, so that links between pages and files work as they do in a checkout.
root_doc = "docs/index"
include_patterns = ["docs/**.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"]
exclude_patterns = [".*", "build", "dist", "glean_core/target", "glean_core/fuzz/target"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
myst_heading_anchors = 3

# `x` in docstrings is code.
default_role = "literal"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_default_options = {
    "members": True,
    "undoc-members": True,
    "inherited-members": "object,Enum,tuple,str,int",
    "special-members": "__getitem__",
}
python_use_unqualified_type_names = True
add_module_names = False
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = f"{project} {release}"
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}
html_static_path = ["site"]
html_css_files = ["site.css"]
# `/` leads to the first page.
html_extra_path = ["site/index.html"]

# Served from this machine in the examples only.
linkcheck_ignore = [r"https?://(127\.0\.0\.1|localhost)"]
linkcheck_timeout = 20


def add_navigation(app: Sphinx, document: str, source: List[str]) -> None:
    """Give the first page the table of contents that the sidebar shows."""
    if document != root_doc:
        return
    for caption, pages in NAVIGATION.items():
        found = [page for page in pages if list(HERE.glob(f"{page}.md"))]
        lines = ["```{toctree}", ":hidden:", ":glob:", f":caption: {caption}", "", *found, "```"]
        source[0] += "\n" + "\n".join(lines) + "\n"


def skip_lookup_of_members(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> Optional[bool]:
    """Leave out that an enumeration can be indexed; labeled metrics are, which matters."""
    return True if name == "__getitem__" and getattr(obj, "__module__", "") == "enum" else None


def setup(app: Sphinx) -> None:
    """Register what is above."""
    app.connect("source-read", add_navigation)
    app.connect("autodoc-skip-member", skip_lookup_of_members)
