"""Network trouble for real: two network namespaces of this machine, and a way between them that delays, loses, shakes
and reorders packets.

    with apart(Trouble(loss=0.05, delay_ms=40, jitter_ms=10, seed=1)) as (near, far):
        near.run(["livekit-server", …])      # a program's argv, to be started in that namespace
        far.address                          # reached from the other one

Linux only, as root. The kernel's own netem does it where there is one (a veth pair); else a relay between two TUN
devices, with the same figures, by a seed. Nothing leaves the machine: a namespace has this one way, and no other.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import random
import selectors
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from heapq import heappop, heappush
from pathlib import Path

from workbench.model.errors import MissingError
from workbench.model.text import plain
from workbench.simulation.network import Trouble

ADDRESSES = ("198.18.77.1", "198.18.77.2")
"""Of a range that is kept for measurements, and routed nowhere."""
DEVICE = "wb0"
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
CLONE_NEWNET = 0x40000000
MTU = 1500
DEEP = 10_000
"""Packets on the way at most; more are lost, as in a router's queue."""


@dataclass(frozen=True, slots=True)
class Namespace:
    """One end."""

    name: str
    address: str

    def run(self, words: Sequence[str]) -> list[str]:
        """The argv that runs a program in it."""
        return ["ip", "netns", "exec", self.name, *words]


def lacking(*, netem: bool = False) -> MissingError | None:
    """Why there can be no namespaces here (or, with `netem`, none of the kernel's own trouble); None if there can."""
    if not shutil.which("ip") or os.geteuid() != 0:
        return MissingError(
            "network namespaces need root, and `ip`", "run it as root, on Linux with iproute2"
        )
    try:
        with _pair() as ends, ExitStack() as made:
            if netem:
                _veth(ends, Trouble(delay_ms=1))
            else:
                _tun(ends, Trouble(), made)
    except MissingError as error:
        return error
    return None


@contextmanager
def apart(trouble: Trouble, *, relayed: bool | None = None) -> Iterator[tuple[Namespace, Namespace]]:
    """Two ends with that trouble in either direction. MissingError, with what is missing, where that can't be.

    `relayed`: through the relay (True), by the kernel's netem (False), or whichever is there.
    """
    if relayed is None:
        relayed = lacking(netem=True) is not None
    with _pair() as ends, ExitStack() as made:
        if relayed:
            _tun(ends, trouble, made)
        else:
            _veth(ends, trouble)
        yield ends


@contextmanager
def _pair() -> Iterator[tuple[Namespace, Namespace]]:
    mark = f"wb-{os.getpid()}-{random.randrange(1 << 24):06x}"
    ends = tuple(Namespace(f"{mark}-{side}", address) for side, address in zip("ab", ADDRESSES, strict=True))
    with ExitStack() as made:
        for end in ends:
            _ip("netns", "add", end.name)
            made.callback(subprocess.run, ["ip", "netns", "del", end.name], check=False, capture_output=True)
            _ip("-n", end.name, "link", "set", "lo", "up")
        yield ends[0], ends[1]


def _ip(*words: str, command: str = "ip") -> None:
    try:
        subprocess.run([command, *words], check=True, capture_output=True, text=True)
    except FileNotFoundError:
        raise MissingError(f"there is no `{command}`", "install iproute2") from None
    except subprocess.CalledProcessError as error:
        said = plain(error.stderr, 200, one_line=True)
        hint = (
            "load it with `modprobe sch_netem`"
            if command == "tc"
            else "is this container allowed namespaces?"
        )
        raise MissingError(f"`{command} {' '.join(words)}` failed: {said}", hint) from None


def _up(end: Namespace) -> None:
    _ip("-n", end.name, "addr", "add", f"{end.address}/30", "dev", DEVICE)
    _ip("-n", end.name, "link", "set", DEVICE, "mtu", str(MTU), "up")
    _ip("-n", end.name, "route", "add", "default", "dev", DEVICE)


