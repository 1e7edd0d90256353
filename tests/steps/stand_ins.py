"""Environments whose packages are stand-ins."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Mapping


def environment_of(files: Mapping[str, str], home: Path) -> Path:
    """Make a virtual environment with these files among its packages, by their names; return its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    site = next(home.glob("lib/python*/site-packages"))
    for name, text in files.items():
        file = site / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return home / "bin" / "python"
