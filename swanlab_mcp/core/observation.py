"""Events emitted by the client. Other modules turn the events into metrics and traces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["CacheRead", "Event", "Observer", "SentRequest", "notify", "observe", "stop_observing"]


@dataclass(frozen=True)
class SentRequest:
    """One HTTP request to SwanLab.

    `endpoint` contains no names or ids, `status` is 0 if no response arrived, and `started` is in Unix seconds.
    """

    method: str
    endpoint: str
    status: int
    started: float
    seconds: float


@dataclass(frozen=True)
class CacheRead:
    """A lookup in the response cache."""

    is_hit: bool


Event = SentRequest | CacheRead
Observer = Callable[[Event], None]

# a set, because servers in one process share their observers
_observers: set[Observer] = set()


def observe(observer: Observer) -> None:
    """Register `observer` to be called with every subsequent event. The observer must not block or raise."""
    _observers.add(observer)


def stop_observing(observer: Observer) -> None:
    _observers.discard(observer)


def notify(event: Event) -> None:
    for observer in tuple(_observers):
        observer(event)
