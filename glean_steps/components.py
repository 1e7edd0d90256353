"""What a core library is made of: the crates in it, as a CycloneDX list (PEP 770), and their licences."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from glean_steps import cargo, project, toolchain
from glean_steps.errors import AuditError
from glean_steps.targets import Target
from glean_steps.workspace import Workspace

# Names in the metadata folder of a wheel.
LIST = f"sboms/{project.CRATE}.cdx.json"
LICENCES = "licenses/THIRD-PARTY.txt"
_LICENCE_FILES = ("LICENSE", "LICENCE", "COPYING", "NOTICE", "UNLICENSE")


def members(target: Target, ws: Workspace) -> dict[str, bytes]:
    """Return the files about the crates in the library of a target, by their names in the metadata folder.

    Raises:
        AuditError: a crate comes without the text of a licence.
        CommandFailedError: cargo could not read the manifest.
    """
    rust = toolchain.rust_for(target, ws)
    wanted = ("--filter-platform", target.triple or rust.host)
    metadata = cargo.metadata(ws.crate / "Cargo.toml", target, *wanted, ws=ws)
    packages = {package["id"]: package for package in metadata["packages"]}
    uses = _uses(metadata, packages)
    (root,) = (each for each in uses if packages[each]["name"] == project.LIBRARY_PACKAGE)
    (core,) = (each for each in uses if packages[each]["name"] == project.CRATE)
    crates = sorted((packages[each] for each in uses if each not in (root, core)), key=_name)
    hashes = checksums(ws.crate / "Cargo.lock")
    standard = {"name": "std", "version": rust.version, "license": "MIT OR Apache-2.0", "dependencies": []}
    described = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": _component(packages[core], {})},
        "components": [_component(each, hashes) for each in (*crates, standard)],
        "dependencies": [
            {"ref": _name(packages[each]), "dependsOn": sorted([_name(packages[other]) for other in uses[each]])}
            for each in sorted(uses, key=lambda each: _name(packages[each]))
            if each != root
        ],
    }
    text = json.dumps(described, indent=1, sort_keys=True) + "\n"
    return {LIST: text.encode(), LICENCES: _licences([*crates, standard]).encode()}


def checksums(lock: Path) -> dict[str, str]:
    """Return the SHA-256 of each crate of the registry in a Cargo.lock, by `name@version`."""
    pattern = r'^name = "(.+)"\nversion = "(.+)"\nsource = ".+"\nchecksum = "(\w+)"'
    found = re.findall(pattern, lock.read_text(encoding="utf-8"), re.MULTILINE)
    return {f"{name}@{version}": digest for name, version, digest in found}


def faults(files: Mapping[str, bytes], lock: Path) -> list[str]:
    """Return what is wrong with the files of `members` in a wheel, compared with a Cargo.lock; empty when right.

    Args:
        files: the content of each by its name in the metadata folder.
    """
    missing = [f"{name}: it is missing from the wheel" for name in (LIST, LICENCES) if name not in files]
    if missing:
        return missing
    try:
        listed = json.loads(files[LIST])["components"]
        found = {f"{each['name']}@{each['version']}": each.get("hashes", [{}])[0].get("content") for each in listed}
    except (ValueError, KeyError, TypeError, IndexError) as error:
        return [f"{LIST}: it is no list of components: {error}"]
    locked, licences = checksums(lock), files[LICENCES].decode("utf-8", "replace")
    wrong = []
    for name, digest in found.items():
        if digest != locked.get(name):
            wrong.append(f"{LIST}: {name} is not the one in {lock.name}")
        if f"\n{name.replace('@', ' ')} (" not in licences:
            wrong.append(f"{LICENCES}: it does not name {name}")
    return wrong


def _uses(metadata: Mapping[str, Any], packages: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the packages whose code is in the library, each with those that it uses; not what runs at build time."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    left = [each for each in nodes if packages[each]["name"] == project.LIBRARY_PACKAGE]
    found: dict[str, list[str]] = {}
    while left:
        each = left.pop()
        found[each] = [
            dep["pkg"]
            for dep in nodes[each]["deps"]
            if any(kind["kind"] is None for kind in dep["dep_kinds"])
            and any("lib" in kind for part in packages[dep["pkg"]]["targets"] for kind in part["kind"])
        ]
        left += [other for other in found[each] if other not in found]
    return found


def _name(package: Mapping[str, Any]) -> str:
    return f"pkg:cargo/{package['name']}@{package['version']}"


def _component(package: Mapping[str, Any], hashes: Mapping[str, str]) -> dict[str, Any]:
    digest = hashes.get(f"{package['name']}@{package['version']}")
    return {
        "type": "library",
        "bom-ref": _name(package),
        "name": package["name"],
        "version": package["version"],
        "purl": _name(package),
        "licenses": [{"expression": _expression(package)}],
        **({"hashes": [{"alg": "SHA-256", "content": digest}]} if digest else {}),
    }


def _expression(package: Mapping[str, Any]) -> str:
    # Older crates write a slash for what SPDX spells OR.
    return re.sub(r"\s*/\s*", " OR ", package["license"] or "NOASSERTION")


def _licences(crates: list[dict[str, Any]]) -> str:
    """Return the texts that the crates come with, each text once, below the crates that it is of."""
    owners: dict[str, list[str]] = {}
    for crate in crates:
        owner = f"{crate['name']} {crate['version']} ({_expression(crate)})"
        texts = ["Rust's standard library, by The Rust Project Contributors; used under Apache-2.0."]
        if "manifest_path" in crate:
            folder = Path(crate["manifest_path"]).parent
            files = [file for file in sorted(folder.iterdir()) if file.name.upper().startswith(_LICENCE_FILES)]
            texts = [file.read_text(encoding="utf-8", errors="replace") for file in files if file.is_file()]
            if not texts:
                raise AuditError(
                    f"{owner} comes without the text of a licence",
                    why=f"{folder} has no file {', '.join(_LICENCE_FILES)}",
                    fix="use another crate, or a version that has it",
                )
        for text in texts:
            owners.setdefault(text.strip() + "\n", []).append(owner)
    parts = ["The core library contains the following crates. Each is used under one of the licences that it offers.\n"]
    for text, names in owners.items():
        parts.append("\n" + "=" * 80 + "\n" + "\n".join(names) + "\n" + "-" * 80 + "\n" + text)
    return "".join(parts)