def _veth(ends: tuple[Namespace, Namespace], trouble: Trouble) -> None:
    here, there = ends
    pair = ("link", "add", DEVICE, "netns", here.name, "type", "veth", "peer", "name", DEVICE)
    _ip(*pair, "netns", there.name)
    wanted = ["delay", f"{max(trouble.delay_ms, 0.001)}ms", f"{trouble.jitter_ms}ms"]
    wanted += ["loss", f"{trouble.loss * 100}%"]
    if trouble.reorder:  # the kernel's way round: a reordered packet goes at once, the others wait
        wanted += ["reorder", f"{trouble.reorder * 100}%"]
    for end in ends:
        _up(end)
        _ip("-n", end.name, "qdisc", "add", "dev", DEVICE, "root", "netem", *wanted, command="tc")


# --- the relay -------------------------------------------------------------------------------------------------------


def _tun(ends: tuple[Namespace, Namespace], trouble: Trouble, made: ExitStack) -> None:
    devices = []
    for end in ends:
        devices.append(_opened(end))
        made.callback(os.close, devices[-1])
        _up(end)
    over, wake = os.pipe()
    made.callback(os.close, over)
    relay = threading.Thread(target=_relay, args=(devices, over, trouble), name="relay")
    relay.start()
    made.callback(relay.join)
    made.callback(os.close, wake)


def _opened(end: Namespace) -> int:
    """A TUN device in that namespace. A thread of its own goes there, so that nobody else does."""
    found: list[int | OSError] = []

    def go() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        try:
            with Path("/run/netns", end.name).open() as where:
                if libc.setns(where.fileno(), CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
            device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", DEVICE.encode(), IFF_TUN | IFF_NO_PI))
            found.append(device)
        except OSError as error:
            found.append(error)

    thread = threading.Thread(target=go)
    thread.start()
    thread.join()
    (device,) = found
    if isinstance(device, OSError):
        raise MissingError(
            f"there is no TUN device here: {device.strerror}",
            "is /dev/net/tun there, and allowed in this container?",
        )
    return device


def _relay(devices: list[int], over: int, trouble: Trouble) -> None:
    """Carry packets from each device to the other, until `over` is closed."""
    ways = {
        device: (other, way(trouble, trouble.seed * 2 + side))
        for side, (device, other) in enumerate(zip(devices, reversed(devices), strict=True))
    }
    waiting: list[tuple[float, int, int, bytes]] = []
    count = 0
    with selectors.DefaultSelector() as ready:
        for one in (*devices, over):
            ready.register(one, selectors.EVENT_READ)
        while True:
            until_s = waiting[0][0] - time.monotonic() if waiting else None
            for key, _ in ready.select(None if until_s is None else max(0.0, until_s)):
                if key.fd == over:
                    return
                other, delay_s = ways[key.fd]
                packet = os.read(key.fd, MTU + 64)
                after_s = delay_s()
                if after_s is not None and len(waiting) < DEEP:
                    count += 1
                    heappush(waiting, (time.monotonic() + after_s, count, other, packet))
            while waiting and waiting[0][0] <= time.monotonic():
                _, _, to, packet = heappop(waiting)
                try:
                    os.write(to, packet)
                except OSError:  # the other end is full, or not up: a router would drop it too
                    continue


def way(trouble: Trouble, seed: int) -> Callable[[], float | None]:
    """How long the next packet takes, s; None for one that is lost."""
    chance = random.Random(seed)

    def delay_s() -> float | None:
        lost, reordered, shaken = chance.random(), chance.random(), chance.gauss()
        if lost < trouble.loss:
            return None
        extra_ms = trouble.reorder_ms if reordered < trouble.reorder else 0.0
        return max(0.0, trouble.delay_ms + shaken * trouble.jitter_ms + extra_ms) / 1000

    return delay_s
