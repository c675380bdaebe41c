"""A child process that speaks the control protocol and does nothing else. What the app's file says is what it does:

`works`; `broken` (does not import); `locked` (its data is in use); `dies` (once it serves); `hangs` (imports for ever);
`stubborn` (does not end when told to); `stops` (by SIGSTOP); `garbage` (says what is no message). Every step but a ping
is noted in DATA/steps.
"""

import json
import os
import signal
import socket
import sys
import time

control = socket.socket(fileno=os.dup(0))
lines = control.makefile("rb")


def note(step: str) -> None:
    with open(os.path.join(start["settings"]["data"], "steps"), "a") as steps:
        steps.write(f"{start['role']} {start['number']} {os.getpid()} {step}\n")


def say(**message: object) -> None:
    control.sendall(json.dumps(message).encode() + b"\n")


start = json.loads(lines.readline() or sys.exit(0))
assert start["role"] == sys.argv[1]
with open(start["settings"]["app"]) as app:
    does = app.read().strip() if start["role"] == "host" else "works"
if start["broken"]:
    does = "placeholder"
signal.signal(signal.SIGTERM, signal.SIG_IGN)
note(f"started {does}")
if does == "broken":
    frame = {"file": start["settings"]["app"], "line": 3, "name": "<module>"}
    say(
        type="failed",
        kind="app",
        message="app.py does not import",
        raised={"kind": "NameError", "message": "x", "frames": [frame]},
    )
    sys.exit(1)
if does == "hangs":
    time.sleep(600)
if does == "garbage":
    control.sendall(b"hello\n")
    time.sleep(600)
say(type="ready")
for line in lines:
    message = json.loads(line)
    if message["type"] != "ping":
        note(message["type"])
    match message["type"]:
        case "serve" if does == "locked":
            say(type="failed", kind="data", message="DIR is in use")
            sys.exit(1)
        case "serve":
            say(type="serving")
            if does == "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            if does == "stops":
                os.kill(os.getpid(), signal.SIGSTOP)
        case "ping":
            say(type="pong")
        case "ask" if start["role"] == "host":
            say(
                type="answer",
                number=message["number"],
                report={"app": does, "objects": [], "peers": 1, "resident_bytes": 2},
            )
        case "ask" if start["role"] == "backup":
            report = {"target": "t", "doing": "waiting", "behind_seconds": 1, "shipped_bytes": 2, "snapshot": ""}
            say(type="answer", number=message["number"], report={**report, "error": "", "resident_bytes": 3})
        case "ask":
            report = {"sockets": 2, "hosts": 1, "resident_bytes": 4}
            say(type="answer", number=message["number"], report=report)
        case "stop" if does != "stubborn":
            sys.exit(0)
        case "drain" if start["role"] == "host" and does != "stubborn":
            sys.exit(0)
note("orphaned")
