from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from roost.config import Settings
from roost.errors import ConfigurationError
from roost.supervisor.deploys import Deploys


class Running:
    def __init__(self, shop: Any) -> None:
        self.shop = shop
        self.read: Settings | ConfigurationError = shop.settings
        self.slots = [shop.slot()]
        self.deploys = Deploys(shop.settings, self.read_settings, shop.told)

    def read_settings(self) -> Settings:
        if isinstance(self.read, Exception):
            raise self.read
        return self.read

    @contextlib.asynccontextmanager
    async def begun(self) -> AsyncIterator[None]:
        for slot in self.slots:
            await slot.begin()
        task = asyncio.create_task(self.deploys.run(self.slots, lambda: 60.0))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})


@pytest.fixture
def running(shop: Any) -> Running:
    return Running(shop)


async def test_a_new_version_takes_the_place_of_the_old_one(running: Running, shop: Any) -> None:
    async with running.begun():
        first = running.slots[0].child
        running.deploys.ask()
        await shop.told.until("note: the new version of app.py serves")
        assert running.slots[0].child is not first


async def test_a_version_that_does_not_import_changes_nothing(running: Running, shop: Any) -> None:
    async with running.begun():
        first = running.slots[0].child
        shop.does("broken")
        running.deploys.ask()
        await shop.told.until("the previous version goes on serving")
        assert running.slots[0].child is first
        shop.does("works")
        running.deploys.ask()
        await shop.told.until("the new version")


async def test_wrong_settings_change_nothing(running: Running, shop: Any) -> None:
    async with running.begun():
        running.read = ConfigurationError("`prot` is not a setting")
        running.deploys.ask()
        line = await shop.told.until("failed")
        assert line == "failed: configuration: `prot` is not a setting: the previous version goes on serving"
        assert len(shop.children) == 1


async def test_settings_of_the_app_are_new_and_those_of_gateways_stay(running: Running, shop: Any) -> None:
    async with running.begun():
        running.read = msgspec.structs.replace(shop.settings, port=9, vars={"A": 1})
        running.deploys.ask()
        await shop.told.until("the new version")
        assert "warn: port changed: that takes effect when roost is started anew" in shop.told.lines
        assert running.deploys.settings.vars == {"A": 1}
        assert running.deploys.settings.port == 8787


async def test_a_newer_version_gives_up_one_that_is_still_being_prepared(running: Running, shop: Any) -> None:
    async with running.begun():
        shop.does("hangs")
        running.deploys.ask()
        hanging = await shop.child(2)
        shop.does("works")
        running.deploys.ask()
        await shop.told.until("the new version")
        assert not hanging.alive
        assert running.slots[0].child is shop.children[2]


async def test_a_failure_in_one_host_leaves_those_that_come_after_it(running: Running, shop: Any) -> None:
    async with running.begun():
        running.slots.append(shop.slot())
        await running.slots[1].begin()
        shop.does("broken")
        running.deploys.ask()
        await shop.told.until("the previous version goes on")
        assert len(shop.children) == 3  # two hosts, and one try
