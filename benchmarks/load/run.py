"""Measures the servers one after the other and prints them side by side."""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import httpx
import psutil
from rich.console import Console
from rich.table import Table

from antiphon.cli.caller.server_process import free_port
from benchmarks.load.asterisk_caller import POSITIONS_PATH, AsteriskCallers
from benchmarks.load.callers import (
    FRAME_SECS,
    PERIOD_FRAMES,
    Caller,
    call_frames,
    make_callers,
    place,
)

TRANSPORTS = {
    "rustpbx": "/ws/rustpbx?output=binary",
    "asterisk": "/ws/asterisk",
    "browser": "/api/realtime/pipecat/ws/{name}?sample_rate=16000",
    "pcm": "/ws/pcm?sample_rate=16000",
}
"""Paths of Antiphon; the audio of all of them is PCM16 at 16 kHz in frames of 20 ms."""

STOCK_SERVERS = ("stock", "stock-smart-turn")
WARM_UP_SECS = 6.0
LATE_MS = 60.0
ASK_EVERY_SECS = 0.1


@dataclass(frozen=True)
class Target:
    """What is measured: a server, and where it is called."""

    server: str
    transport: str

    @property
    def path(self) -> str:
        """Of the WebSocket; `{name}` stands for the caller's name."""
        return TRANSPORTS[self.transport] if self.server == "antiphon" else "/ws"


@dataclass
class Figures:
    """One server under one load."""

    server: str
    transport: str
    calls: int
    cpu_ms_per_call_second: float
    core_percent: float
    rss_mb_per_call: float
    lateness_p50_ms: float
    lateness_p99_ms: float
    answers_per_call: float
    position_error_p50_ms: float | None
    position_error_p99_ms: float | None

    @property
    def holds(self) -> bool:
        """Whether play-out is good enough to count as a held call."""
        return self.lateness_p99_ms < LATE_MS and self.answers_per_call > 0


def _percentile(values: list[float], percent: float) -> float:
    ordered = sorted(values) or [0.0]
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def _rounded_percentile(values: list[float], percent: float) -> float | None:
    return round(_percentile(values, percent), 1) if values else None


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


@contextmanager
def _server(kind: str, port: int) -> Iterator[psutil.Process]:
    command = [sys.executable, "-m", "benchmarks.load.server", kind, str(port)]
    process = subprocess.Popen(command)
    try:
        yield psutil.Process(process.pid)
    finally:
        process.kill()
        process.wait()


async def measure(target: Target, calls: int, seconds: float) -> Figures:
    """Start the server, load it, take its figures, stop it."""
    port = free_port()
    channels = AsteriskCallers()
    is_asterisk = target.transport == "asterisk"
    with _server(target.server, port) as server:
        await _ready(port)
        idle_rss = server.memory_info().rss
        stop = asyncio.Event()
        callers = make_callers(f"ws://127.0.0.1:{port}{target.path}", calls)
        call = channels.call if is_asterisk else call_frames
        calling = asyncio.ensure_future(place(callers, call, stop))
        await asyncio.sleep(WARM_UP_SECS + calls * 0.1)
        before, began = server.cpu_times(), time.monotonic()
        await asyncio.sleep(seconds)
        after, took = server.cpu_times(), time.monotonic() - began
        rss = server.memory_info().rss
        if is_asterisk:
            await _compare_positions(port, channels, callers)
        stop.set()
        await calling
    cpu = (after.user + after.system) - (before.user + before.system)
    heard = [caller.heard for caller in callers]
    late = [value for one in heard for value in one.lateness_ms]
    wrong = [value for one in heard for value in one.position_error_ms]
    return Figures(
        server=target.server,
        transport=target.transport,
        calls=calls,
        cpu_ms_per_call_second=round(cpu * 1000 / took / calls, 1),
        core_percent=round(cpu / took * 100, 1),
        rss_mb_per_call=round((rss - idle_rss) / calls / 1e6, 2),
        lateness_p50_ms=round(_percentile(late, 50), 1),
        lateness_p99_ms=round(_percentile(late, 99), 1),
        answers_per_call=round(statistics.mean(one.answers for one in heard), 1),
        position_error_p50_ms=_rounded_percentile(wrong, 50),
        position_error_p99_ms=_rounded_percentile(wrong, 99),
    )


