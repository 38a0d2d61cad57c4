"""What an identity costs a Python program, beside the raw rates of this machine; `./dev bench python` runs it.

A real server and a real service on loopback. Prints one line a figure, with its goal, and JSON with `--json`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from live import LiveServer, Program
from trustwarden import AgentIdentity, Limits, TrustWardenError
from trustwarden.contact import parse_origin
from trustwarden.tls import PeerCheck
from trustwarden.transport import HttpsCall, Pool

SCOPE = ["read:transactions", "write:reports"]
WARM_UP = {"full": 2000, "quick": 400}
"""Calls before any is counted, as in `guard` of `./dev bench`: server and service compile what they run often."""

RETRY_SECONDS = 0.02
"""A decision that came too late, as when a disk stalls, is asked for again, on the clock, as in `./dev bench`."""

WARM_UP_CREATES = {"full": 150, "quick": 40}
"""Identities before any is counted, as in `create` of `./dev bench`."""


def timed(calls: int, call: Callable[[], object]) -> dict[str, float]:
    """Milliseconds of a call, one at a time."""
    taken: list[float] = []
    for _ in range(calls):
        began = time.perf_counter()
        call()
        taken.append((time.perf_counter() - began) * 1000)
    taken.sort()
    return {"p50": statistics.median(taken), "p99": taken[min(len(taken) - 1, int(len(taken) * 0.99))]}


def fsync_ms(calls: int) -> dict[str, float]:
    """The machine's own durable write, which every decision waits for."""
    with tempfile.NamedTemporaryFile(dir=Path.cwd()) as file:

        def write() -> None:
            file.write(b"x" * 1024)
            file.flush()
            os.fsync(file.fileno())

        return timed(calls, write)


def memory_mb() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def measure_creates(
    live: LiveServer, orchestrator: AgentIdentity, calls: int, warm_up: int
) -> dict[str, dict[str, float]]:
    """`create` with a live parent, and with a ticket, which makes first contact each time."""
    children: list[AgentIdentity] = []
    numbers = iter(range(10**9))

    def child() -> None:
        name = f"child-{next(numbers)}"
        children.append(AgentIdentity.create(name=name, scope=["read:transactions"], parent=orchestrator.id))

    tickets = [live.ticket("by-ticket", SCOPE) for _ in range(calls + warm_up)]

    def by_ticket() -> None:
        children.append(AgentIdentity.create(name="by-ticket", ticket=tickets.pop()))

    for warm in (child, by_ticket):
        timed(warm_up, warm)
    results = {"create (parent)": timed(calls, child), "create (ticket)": timed(calls, by_ticket)}
    for one in children:
        one.close()
    return results


def processor_ms(pid: int) -> float:
    """Processor time of all threads of a process that live, as the scheduler counts it."""
    total = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            total += int((thread / "schedstat").read_text().split()[0])
    return total / 1e6


def measure_processor(calls: int, call: Callable[[], object], pids: dict[str, int]) -> dict[str, float]:
    """Milliseconds of processor time a call in each process, which other work on the machine changes less."""
    before = {name: processor_ms(pid) for name, pid in pids.items()}
    for _ in range(calls):
        call()
    return {name: (processor_ms(pid) - before[name]) / calls for name, pid in pids.items()}


def measure_calls(
    orchestrator: AgentIdentity, service: str, calls: int, warm_up: int, pids: dict[str, int]
) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """The same request, bare and guarded, and an act, over open connections; and what the guarded one costs."""
    url = f"{service}/transactions"
    bare = Pool(PeerCheck(lambda: orchestrator._place.server.bundle, lambda _: True))
    origin = parse_origin(service)

    def ask() -> None:
        bare.send(HttpsCall(origin, "GET", "/.well-known/trustwarden-routes", {})).read(1 << 20)

    def visit() -> None:
        while (answer := orchestrator.fetch(url)).status_code != 200:
            assert answer.status_code == 503, answer.text
            time.sleep(RETRY_SECONDS)

    def act() -> None:
        while True:
            try:
                with orchestrator.act("write:reports", "file://reports/q3"):
                    return
            except TrustWardenError as error:
                if error.code != "lease_expired":
                    raise
                time.sleep(RETRY_SECONDS)

    for warm in (ask, visit, act):
        timed(warm_up, warm)
    processor = measure_processor(calls, visit, pids)
    results = {"bare request": timed(calls, ask), "guarded request": timed(calls, visit), "act": timed(calls, act)}
    bare.close()
    return results, processor


