"""What holds for glean_steps as a whole: its modules import each other one way, and know of one project."""

from __future__ import annotations

import ast
import re
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "glean_steps"
MODULES = {path.stem: ast.parse(path.read_text(encoding="utf-8")) for path in FOLDER.glob("*.py")}


def imported(tree: ast.Module, *, anywhere: bool) -> set[str]:
    """Return the modules of glean_steps that a module imports, when it is imported or at any time."""
    nodes = ast.walk(tree) if anywhere else tree.body
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module == "glean_steps":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("glean_steps."):
            found.add((node.module or "").split(".")[1])
    return found & set(MODULES)


def test_no_module_imports_itself_by_a_detour() -> None:
    graph = {name: imported(tree, anywhere=False) for name, tree in MODULES.items()}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path, name))
        if name not in done:
            for other in graph[name]:
                visit(other, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_no_private_name_is_used_across_modules() -> None:
    found = []
    for name, tree in MODULES.items():
        others = imported(tree, anywhere=True)
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr.startswith("_") and isinstance(node.value, ast.Name):
                if node.value.id in others and not node.attr.startswith("__"):
                    found.append(f"{name}: {node.value.id}.{node.attr}")
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("glean_steps"):
                found += [f"{name}: {alias.name}" for alias in node.names if alias.name.startswith("_")]
    assert found == []


def test_only_project_py_knows_the_name_of_the_project() -> None:
    """But for the name of these steps, their variables and their state folder."""
    known = re.compile(r"glean_steps|GLEAN_|\.glean\b|glean-steps|prefix=\"glean-")
    found = []
    for path in sorted(FOLDER.glob("*.py")):
        if path.name in ("project.py", "commands.py"):  # The descriptions of its sessions name what they compare with.
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if re.search("glean", known.sub("", line), re.IGNORECASE):
                found.append(f"{path.name}:{number}: {line.strip()}")
    assert found == []


def test_only_one_module_starts_programs() -> None:
    assert [name for name, tree in MODULES.items() if "subprocess" in ast.dump(tree) and name != "runner"] == []