async def _compare_positions(port: int, channels: AsteriskCallers, callers: list[Caller]) -> None:
    """Ask the server for a period of the callers what was heard; CPU is measured before."""
    by_name = {caller.name: caller for caller in callers}
    answers: list[tuple[str, float, float]] = []
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        for _ in range(round(PERIOD_FRAMES * FRAME_SECS / ASK_EVERY_SECS)):
            response = await client.get(f"http://127.0.0.1:{port}{POSITIONS_PATH}")
            answers += response.raise_for_status().json()
            await asyncio.sleep(ASK_EVERY_SECS)
    for name, at, heard_ms in answers:
        channels.compare(by_name[name], at, heard_ms)


async def _ramp(target: Target, seconds: float, step: int) -> list[Figures]:
    results: list[Figures] = []
    calls = step
    while True:
        results.append(await measure(target, calls, seconds))
        if not results[-1].holds or calls >= 200:
            return results
        calls += step


def _show(results: list[Figures]) -> None:
    table = Table(title="One core; zero-cost services; 16 kHz in 20 ms frames")
    titles = ("calls", "CPU ms/call-s", "core %", "MB/call", "late p50/p99", "heard error")
    for title in ("server", *titles):
        table.add_column(title, justify="left" if title == "server" else "right")
    for item in results:
        table.add_row(
            f"{item.server} {item.transport}",
            str(item.calls),
            f"{item.cpu_ms_per_call_second:.1f}",
            f"{item.core_percent:.0f}",
            f"{item.rss_mb_per_call:.2f}",
            _pair(item.lateness_p50_ms, item.lateness_p99_ms),
            _pair(item.position_error_p50_ms, item.position_error_p99_ms),
        )
    Console().print(table)


def _pair(p50: float | None, p99: float | None) -> str:
    return "" if p50 is None or p99 is None else f"{p50:.1f} {p99:.1f}"


def _targets(servers: str, transports: str) -> list[Target]:
    """What to measure.

    Raises:
        SystemExit: a name is unknown.
    """
    targets: list[Target] = []
    for server in servers.split(","):
        if server == "antiphon":
            targets += [Target(server, transport) for transport in transports.split(",")]
        elif server in STOCK_SERVERS:
            targets.append(Target(server, ""))
        else:
            known = ", ".join(("antiphon", *STOCK_SERVERS))
            raise SystemExit(f"--servers: {server!r} is unknown; use {known}")
    for target in targets:
        if target.transport and target.transport not in TRANSPORTS:
            known = ", ".join(TRANSPORTS)
            raise SystemExit(f"--transports: {target.transport!r} is unknown; use {known}")
    return targets


def _run(targets: list[Target], calls: list[int], seconds: float, rounds: int) -> list[Figures]:
    """All targets under each load, so that what is compared was measured one after the other."""
    runs: dict[tuple[Target, int], list[Figures]] = {}
    for number in calls:
        for _ in range(rounds):
            for target in targets:
                figures = asyncio.run(measure(target, number, seconds))
                runs.setdefault((target, number), []).append(figures)
    return [_median_run(runs[target, number]) for target in targets for number in calls]


def _median_run(runs: list[Figures]) -> Figures:
    ordered = sorted(runs, key=lambda one: one.cpu_ms_per_call_second)
    return ordered[(len(ordered) - 1) // 2]


def main() -> None:
    """`python -m benchmarks`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", default="4,8", help="numbers of calls at once")
    parser.add_argument("--seconds", type=float, default=15, help="measured time of each")
    parser.add_argument("--servers", default=",".join(("antiphon", *STOCK_SERVERS)))
    parser.add_argument(
        "--transports", default="rustpbx", help=f"of antiphon, of {','.join(TRANSPORTS)}"
    )
    parser.add_argument(
        "--rounds", type=int, default=1, help="repeat; the run of median CPU counts"
    )
    parser.add_argument("--ramp", type=int, default=0, metavar="STEP", help="until it fails")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    targets = _targets(options.servers, options.transports)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    if options.ramp:
        results: list[Figures] = []
        for target in targets:
            results += asyncio.run(_ramp(target, options.seconds, options.ramp))
    else:
        calls = [int(number) for number in options.calls.split(",")]
        results = _run(targets, calls, options.seconds, options.rounds)
    if options.json:
        print(json.dumps([asdict(item) for item in results], indent=2))
    else:
        _show(results)
