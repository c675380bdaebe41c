from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from roost.errors import DataDirectoryError
from roost.limits import Limits
from roost.supervisor.address import AddressError, reserve
from roost.supervisor.child import ChildFailedError
from roost.supervisor.control_socket import ask
from roost.supervisor.data_directory import claim
from roost.supervisor.supervisor import StoppedError, Supervisor


@contextlib.contextmanager
def held(lock: Path) -> Iterator[None]:
    with open(lock, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Runs:
    """Makes supervisors over fake children."""

    def __init__(self, shop: Any, command: tuple[str, ...]) -> None:
        self.shop = shop
        self.command = command
        self.recovered: list[Path] = []

    def make(self, *, reload: bool = False, **settings: Any) -> Supervisor:
        return Supervisor(
            msgspec.structs.replace(self.shop.settings, port=0, **settings),
            self.shop.told,
            recover=lambda data, hosts: self.recovered.append(data),
            reload=reload,
            command=self.command,
            sleep=self.shop.sleep,
        )

    @contextlib.asynccontextmanager
    async def serving(self, **settings: Any) -> AsyncIterator[tuple[Supervisor, asyncio.Task[None]]]:
        supervisor = self.make(**settings)
        task = asyncio.create_task(supervisor.run())
        before = sum("serving app.py on" in line for line in self.shop.told.lines)
        serving = asyncio.create_task(self.shop.told.until("serving app.py on http://127.0.0.1:", before + 1))
        await asyncio.wait({task, serving}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
        yield supervisor, task
        if not task.done():
            supervisor.stop()
            await task


@pytest.fixture
def runs(shop: Any, fake: tuple[str, ...]) -> Runs:
    return Runs(shop, fake)


async def test_it_serves_until_it_is_told_to_stop(runs: Runs, shop: Any) -> None:
    async with runs.serving() as (supervisor, task):
        report = await ask(shop.data)
        assert [process.state for process in report.processes] == ["serving", "serving"]
        assert report.pid == os.getpid()
        supervisor.stop()
        await task
    assert [step.split()[3] for step in shop.steps() if step.startswith("host")] == ["started", "serve", "ask", "drain"]
    claim(shop.data).close()  # the lock is free again


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_it_in_order(runs: Runs, number: signal.Signals) -> None:
    async with runs.serving() as (_, task):
        os.kill(os.getpid(), number)
        await task


async def test_a_second_request_to_stop_kills_everything(runs: Runs, shop: Any) -> None:
    shop.does("stubborn")
    async with runs.serving() as (supervisor, task):
        supervisor.stop()
        supervisor.stop()
        with pytest.raises(StoppedError, match="every process was killed"):
            await task
    claim(shop.data).close()


async def test_a_stop_during_the_beginning_stops_too(runs: Runs, shop: Any) -> None:
    shop.does("hangs")
    supervisor = runs.make()
    task = asyncio.create_task(supervisor.run())
    await shop.until_step("started hangs")
    supervisor.stop()
    await task
    assert not any("serving" in line for line in shop.told.lines)


async def test_an_app_that_does_not_import_ends_a_run_before_it_serves(runs: Runs, shop: Any) -> None:
    shop.does("broken")
    with pytest.raises(ChildFailedError, match=r"app\.py does not import"):
        await runs.make().run()
    assert not any("serving" in line for line in shop.told.lines)
    claim(shop.data).close()


async def test_in_development_an_app_that_does_not_import_waits_to_be_mended(runs: Runs, shop: Any) -> None:
    shop.does("broken")
    async with runs.serving(reload=True) as (supervisor, _):
        assert "failed: app: app.py does not import: clients get status 503 until it is mended" in shop.told.lines
        shop.does("works")
        supervisor.deploy()
        await shop.told.until("the new version of app.py serves")


async def test_in_development_a_saved_file_is_a_deploy(runs: Runs, shop: Any) -> None:
    async with runs.serving(reload=True):
        shop.app.write_text("works")
        await shop.told.until("the new version of app.py serves")
        assert "note: app.py changed" in shop.told.lines


async def test_sighup_replaces_the_hosts_and_not_the_gateways(runs: Runs, shop: Any) -> None:
    async with runs.serving(hosts=2):
        before = {(p.role, p.number): p.pid for p in (await ask(shop.data)).processes}
        os.kill(os.getpid(), signal.SIGHUP)
        await shop.told.until("the new version of app.py serves")
        after = {(p.role, p.number): p.pid for p in (await ask(shop.data)).processes}
    assert {key for key in before if before[key] != after[key]} == {("host", 0), ("host", 1)}


async def test_a_process_that_dies_is_started_again(runs: Runs, shop: Any) -> None:
    async with runs.serving():
        for process in (await ask(shop.data)).processes:
            os.kill(process.pid, signal.SIGKILL)
            await shop.told.until(f"{process.role} 0 (process {process.pid}) was killed by SIGKILL")


async def test_a_second_roost_on_the_same_data_is_refused(runs: Runs, shop: Any) -> None:
    async with runs.serving():
        with pytest.raises(DataDirectoryError, match="in use by another roost"):
            await runs.make().run()


async def test_a_port_in_use_is_refused_before_anything_starts(runs: Runs, shop: Any) -> None:
    with contextlib.closing(reserve("127.0.0.1", 0, 1)) as taken:
        supervisor = Supervisor(
            msgspec.structs.replace(shop.settings, port=taken.port), shop.told, recover=lambda data, hosts: None
        )
        with pytest.raises(AddressError, match=f"port {taken.port} is in use"):
            await supervisor.run()
    assert shop.steps() == []


async def test_too_few_descriptors_for_the_databases_are_told(runs: Runs, shop: Any) -> None:
    async with runs.serving(limits=Limits(open_databases_max=1_000_000_000)):
        assert any("1000000000 open databases may need" in line for line in shop.told.lines)


async def test_another_number_of_hosts_has_the_data_recovered_first(runs: Runs, shop: Any) -> None:
    async with runs.serving(hosts=2):
        pass
    async with runs.serving(hosts=2):
        assert runs.recovered == []
    async with runs.serving(hosts=1):
        assert runs.recovered == [shop.data]
    async with runs.serving(hosts=1):
        assert runs.recovered == [shop.data]


async def test_hosts_that_a_killed_supervisor_left_behind_are_waited_for(runs: Runs, shop: Any) -> None:
    lock = shop.data / "hosts" / "0" / "lock"
    lock.parent.mkdir(parents=True)
    lock.write_text("")
    with held(lock):
        task = asyncio.create_task(runs.make().run())
        await shop.told.until("waiting for host 0 of the roost before this one to finish")
        with pytest.raises(DataDirectoryError, match="host 0 of an earlier roost uses"):
            await task
    assert shop.steps() == []
    async with runs.serving():
        pass
