"""Measures the servers one after the other and prints them side by side."""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass

import httpx
import psutil
from rich.console import Console
from rich.table import Table

from antiphon.cli.caller.server_process import free_port
from benchmarks.load.callers import place

SERVERS = {
    "antiphon": "/ws/rustpbx?output=binary",
    "stock": "/ws",
    "stock-smart-turn": "/ws",
}
WARM_UP_SECS = 6.0
LATE_MS = 60.0


@dataclass
class Figures:
    """One server under one load."""

    server: str
    calls: int
    cpu_ms_per_call_second: float
    core_percent: float
    rss_mb_per_call: float
    lateness_p50_ms: float
    lateness_p99_ms: float
    answers_per_call: float

    @property
    def holds(self) -> bool:
        """Whether play-out is good enough to count as a held call."""
        return self.lateness_p99_ms < LATE_MS and self.answers_per_call > 0


def _percentile(values: list[float], percent: float) -> float:
    ordered = sorted(values) or [0.0]
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


async def _ready(port: int) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        for _ in range(300):
            try:
                await client.get(f"http://127.0.0.1:{port}/health")
            except httpx.TransportError:
                await asyncio.sleep(0.1)
            else:
                return
    raise SystemExit("the server did not start")


async def measure(kind: str, calls: int, seconds: float) -> Figures:
    """Start the server, load it, take its figures, stop it."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.load.server", kind, str(port)]
    process = await asyncio.to_thread(subprocess.Popen, command)
    try:
        await _ready(port)
        server = psutil.Process(process.pid)
        idle_rss = server.memory_info().rss
        stop = asyncio.Event()
        callers = asyncio.ensure_future(place(f"ws://127.0.0.1:{port}{SERVERS[kind]}", calls, stop))
        await asyncio.sleep(WARM_UP_SECS + calls * 0.1)
        before, began = server.cpu_times(), time.monotonic()
        await asyncio.sleep(seconds)
        after, took = server.cpu_times(), time.monotonic() - began
        rss = server.memory_info().rss
        stop.set()
        heard = await callers
    finally:
        process.kill()
        process.wait()
    cpu = (after.user + after.system) - (before.user + before.system)
    late = [value for one in heard for value in one.lateness_ms]
    return Figures(
        server=kind,
        calls=calls,
        cpu_ms_per_call_second=round(cpu * 1000 / took / calls, 1),
        core_percent=round(cpu / took * 100, 1),
        rss_mb_per_call=round((rss - idle_rss) / calls / 1e6, 2),
        lateness_p50_ms=round(_percentile(late, 50), 1),
        lateness_p99_ms=round(_percentile(late, 99), 1),
        answers_per_call=round(statistics.mean(one.answers for one in heard), 1),
    )


async def _ramp(kind: str, seconds: float, step: int) -> list[Figures]:
    results: list[Figures] = []
    calls = step
    while True:
        results.append(await measure(kind, calls, seconds))
        if not results[-1].holds or calls >= 200:
            return results
        calls += step


def _show(results: list[Figures]) -> None:
    table = Table(title="One core; zero-cost services; 16 kHz in 20 ms frames")
    for title in ("server", "calls", "CPU ms/call-s", "core %", "MB/call", "late p50", "late p99"):
        table.add_column(title, justify="left" if title == "server" else "right")
    for item in results:
        table.add_row(
            item.server,
            str(item.calls),
            f"{item.cpu_ms_per_call_second:.1f}",
            f"{item.core_percent:.0f}",
            f"{item.rss_mb_per_call:.2f}",
            f"{item.lateness_p50_ms:.1f}",
            f"{item.lateness_p99_ms:.1f}",
        )
    Console().print(table)


def main() -> None:
    """`python -m benchmarks`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", default="4,8", help="numbers of calls at once")
    parser.add_argument("--seconds", type=float, default=15, help="measured time of each")
    parser.add_argument("--servers", default=",".join(SERVERS))
    parser.add_argument("--ramp", type=int, default=0, metavar="STEP", help="until it fails")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    results: list[Figures] = []
    for kind in options.servers.split(","):
        if options.ramp:
            results += asyncio.run(_ramp(kind, options.seconds, options.ramp))
        else:
            for calls in options.calls.split(","):
                results.append(asyncio.run(measure(kind, int(calls), options.seconds)))
    if options.json:
        print(json.dumps([asdict(item) for item in results], indent=2))
    else:
        _show(results)
