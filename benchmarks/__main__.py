"""`python -m benchmarks [QUESTION...]`: ask those questions, or all, and write the answers to `benchmarks/results`.

`python -m benchmarks table [ROW...]` fills the table of roost beside its peers, and
`python -m benchmarks install [PEER...]` puts what they need below their folders.
"""

from __future__ import annotations

import importlib
import signal
import subprocess
import sys
from pathlib import Path

from benchmarks import peers, report, table

QUESTIONS = ("echo", "broadcast", "put_then_broadcast", "storage_put")
"""Asked of the whole system."""
PARTS = (
    "turns",
    "link",
    "storage",
    "storage_sql",
    "storage_start",
    "host",
    "storage_history",
    "storage_backup",
    "storage_alarms",
)
"""Asked of one room of the source; these print their answers."""


def main(names: list[str]) -> None:
    known = [name for name in (*QUESTIONS, *PARTS) if (Path(__file__).parent / f"{name}.py").exists()]
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.exit(f"no such question: {', '.join(unknown)}; there are {', '.join(known)}")
    for name in names or known:
        print(name, file=sys.stderr)
        if name in QUESTIONS:
            importlib.import_module(f"benchmarks.{name}").main()
        else:
            ask_part(name)
    if not names:
        table.main([])


def ask_part(name: str) -> None:
    """Run it in a process of its own, and keep what it prints."""
    script = Path(__file__).parent / f"{name}.py"
    command = [sys.executable, "-m", f"benchmarks.{name}"]
    done = subprocess.run(command, cwd=report.ROOT, stdout=subprocess.PIPE, text=True, check=True)
    title = script.read_text(encoding="utf-8").removeprefix('"""').splitlines()[0]
    page = report.Page(name, title)
    page.text(f"What `python -m benchmarks.{name}` printed:")
    page.text(f"```text\n{done.stdout.rstrip()}\n```")
    print(page.write())


def install(names: list[str]) -> None:
    known = {peer.name: peer for peer in peers.PEERS if peer.folder is not None}
    if unknown := [name for name in names if name not in known]:
        sys.exit(f"no such peer: {', '.join(unknown)}; there are {', '.join(known)}")
    for name in names or known:
        print(f"installing {name}", file=sys.stderr)
        peers.install(known[name])


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped
    match sys.argv[1:]:
        case ["table", *arguments]:
            table.main(arguments)
        case ["install", *names]:
            install(names)
        case names:
            main(names)
