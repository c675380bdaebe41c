"""`roost new`: a small app that works, to begin with."""

from __future__ import annotations

from pathlib import Path

from roost.errors import ConfigurationError

STARTER = Path(__file__).parent / "starter"


def make_app(directory: Path) -> list[Path]:
    """Write the starter into the directory, made where it is not there; the files, in the order of their names.

    Raises ConfigurationError when one of them is there already, or nothing can be written; then nothing is.
    """
    sources = sorted(source for source in STARTER.rglob("*") if source.is_file() and source.suffix != ".pyc")
    targets = {directory / source.relative_to(STARTER): source for source in sources}
    for target in targets:
        if target.exists():
            raise ConfigurationError(
                f"{target} is there already; choose a directory without it, as in `roost new my-app`"
            )
    try:
        for target, source in targets.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{directory} cannot be written to: {error.strerror} ({error.filename})") from error
    return list(targets)
