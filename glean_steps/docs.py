"""The documentation as a site: run its examples, then Sphinx over docs/ with warnings as errors."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from glean_steps import environments, project, report, runner
from glean_steps.workspace import Workspace

# Pages whose examples are run; the tutorial is walked by tests/collector.
EXAMPLES = ("README.md", "docs/testing-your-application.md")
EXAMPLE_S = 60.0
SPHINX_S = 900.0
OLDEST = (3, 11)


def build(ws: Workspace, *, external: bool = False) -> Path:
    """Run the examples of the pages, make the site anew, print its first page's file, and return it.

    Broken links between pages are errors; `external` asks the servers of all other links too.

    Raises:
        CommandFailedError: an example failed, Sphinx warned, or a link is broken; the last lines say what and where.
    """
    with ws.locked():
        # The reference is made from the docstrings of the installed package.
        minor = environments.newest_python(ws, OLDEST).minor
        python = environments.Environment("docs", "requirements/docs.txt", minor).ensure(ws)
        with report.step("run the examples"):
            for page in EXAMPLES:
                run_examples(ws.root / page, python, ws)
        site = ws.state / "site"
        sphinx = [python, "-I", "-m", "sphinx", "--fail-on-warning", "--keep-going", "--fresh-env", "--quiet"]
        folders = ["--conf-dir", ws.root / "docs", "--doctree-dir", ws.state / "doctrees", ws.root]
        with report.step("make the site"):
            ws.run([*sphinx, *folders, site], timeout_s=SPHINX_S, quiet=True)
        if external:
            with report.step("check external links"):
                links = [*sphinx, "--builder", "linkcheck", *folders, ws.state / "links"]
                ws.run(links, timeout_s=SPHINX_S, quiet=True)
    first = site / "docs" / "index.html"
    print(first)
    return first


def run_examples(page: Path, python: Path, ws: Workspace) -> None:
    """Run the examples of a page in an empty folder: its YAML files, its commands of the package, all of its Python.

    What imports pytest is run by it.

    Raises:
        CommandFailedError: a command or the Python failed.
    """
    script = []
    with tempfile.TemporaryDirectory(prefix="glean-docs-") as temporary:
        folder = Path(temporary)

        def run(*words: str) -> None:
            # Whoever does not want to be tracked does not mean these examples, which send nothing.
            env = runner.child_env({"DO_NOT_TRACK": None})
            ws.run([python, *words], timeout_s=EXAMPLE_S, cwd=folder, env=env, quiet=True)

        text = page.read_text(encoding="utf-8")
        for language, code in re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            if language == "yaml":
                (folder / code.splitlines()[0].lstrip("# ")).write_text(code, encoding="utf-8")
            elif language == "python":
                script.append(code)
            elif language == "sh":
                for line in re.findall(rf"^python (-m {project.PACKAGE} .*)$", code, re.MULTILINE):
                    run(*line.split())
        example = folder / "example.py"
        example.write_text("\n".join(script), encoding="utf-8")
        run(*(["-m", "pytest", "-q", example.name] if "\nimport pytest\n" in text else [example.name]))