def measure_crowd(orchestrator: AgentIdentity, count: int) -> dict[str, float]:
    """A crowd of sub-agents in one process: made one after the other, then each acts once."""
    before = memory_mb()
    began = time.perf_counter()
    crowd = [
        orchestrator.spawn(name="member", scope=["read:transactions"], limits={"depth": 0, "fan_out": 0})
        for _ in range(count)
    ]
    made = time.perf_counter() - began
    after = memory_mb()
    began = time.perf_counter()
    for member in crowd:
        with member.act("read:transactions", "db://transactions"):
            pass
    acted = time.perf_counter() - began
    with_connections = memory_mb()
    for member in crowd:
        member.close()
    return {
        "seconds": made,
        "MB": after - before,
        "act_seconds": acted,
        "MB_with_connections": with_connections - before,
    }


def main() -> None:
    """Measures, prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    calls, crowd = (50, 100) if options.quick else (300, 1000)
    effort = "quick" if options.quick else "full"
    warm_up = WARM_UP[effort]
    live = LiveServer()
    finance: Program | None = None
    try:
        finance = live.start_finance()
        limits: Limits = {"depth": 3, "fan_out": 10_000, "budget": None}
        ticket = live.ticket("bench", SCOPE, limits=limits)
        with AgentIdentity.create(name="bench", ticket=ticket) as orchestrator:
            results: dict[str, dict[str, float]] = {"fsync of 1 KiB": fsync_ms(calls)}
            results |= measure_creates(live, orchestrator, calls, WARM_UP_CREATES[effort])
            pids = {"agent": os.getpid(), "service": finance.pid, "server": live.pid}
            guarded, processor = measure_calls(orchestrator, str(finance.ready["url"]), calls, warm_up, pids)
            results |= guarded
            members = measure_crowd(orchestrator, crowd)
    finally:
        if finance is not None:
            finance.close()
        live.close()
    report(results, processor, members, crowd, as_json=options.json)


def report(
    results: dict[str, dict[str, float]],
    processor: dict[str, float],
    members: dict[str, float],
    crowd: int,
    *,
    as_json: bool,
) -> None:
    """Prints the figures with their machine."""
    above = results["guarded request"]["p50"] - results["bare request"]["p50"]
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    machine = (
        f"Python {platform.python_version()}, server on Node {node}, {os.cpu_count()} cores, "
        f"httpx {httpx.__version__}, load {os.getloadavg()[0]:.1f}"
    )
    if as_json:
        figures = {"guarded_above_bare_ms": above, "guarded_processor_ms": processor, "crowd": members}
        print(json.dumps({"machine": machine, "ms": results, **figures}))
        return
    print(machine)
    for name, figures in results.items():
        print(f"{name:<18} p50 {figures['p50']:7.2f} ms   p99 {figures['p99']:7.2f} ms")
    print(f"create p50 {results['create (parent)']['p50']:.2f} ms (goal 10)")
    print(f"guarded above bare, p50 {above:.2f} ms (goal 3)")
    print("processor time of a guarded call, ms: " + ", ".join(f"{name} {ms:.2f}" for name, ms in processor.items()))
    print(f"{crowd} sub-agents: made in {members['seconds']:.1f} s, {members['MB']:.0f} MB more")
    print(
        f"one act each in {members['act_seconds']:.1f} s, {members['MB_with_connections']:.0f} MB more with connections"
    )


if __name__ == "__main__":
    main()
