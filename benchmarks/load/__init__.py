"""The load generator, compiled when it is first needed, and its answers as values."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import compiled

HERE = Path(__file__).parent


class Latency(msgspec.Struct):
    """Microseconds."""

    count: int
    p50: float
    p90: float
    p99: float
    max: float


class Result(msgspec.Struct):
    """One run. `arrived` counts the warm-up too, `sent` and `delivered` do not. `per_second`
    counts deliveries; `generator_busy` is the share of one core that the generator took. `latency_last_us` is, of a
    message to a room, that of the member that got it last."""

    held: bool
    seconds: float
    sent: int
    delivered: int
    arrived: int
    per_second: float
    latency_us: Latency
    lost: int
    doubled: int
    disordered: int
    altered: int
    closed: int
    trouble: str
    generator_busy: float
    latency_awake_us: Latency | None = None
    latency_last_us: Latency | None = None


class LoadError(Exception):
    """The generator could not run, or a check of it failed; the message is what it said."""


def build(directory: Path | None = None) -> Path:
    """The path of the compiled generator; compiled anew only when its source changed."""
    try:
        return compiled.program("roost-load", HERE, directory)
    except compiled.CompilerMissingError as error:
        raise LoadError(f"the load generator: {error}") from error


def command(mode: str, port: int, path: str, core: int | None = None, **options: Any) -> list[str]:
    """The command line of a run; `warm_up=2` becomes `--warm-up 2`."""
    pinned = ["taskset", "-c", str(core)] if core is not None else []
    flags = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    return [*pinned, str(build()), mode, "--port", str(port), "--path", path, *flags]


def run(mode: str, port: int, path: str, core: int | None = None, **options: Any) -> Result:
    """Run to the end. Raises LoadError when it cannot, or when a message was lost, doubled, disordered or altered."""
    done = subprocess.run(command(mode, port, path, core, **options), capture_output=True, text=True, check=False)
    return _judged(done.returncode, done.stdout, done.stderr)


def _judged(status: int, output: str, errors: str) -> Result:
    if status == 1 or not output:
        raise LoadError(_told(errors) or f"the generator ended with status {status}")
    result = msgspec.json.decode(output, type=Result)
    if not result.held:
        raise LoadError(f"{result.trouble}: {output.strip()}")
    return result


def _told(errors: str) -> str:
    return errors.strip().removeprefix("load: ")


class Idle:
    """Open connections that do nothing until the end of the `with` block; then one member of each room says something.

    Leaving the block raises LoadError when a connection was closed meanwhile, or when not every member of every room
    got what was said.
    """

    def __init__(self, port: int, path: str, core: int | None = None, **options: Any) -> None:
        self._command = command("idle", port, path, core, **options)

    def __enter__(self) -> Idle:
        pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        self._process = subprocess.Popen(self._command, text=True, **pipes)
        assert self._process.stdout is not None
        if not self._process.stdout.readline():
            raise LoadError(
                f"the connections could not be opened: {self._process.communicate()[1].strip().removeprefix('load: ')}"
            )
        return self

    def __exit__(self, kind: object, *exception: object) -> None:
        output, errors = self._process.communicate()
        if kind is None:
            _judged(self._process.returncode, output, errors)
