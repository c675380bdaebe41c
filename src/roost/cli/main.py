"""The command `roost`: what it can be told, and how errors end it."""

from __future__ import annotations

import asyncio
import importlib.metadata
import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from roost.cli.alarms import alarms
from roost.cli.backup import backup
from roost.cli.check import check
from roost.cli.export import export
from roost.cli.history import history
from roost.cli.import_ import import_
from roost.cli.new import make_app
from roost.cli.options import App, Data, data_of, option
from roost.cli.ps import render, with_alarms, with_quarantine
from roost.cli.repair import repair
from roost.cli.restore import restore
from roost.cli.restore_backup import restore_backup
from roost.cli.serving import serve_until_stopped
from roost.cli.terminal import Terminal, tables
from roost.clock import SystemClock
from roost.config import Settings, load
from roost.errors import RoostError, StorageError
from roost.node.alarm_list import read_alarms_of
from roost.storage.recovery.quarantine import Quarantine
from roost.supervisor.control_socket import ask

CANNOT = 2

cli = typer.Typer(
    name="roost",
    help="Durable objects for Python: one live instance per id, with its own storage and WebSockets.",
    epilog="Settings come from `[tool.roost]` in pyproject.toml, `ROOST_*` in the environment, and flags.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


Host = Annotated[str | None, option("ADDRESS", "Where to listen; 0.0.0.0 is every address.", "127.0.0.1")]
Port = Annotated[int | None, option("PORT", "0 takes a free one.", 8787)]
Gateways = Annotated[int | None, option("N", "Processes that hold clients' connections.", 1)]
Hosts = Annotated[int | None, option("N", "Processes that run your objects.", 1)]
LogLevel = Annotated[str | None, option("LEVEL", "debug, info, warning or error.", "info")]


@cli.command()
def run(
    app: App = None,
    host: Host = None,
    port: Port = None,
    gateways: Gateways = None,
    hosts: Hosts = None,
    data: Data = None,
    log_level: LogLevel = None,
) -> None:
    """Serve an app.

    Ctrl-C or SIGTERM stops it in order, a second time at once. SIGHUP puts a new version of the app in the place of
    the old one, with every hibernating socket open.
    """
    flags = _flags(host=host, port=port, gateways=gateways, hosts=hosts, data=data, log_level=log_level)
    _serve(app, flags, reload=False)


@cli.command()
def dev(
    app: App = None,
    host: Host = None,
    port: Port = None,
    gateways: Gateways = None,
    hosts: Hosts = None,
    data: Data = None,
    log_level: LogLevel = None,
) -> None:
    """Serve an app while you write it.

    Saving a file replaces the app, with every hibernating socket open. While it does not import, the traceback is
    shown and the version before it goes on serving.
    """
    flags = _flags(host=host, port=port, gateways=gateways, hosts=hosts, data=data, log_level=log_level)
    _serve(app, flags, reload=True)


@cli.command()
def ps(
    app: App = None,
    data: Data = None,
    json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
) -> None:
    """Show what runs.

    Processes, objects that are awake and what keeps them so, sockets, and what was metered.
    """
    where = data_of(app, data)
    report = asyncio.run(ask(where))
    ids = [one.id for process in report.processes if process.host for one in process.host.objects]
    try:
        report = with_quarantine(with_alarms(report, read_alarms_of(where, ids)), Quarantine(where).cases())
    except StorageError as error:
        Terminal().warn(f"alarms are not shown: {error}")
    if json:
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    else:
        tables().print(render(report, now_ms=SystemClock().now_ms()))


@cli.command()
def new(directory: Annotated[Path, typer.Argument(metavar="DIR", help="Made where it is not there.")]) -> None:
    """Make a small app that works, to begin with."""
    for path in make_app(directory):
        sys.stdout.write(f"{path}\n")
    sys.stdout.write(f"Now: roost dev {directory}\n")


# One line for each command that has a module of its own.
cli.command()(alarms)
cli.command()(export)
cli.command("import")(import_)
cli.command()(backup)
cli.command()(restore_backup)
cli.command()(history)
cli.command()(restore)
cli.command()(check)
cli.command()(repair)


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"roost {version()}\n")
        raise typer.Exit


@cli.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Durable objects for Python: one live instance per id, with its own storage and WebSockets."""


def version() -> str:
    """Of the package that is installed."""
    try:
        return importlib.metadata.version("roost")
    except importlib.metadata.PackageNotFoundError:
        return "from a source tree that is not installed"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the status of the process: 0 as asked, 2 where it could not begin."""
    try:
        cli(arguments, prog_name="roost")
    except RoostError as error:
        Terminal().error_line(str(error))
        return CANNOT
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    return 0


def _flags(**given: Any) -> dict[str, Any]:
    return given


def _serve(app: str | None, flags: dict[str, Any], *, reload: bool) -> None:
    def read_settings() -> Settings:
        return load(app, flags=flags)

    raise typer.Exit(serve_until_stopped(read_settings, Terminal(), reload=reload))
