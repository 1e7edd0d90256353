"""Packs the pure-Python standard library of the interpreter that runs it, as the embeddable zips of python.org hold it.

Run as a script by a CPython of the wanted minor version (3.7 or later): `python _pack_stdlib.py OUT.zip`. Imports
nothing of this package, because that interpreter knows nothing of it.
"""

import importlib.util
import marshal
import os
import sys
import sysconfig
import zipfile

# What an embeddable zip leaves out, and what belongs to the machine that this interpreter was built on.
LEFT_OUT = {
    "__pycache__",
    "config",
    "dist-packages",
    "ensurepip",
    "idlelib",
    "lib-dynload",
    "site-packages",
    "test",
    "tests",
    "tkinter",
    "turtledemo",
}
# A later runtime of 3.11 calls it on the class, where the library of Debian 12 wants an instance.
CACHES = b"    def invalidate_caches(cls)"


def pyc(source: bytes, name: str) -> bytes:
    """Return the bytes of a compiled module that is never compared with its source (PEP 552, unchecked hash)."""
    code = compile(source, name, "exec", dont_inherit=True)
    flags = (0b01).to_bytes(4, "little")
    return importlib.util.MAGIC_NUMBER + flags + importlib.util.source_hash(source) + marshal.dumps(code)


def main(out: str) -> None:
    stdlib = sysconfig.get_path("stdlib")
    count = 0
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for folder, folders, names in os.walk(stdlib):
            folders[:] = sorted(n for n in folders if n not in LEFT_OUT and not n.startswith("config-"))
            for name in sorted(names):
                if name.startswith("_sysconfigdata") or name == "EXTERNALLY-MANAGED":
                    continue
                path = os.path.join(folder, name)
                inside = os.path.relpath(path, stdlib).replace(os.sep, "/")
                if not name.endswith(".py"):
                    continue
                with open(path, "rb") as stream:
                    source = stream.read()
                if inside == "importlib/metadata/__init__.py" and b"@classmethod\n" + CACHES not in source:
                    source = source.replace(CACHES, b"    @classmethod\n" + CACHES)
                try:
                    data = pyc(source, inside)
                except SyntaxError:
                    continue  # lib2to3 carries samples that are wrong on purpose
                member = zipfile.ZipInfo(inside + "c", (1980, 1, 1, 0, 0, 0))
                member.external_attr = 0o644 << 16
                archive.writestr(member, data)
                count += 1
    print(count)


if __name__ == "__main__":
    main(sys.argv[1])
