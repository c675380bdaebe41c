from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from benchmarks.peers import BARE, Peer
from benchmarks.samples import Asked, Crowd, Memory, Opening, Peak, SlowReader, Throughput, Wake
from benchmarks.servers import Server

from benchmarks import load, samples

FAST = load.Latency(count=10, p50=100.0, p90=150.0, p99=200.0, max=300.0)
SLOW = load.Latency(count=10, p50=400.0, p90=500.0, p99=600.0, max=700.0)


class Scripted(Server):
    """A server without processes: what it takes up, and the processor time it used, in turn."""

    def __init__(self, memory: list[int] | None = None, cpu: list[float] | None = None) -> None:
        self.port = 1
        self.memory = memory or []
        self.cpu = cpu or []

    def pids(self) -> list[int]:
        return []

    def memory_bytes(self) -> int:
        return self.memory.pop(0)

    def resident_bytes(self) -> int:
        return self.memory.pop(0)

    def cpu_seconds(self) -> float:
        return self.cpu.pop(0) if self.cpu else 0.0


class Generator:
    """Stands for the load generator: the runs that were asked for, and the results that it gives in turn."""

    def __init__(self, *results: load.Result) -> None:
        self.results = list(results)
        self.runs: list[dict[str, Any]] = []

    def run(self, mode: str, port: int, path: str, core: int, **options: Any) -> load.Result:
        self.runs.append({"mode": mode, "path": path, **options})
        return self.results.pop(0)


def result(latency: load.Latency = FAST, **fields: Any) -> load.Result:
    given = {"seconds": 1.0, "sent": 10, "delivered": 10, "arrived": 10, "per_second": 1000.0, **fields}
    kept: dict[str, Any] = {
        "lost": 0,
        "doubled": 0,
        "disordered": 0,
        "altered": 0,
        "closed": 0,
        "trouble": "",
        "generator_busy": 0.5,
    }
    return load.Result(held=True, latency_us=latency, **given, **kept)


@pytest.fixture
def generator(monkeypatch: pytest.MonkeyPatch) -> Generator:
    found = Generator()
    monkeypatch.setattr(load, "run", found.run)
    monkeypatch.setattr(samples, "settle", lambda servers: None)
    return found


def asked(server: Server | None = None, number: int = 0, peer: Peer = BARE) -> Asked:
    return Asked(server or Scripted(), "/echo?room=*", number, 2.0, peer, {})


def test_a_rate_counts_what_its_row_counts_and_has_the_processor_time_of_one(generator: Generator) -> None:
    generator.results = [result(per_second=3000.0, arrived=30)]
    found = Throughput("broadcast", {"connections": 8, "rooms": 2}, per=3).sample(asked(Scripted(cpu=[1.0, 1.3])))
    assert found["figure"] == 1000.0
    assert found["cpu_us"] == pytest.approx(30_000.0)
    assert generator.runs[0]["seconds"] == 2.0


def test_a_server_with_few_rooms_keeps_its_sockets_for_an_echo_and_the_size_of_rooms_for_a_broadcast() -> None:
    few = asked(peer=BARE._replace(rooms_max=4))
    assert Throughput("echo", {"connections": 64, "rooms": 64}).shape_for(few) == {"connections": 64, "rooms": 4}
    assert Throughput("broadcast", {"connections": 200, "rooms": 50}).shape_for(few) == {"connections": 16, "rooms": 4}
    assert Throughput("broadcast", {"connections": 100, "rooms": 1}).shape_for(few) == {"connections": 100, "rooms": 1}


def test_cold_rooms_are_other_ones_in_every_round(generator: Generator) -> None:
    generator.results = [result(), result(), result()]
    cold = Opening("cold", 500, 500)
    cold.first(asked())
    for number in (0, 1):
        cold.sample(asked(number=number))
    begun, *rounds = (run["first_room"] for run in generator.runs)
    assert rounds == [0, 500]
    assert begun > 500 * 100


def test_memory_is_shared_out_among_the_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[dict[str, int]] = []

    class Idle:
        def __init__(self, port: int, path: str, core: int, **shape: int) -> None:
            shapes.append(shape)

        def __enter__(self) -> None: ...
        def __exit__(self, *exception: object) -> None: ...

    monkeypatch.setattr(load, "Idle", Idle)
    monkeypatch.setattr(samples, "settle", lambda servers: None)
    peer = BARE._replace(sleep_seconds=0.0)
    assert Memory(100, 20).sample(asked(Scripted([1_000, 151_000]), peer=peer))["figure"] == 1_500
    few = peer._replace(sockets_max=50)
    assert Memory(100, 20).sample(asked(Scripted([1_000, 151_000]), peer=few))["figure"] == 3_000
    assert [(shape["connections"], shape["rooms"]) for shape in shapes] == [(100, 20), (50, 10)]


def test_waking_costs_what_it_takes_more_than_a_message_to_one_awake(generator: Generator) -> None:
    generator.results = [result(SLOW, latency_awake_us=FAST)]
    assert Wake(10).sample(asked())["figure"] == 300.0


def test_objects_that_did_not_sleep_are_an_error(generator: Generator) -> None:
    generator.results = [result(SLOW, latency_awake_us=FAST)]
    with pytest.raises(load.LoadError, match="of 11 sleepers only 10"):
        Wake(11).sample(asked())


def test_a_slow_reader_is_measured_by_what_the_others_feel(generator: Generator) -> None:
    generator.results = [result(FAST), result(SLOW)]
    found = SlowReader(100, 10, 64, 1).sample(asked(Scripted(memory=[1_000] * 100)))
    assert found["figure"] == 3.0
    assert [run["deaf"] for run in generator.runs] == [0, 1]


def test_a_crowd_is_measured_by_its_last_member(generator: Generator) -> None:
    generator.results = [result(FAST, latency_last_us=SLOW)]
    assert Crowd(100, 1, 1).sample(asked())["figure"] == 600.0


def test_the_peak_of_memory_is_the_most_that_was_seen_above_the_first() -> None:
    peak = Peak(Scripted(memory=[100, 250, 180]))
    waits = iter([False, False, False, True])
    cast(Any, peak)._ended = SimpleNamespace(wait=lambda _: next(waits), set=lambda: None)
    cast(Any, peak)._server.memory.append(120)
    with peak:
        cast(Any, peak)._thread.join()
    assert peak.grown == 150
