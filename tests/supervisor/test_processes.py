from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from roost.config import Backup
from roost.supervisor.address import reserve
from roost.supervisor.child import ChildFailedError
from roost.supervisor.messages import Sockets
from roost.supervisor.processes import Processes


@pytest_asyncio.fixture
async def processes(shop: Any, fake: tuple[str, ...]) -> AsyncIterator[Processes]:
    settings = msgspec.structs.replace(shop.settings, hosts=2, gateways=2)
    with contextlib.closing(reserve("127.0.0.1", 0, 2)) as address:
        made = Processes(lambda: settings, address, Sockets(str(shop.data)), shop.told, command=fake)
        yield made
        await made.kill()


async def test_all_hosts_and_gateways_begin_and_are_reported(processes: Processes, shop: Any) -> None:
    await processes.begin()
    report = await processes.report()
    assert report.app == "app.py"
    assert report.url == processes.url
    assert [(p.role, p.number, p.state) for p in report.processes] == [
        ("host", 0, "serving"),
        ("host", 1, "serving"),
        ("gateway", 0, "serving"),
        ("gateway", 1, "serving"),
    ]
    host, gateway = report.processes[0], report.processes[2]
    assert host.host is not None
    assert host.host.app == "works"
    assert gateway.gateway is not None
    assert gateway.gateway.sockets == 2


async def test_a_process_that_is_gone_is_reported_so(processes: Processes, shop: Any) -> None:
    await processes.begin()
    child = processes.gateways[1].child
    assert child is not None
    await child.kill()
    assert (await processes.report()).processes[3].state == "gone"


async def test_hosts_finish_before_gateways_close_their_sockets(processes: Processes, shop: Any) -> None:
    await processes.begin()
    await processes.end(60)
    steps = [(step.split()[0], step.split()[3]) for step in shop.steps()]
    drained = [i for i, step in enumerate(steps) if step == ("host", "drain")]
    stopped = [i for i, step in enumerate(steps) if step == ("gateway", "stop")]
    assert len(drained) == len(stopped) == 2
    assert max(drained) < min(stopped)
    assert steps.count(("gateway", "drain")) == 2
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", int(processes.url.rpartition(":")[2]))


async def test_a_backup_begins_with_the_others_and_ends_after_the_hosts(shop: Any, fake: tuple[str, ...]) -> None:
    settings = msgspec.structs.replace(shop.settings, backup=Backup(target="/copies"))
    with contextlib.closing(reserve("127.0.0.1", 0, 1)) as address:
        processes = Processes(lambda: settings, address, Sockets(str(shop.data)), shop.told, command=fake)
        try:
            await processes.begin()
            backup = (await processes.report()).processes[-1]
            assert (backup.role, backup.state) == ("backup", "serving")
            assert backup.backup is not None
            assert backup.backup.target == "t"
            await processes.end(60)
        finally:
            await processes.kill()
    steps = [(step.split()[0], step.split()[3]) for step in shop.steps()]
    assert steps.index(("host", "drain")) < steps.index(("backup", "stop"))
    assert ("backup", "drain") not in steps


async def test_a_host_that_cannot_begin_ends_the_beginning(processes: Processes, shop: Any) -> None:
    shop.does("broken")
    with pytest.raises(ChildFailedError, match="does not import"):
        await processes.begin()
