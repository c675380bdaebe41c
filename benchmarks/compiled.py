"""Programs of ours in C, compiled when they are first needed."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

FLAGS = ["-O2", "-Wall", "-Wextra", "-Wno-missing-field-initializers"]


class CompilerMissingError(Exception):
    """There is no C compiler."""


def program(name: str, folder: Path, directory: Path | None = None) -> Path:
    """The path of a program whose sources are all in one folder; compiled anew only when they changed."""
    sources = sorted([*folder.glob("*.c"), *folder.glob("*.h")])
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    made = (directory or Path(tempfile.gettempdir())) / f"{name}-{digest}"
    if not made.exists():
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            raise CompilerMissingError("a C compiler is needed (on Debian: apt-get install gcc libc6-dev)")
        new = made.with_suffix(".new")
        units = [str(path) for path in sources if path.suffix == ".c"]
        subprocess.run([compiler, *FLAGS, "-o", str(new), *units, "-lm"], check=True)
        new.rename(made)
    return made
