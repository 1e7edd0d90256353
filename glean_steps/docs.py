"""The documentation as a site: run its examples, then Sphinx over docs/ with warnings as errors."""

from __future__ import annotations

import argparse
import re
import tempfile
from pathlib import Path
from typing import NoReturn, Optional, Sequence

from glean_steps import environment, report, runner, wheel, workspace
from glean_steps.errors import SettingError
from glean_steps.workspace import Workspace

# Pages whose examples are run.
EXAMPLES = ("README.md", "docs/tutorial.md", "docs/testing-your-application.md")
EXAMPLE_S = 60.0
BUILD_S = 900.0
LINKS_S = 900.0
OLDEST = (3, 11)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise SettingError(f"docs: {message}", fix="python3 bootstrap.py nox -s docs -- --external")


def build(arguments: Sequence[str] = (), *, ws: Optional[Workspace] = None) -> Path:
    """Run the examples of the pages, make the site anew, print its first page's file, and return it.

    Broken links between pages are errors; `--external` asks the servers of all other links too.

    Raises:
        SettingError: an unknown option.
        CommandFailedError: an example failed, Sphinx warned, or a link is broken; the last lines say what and where.
    """
    parser = _Parser("docs", allow_abbrev=False)
    parser.add_argument("--external", action="store_true")
    options = parser.parse_args(list(arguments))
    ws = ws or workspace.here()
    with workspace.checkout_lock(ws):
        python = environment.pinned("docs", ws, base=environment.newest_python(OLDEST).executable)
        # The reference is made from the docstrings of the installed package.
        environment.install(python, ["--no-deps", "--force-reinstall", wheel.native_wheel(ws)])
        with report.step("run the examples"):
            for page in EXAMPLES:
                run_examples(ws.root / page, python)
        site = ws.state / "site"
        sphinx = [python, "-I", "-m", "sphinx", "--fail-on-warning", "--keep-going", "--fresh-env", "--quiet"]
        folders = ["--conf-dir", ws.root / "docs", "--doctree-dir", ws.state / "doctrees", ws.root]
        with report.step("make the site"):
            runner.run([*sphinx, *folders, site], timeout_s=runner.deadline(BUILD_S), quiet=True)
        if options.external:
            with report.step("check external links"):
                links = [*sphinx, "--builder", "linkcheck", *folders, ws.state / "links"]
                runner.run(links, timeout_s=runner.deadline(LINKS_S), quiet=True)
    first = site / "docs" / "index.html"
    print(first)
    return first


def run_examples(page: Path, python: Path) -> None:
    """Run the examples of a page in an empty folder: its YAML files, its commands of glean_py, then all of its Python.

    What imports pytest is run by it.

    Raises:
        CommandFailedError: a command or the Python failed.
    """
    script = []
    with tempfile.TemporaryDirectory(prefix="glean-docs-") as temporary:
        folder = Path(temporary)

        def run(*words: str) -> None:
            runner.run([python, *words], timeout_s=runner.deadline(EXAMPLE_S), cwd=folder, quiet=True)

        text = page.read_text(encoding="utf-8")
        for language, code in re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            if language == "yaml":
                (folder / code.splitlines()[0].lstrip("# ")).write_text(code, encoding="utf-8")
            elif language == "python":
                script.append(code)
            elif language == "sh":
                for line in re.findall(r"^python (-m glean_py .*)$", code, re.MULTILINE):
                    run(*line.split())
        example = folder / "example.py"
        example.write_text("\n".join(script), encoding="utf-8")
        run(*(["-m", "pytest", "-q", example.name] if "\nimport pytest\n" in text else [example.name]))
