"""The site and what it says of the commands; `nox -s docs` itself checks links and runs examples."""

from __future__ import annotations

import ast
import json
import re
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Dict, List

import pytest
from test_entry_points import SESSIONS, TASKS

from benchmarks import document, table
from glean_steps import docs
from glean_steps.errors import CommandFailedError, SettingError
from glean_steps.workspace import Workspace


def navigation(checkout: Path) -> List[str]:
    """Return the pages and patterns of the sidebar; conf.py itself runs in the environment of the site alone."""
    tree = ast.parse((checkout / "docs/conf.py").read_text(encoding="utf-8"))
    found = next(
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "NAVIGATION"
    )
    captions: Dict[str, List[str]] = ast.literal_eval(found)
    return [page for pages in captions.values() for page in pages]


def test_every_page_is_in_the_sidebar(checkout: Path) -> None:
    patterns = navigation(checkout)
    for page in (checkout / "docs").rglob("*.md"):
        name = page.relative_to(checkout / "docs").with_suffix("").as_posix()
        assert name == "index" or any(fnmatch(name, pattern) for pattern in patterns), name


def test_every_command_is_in_the_reference(checkout: Path) -> None:
    text = (checkout / "docs/reference/commands.md").read_text(encoding="utf-8")
    assert not [name for name in (*SESSIONS, *TASKS) if f"`{name}`" not in text]


def test_links_of_the_readme_lead_to_files(checkout: Path) -> None:
    text = (checkout / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^):#]+)[^)]*\)", text)
    assert len(links) > 10 and not [link for link in links if not (checkout / link).exists()]
    assert len(text.splitlines()) <= 100


def test_figures_of_the_readme_hold(checkout: Path) -> None:
    """ "More than N times as fast" is what benchmarks.json says, by its last whole run."""
    text = (checkout / "README.md").read_text(encoding="utf-8")
    measured = document.part_results(document.read(checkout), table.CORE, table.load())
    ratios = {result.comparison.key: result.ratio for result in measured if not result.not_measured}
    claims = re.findall(r"more than (\d+) times as fast", text)
    assert len(claims) == 3
    for key, times in zip(("9", "13", "16"), claims):
        assert ratios[key] < 1 / int(times), f"comparison {key} is {1 / ratios[key]:.0f} times as fast"


def test_unknown_options_are_refused() -> None:
    with pytest.raises(SettingError, match="--extrenal"):
        SESSIONS["docs"].parse(["--extrenal"])


def test_examples_are_run_in_order_and_a_failing_one_is_an_error(tmp_path: Path, ws: Workspace) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```yaml\n# seen.yaml\nkey: 1\n```\n```python\nimport pathlib\nseen = pathlib.Path('seen.yaml').read_text()\n"
        "```\ntext\n```json\n{}\n```\n```python\nassert 'key: 1' in seen\n```\n"
    )
    docs.run_examples(page, Path(sys.executable), ws)
    page.write_text("```python\nraise SystemExit('no such metric')\n```\n")
    with pytest.raises(CommandFailedError) as caught:
        docs.run_examples(page, Path(sys.executable), ws)
    assert "no such metric" in json.dumps(caught.value.tail)
