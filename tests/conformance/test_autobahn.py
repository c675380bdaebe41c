"""The runner of Autobahn|Testsuite, without the suite."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from tests.conformance import autobahn

PASS = {"behavior": "OK", "behaviorClose": "OK"}


@pytest.mark.parametrize(
    ("behavior", "close", "good"),
    [
        ("OK", "OK", True),
        ("INFORMATIONAL", "INFORMATIONAL", True),
        ("NON-STRICT", "OK", False),
        ("FAILED", "OK", False),
        ("UNIMPLEMENTED", "OK", False),
        ("OK", "FAILED", False),
        ("OK", "WRONG CODE", False),
        ("OK", "UNCLEAN", False),
    ],
)
def test_a_case_passes_only_when_all_of_it_is_as_it_should_be(behavior: str, close: str, good: bool) -> None:
    counts, bad = autobahn.judge({"1.1.1": PASS, "6.4.3": {"behavior": behavior, "behaviorClose": close}})
    assert (bad == []) == good
    assert sum(counts.values()) == 2


def test_cases_are_listed_in_the_order_of_their_numbers() -> None:
    failed = {"behavior": "FAILED", "behaviorClose": "OK"}
    _, bad = autobahn.judge({"12.1.10": failed, "2.10": failed, "12.1.9": failed, "2.9": failed})
    assert [line.split(":")[0].removeprefix("case ") for line in bad] == ["2.9", "2.10", "12.1.9", "12.1.10"]


@pytest.mark.parametrize(
    ("written", "status"), [({"1.1.1": PASS}, 0), ({}, 1), ({"1.1.1": PASS | {"behavior": "X"}}, 1)]
)
async def test_the_status_is_that_of_the_report(
    written: dict[str, dict[str, str]], status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client = tmp_path / "client.py"
    client.write_text(
        "import json, pathlib, sys\n"
        "spec = json.loads(pathlib.Path(sys.argv[-1]).read_text())\n"
        "assert sys.argv[1:4] == ['--mode', 'fuzzingclient', '--spec']\n"
        "assert spec['cases'] == ['1.*', '7.1.1'] and spec['servers'][0]['url'].startswith('ws://127.0.0.1:')\n"
        f"pathlib.Path(spec['outdir'], 'index.json').write_text({json.dumps({autobahn.AGENT: written})!r})\n"
    )
    ended = await autobahn.run([sys.executable, str(client)], ["1.*", "7.1.1"], tmp_path)
    assert ended == status
    assert f"{len(written)} cases" in capsys.readouterr().out


async def test_a_fuzzing_client_that_fails_is_no_report(tmp_path: Path) -> None:
    assert await autobahn.run([sys.executable, "-c", "raise SystemExit(3)"], ["*"], tmp_path) == 1
