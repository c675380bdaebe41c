"""Runs Autobahn|Testsuite's fuzzing client against a gateway, a host and an object that echoes.

    python -m tests.conformance.autobahn --wstest COMMAND [--cases "1.* 7.*"] [--report DIRECTORY]

`make autobahn` installs the suite and calls this. The report is in `DIRECTORY/index.html`. Ends with status 1 when a
case, or its close, is anything but OK or, where the suite expects nothing in particular, INFORMATIONAL.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shlex
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from tests.end_to_end.running import Roost, running

ECHO = Path(__file__).parents[1] / "crash" / "apps" / "echo.py"
AGENT = "roost"
PASSED = frozenset({"OK", "INFORMATIONAL"})


def specification(url: str, cases: list[str], report: Path) -> dict[str, Any]:
    """What the fuzzing client is to do."""
    return {
        "outdir": str(report),
        "servers": [{"agent": AGENT, "url": url}],
        "cases": cases,
        "exclude-cases": [],
        "exclude-agent-cases": {},
    }


def judge(index: dict[str, dict[str, str]]) -> tuple[Counter[str], list[str]]:
    """How many cases ended how, and a line for each that is not as it should be."""
    counts = Counter(result["behavior"] for result in index.values())
    bad = [
        f"case {case}: {result['behavior']}, its close: {result['behaviorClose']}"
        for case, result in sorted(index.items(), key=lambda item: [int(part) for part in item[0].split(".")])
        if not PASSED.issuperset((result["behavior"], result["behaviorClose"]))
    ]
    return counts, bad


async def run(wstest: list[str], cases: list[str], report: Path) -> int:
    with tempfile.TemporaryDirectory() as directory:
        async with running(Roost(Path(directory), ECHO)) as roost:
            spec = Path(directory) / "spec.json"
            spec.write_text(json.dumps(specification(roost.url.replace("http", "ws"), cases, report)))
            process = await asyncio.create_subprocess_exec(
                *wstest, "--mode", "fuzzingclient", "--spec", str(spec), stdout=asyncio.subprocess.DEVNULL
            )
            status = await process.wait()
    if status:
        print(f"the fuzzing client ended with status {status}", file=sys.stderr)
        return 1
    index = json.loads((report / "index.json").read_text()).get(AGENT, {})
    counts, bad = judge(index)
    print("\n".join(bad))
    print(f"{len(index)} cases: " + ", ".join(f"{count} {kind}" for kind, count in counts.most_common()))
    print(f"report: {report / 'index.html'}")
    return 1 if bad or not index else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--wstest", required=True, help="the command that is Autobahn's wstest")
    parser.add_argument("--cases", default="*", help='case numbers with wildcards, such as "1.* 12.1.*"')
    parser.add_argument("--report", type=Path, default=Path("test-artefacts/autobahn"))
    given = parser.parse_args()
    given.report.mkdir(parents=True, exist_ok=True)
    return asyncio.run(run(shlex.split(given.wstest), given.cases.split(), given.report.resolve()))


if __name__ == "__main__":
    sys.exit(main())
