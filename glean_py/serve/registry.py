"""What is known of metrics beside their values: from metrics.yaml, through glean_parser, or a compiled module."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any, Dict, Iterable, List, Sequence, Tuple

_OWN = [Path(__file__).resolve().parents[1] / name for name in ("metrics.yaml", "pings.yaml")]
_FIELDS = ("category", "name", "send_in_pings")


class RegistryError(Exception):
    """A registry cannot be read; says why and what to do."""


class Registry:
    """Descriptions of metrics by their identifiers.

    Args:
        files: metrics.yaml and pings.yaml, or modules that `python -m glean_py compile` wrote.

    Attributes:
        is_given: whether there are files.

    Raises:
        RegistryError: a file is missing, or no registry, or there is no glean_parser to read it.
    """

    def __init__(self, files: Sequence[Path] = ()) -> None:
        self.is_given = bool(files)
        self._known: Dict[str, Dict[str, Any]] = {}
        for file in files:
            if not file.is_file():
                raise RegistryError(f"there is no file {file}; check its name and the folder this runs in")
        for file in files:
            if file.suffix == ".py":
                self._known.update(_read_module(file))
        others = [file for file in files if file.suffix != ".py"]
        if others:
            self._known.update(_read_yaml(others))

    def describe(self, ping: str, names: Iterable[Tuple[str, str]]) -> Dict[str, Dict[str, Any]]:
        """Return what is known of metrics, given as type and name, that a ping has.

        Each has `description`, `bugs`, `expires`, `unit`, and `problem`, a sentence if it should not be there.
        """
        if not self.is_given:
            return {}
        found = {}
        for kind, name in names:
            known = self._known.get(name)
            problem = ""
            if known is None:
                # Glean's own are described in YAML, which not every registry is.
                if not name.startswith("glean."):
                    found[name] = {"problem": "unknown: the registry has no such metric"}
                continue
            if kind != known["type"]:
                problem = f"unexpected: the registry says that its type is {known['type']}, not {kind}"
            elif known["pings"] and ping not in known["pings"]:
                problem = f"unexpected: the registry sends it in {', '.join(known['pings'])}, not in {ping}"
            found[name] = {
                **{key: known[key] for key in ("description", "bugs", "expires", "unit")},
                "problem": problem,
            }
        return found


def _read_yaml(files: Sequence[Path]) -> List[Tuple[str, Dict[str, Any]]]:
    from glean_py import _definitions

    try:
        parser = _definitions.import_parser()
        parsed = parser.parse_objects([*files, *_OWN], {"allow_reserved": True, "do_not_disable_expired": True})
        errors = list(parsed)
    except (ImportError, OSError, TypeError, ValueError) as error:
        raise RegistryError(str(error)) from None
    if errors:
        raise RegistryError("\n\n".join(errors))
    described = []
    for group, objects in parsed.value.items():
        if group in ("pings", "tags"):
            continue
        for metric in objects.values():
            unit = getattr(metric, "time_unit", None) or getattr(metric, "memory_unit", None)
            entry = _entry(f"{group}.{metric.name}", metric.type, metric.send_in_pings, metric.description)
            entry["bugs"] = [str(bug) for bug in metric.bugs]
            entry["expires"] = str(metric.expires)
            entry["unit"] = unit.name if unit is not None else str(getattr(metric, "unit", None) or "")
            described.append((f"{group}.{metric.name}", entry))
    return described


def _entry(identifier: str, kind: str, pings: Iterable[str], description: str) -> Dict[str, Any]:
    anywhere = {"all-pings", "glean_internal_info"}.intersection(pings) or identifier.startswith("glean.")
    return {
        "type": kind,
        "pings": [] if anywhere else sorted(pings),
        "description": str(description).strip(),
        "bugs": [],
        "expires": "",
        "unit": "",
    }


def _read_module(file: Path) -> List[Tuple[str, Dict[str, Any]]]:
    """Read a compiled module as text: nothing of it is run."""
    from glean_py import metrics

    words = [*metrics.TYPES, *(f"labeled_{word}" for word in metrics.LABELED)]
    kinds = {metrics.class_name(word): word for word in words}
    # What the two halves of a rate are in a ping.
    kinds.update({"NumeratorMetricType": "rate", "DenominatorMetricType": "counter"})
    try:
        tree = ast.parse(file.read_bytes(), str(file))
    except (SyntaxError, ValueError) as error:
        raise RegistryError(f"{file} is no Python: {error}") from None
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef):
            continue
        last = node.body[-1]
        if not isinstance(last, ast.Return) or not isinstance(last.value, ast.Call):
            continue
        calls = [each for each in ast.walk(last.value) if isinstance(each, ast.Call)]
        common = [call for call in calls if _name(call) == "CommonMetricData"]
        kind = kinds.get(_name(last.value))
        if kind is None or not common:
            continue
        fields = {word.arg: ast.literal_eval(word.value) for word in common[0].keywords if word.arg in _FIELDS}
        identifier = ".".join(part for part in (fields["category"], fields["name"]) if part)
        found.append((identifier, _entry(identifier, kind, fields["send_in_pings"], ast.get_docstring(node) or "")))
    if not found:
        raise RegistryError(f"{file} describes no metric; name metrics.yaml, or what python -m glean_py compile wrote")
    return found


def _name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""
