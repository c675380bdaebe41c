from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

from roost.supervisor.signals import handled


async def test_signals_are_calls_within_the_block_and_not_afterwards() -> None:
    came = asyncio.Event()
    before = signal.getsignal(signal.SIGUSR1)
    with handled({signal.SIGUSR1: came.set}):
        os.kill(os.getpid(), signal.SIGUSR1)
        await came.wait()
    assert signal.getsignal(signal.SIGUSR1) is before


async def test_a_signal_that_was_ignored_from_the_start_stays_ignored() -> None:
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        with handled({signal.SIGUSR1: lambda: None}):
            assert signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_process_without_a_terminal_knows_it() -> None:
    script = "from roost.supervisor.signals import has_terminal; print(has_terminal())"
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, env=environ, start_new_session=True
    )
    assert ran.stdout == b"False\n"
