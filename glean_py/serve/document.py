"""The page as one document: its style and its modules in it, and what it shows first.

A browser takes some ten milliseconds for each file of its own, and the list would wait for all of them.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

_STYLE = re.compile(r' *<link rel="stylesheet" href="([\w.]+)">\n')
_MODULE = re.compile(r' *<link rel="modulepreload" href="([\w.]+)">\n')
_SCRIPT = re.compile(r' *<script type="module" src="([\w.]+)"></script>\n')
# Modules in one element: what one of them offers, the next ones see by its name.
_BETWEEN_MODULES = re.compile(r"^import .*;\n|^export ", re.MULTILINE)


class Document:
    """What `index.html` of a folder refers to, put together.

    Attributes:
        policy: the part of a content security policy that lets exactly this style and these scripts be.
    """

    def __init__(self, folder: Path) -> None:
        html = _read(folder / "index.html")
        style = "".join(_read(folder / name) for name in _STYLE.findall(html))
        names = _MODULE.findall(html) + _SCRIPT.findall(html)
        script = "".join(_BETWEEN_MODULES.sub("", _read(folder / name)) for name in names)
        before, after = _SCRIPT.sub("\0", _MODULE.sub("", html)).split("\0")
        self._before = _STYLE.sub(lambda _: f"<style>{style}</style>\n", before).encode("utf-8")
        self._after = f'<script type="module">{script}</script>\n{after}'.encode()
        self.policy = f"script-src {_source(script)}; style-src {_source(style)}"

    def content(self, first: Any) -> bytes:
        """Return the document with what it shows first, which is JSON; `None` lets it ask."""
        # Nothing that is in a ping may end the element.
        data = json.dumps(first).replace("<", "\\u003c").encode("ascii")
        return b'%s<script type="application/json" id="first">%s</script>\n%s' % (self._before, data, self._after)


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8")


def _source(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
