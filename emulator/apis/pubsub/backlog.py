"""One subscription's messages: which are there, which are out, which come again when.

Everything follows from the calls and their instants: a lease that has run out is seen to have when
somebody looks. What else happens then (dead letters) is the broker's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

_HISTORY: Final = 1500  # minutes in which something changed
_OBJECTS_BYTES: Final = 512  # what a message takes beside its texts, in a subscription


def size_of(data: bytes, attributes: Mapping[str, str], ordering_key: str) -> int:
    """What a message of these takes, in bytes, about."""
    words = sum(len(k) + len(v) for k, v in attributes.items())
    return len(data) + words + len(ordering_key) + _OBJECTS_BYTES


@dataclass(frozen=True, slots=True)
class Message:
    """A published message; `serial` counts the project's, `published_at` in Unix seconds."""

    serial: int
    id: str
    data: bytes
    attributes: Mapping[str, str]
    ordering_key: str
    published_at: float

    @property
    def size(self) -> int:
        """Its bytes, about."""
        return size_of(self.data, self.attributes, self.ordering_key)


@dataclass(slots=True)
class Delivery:
    """A message that is not acknowledged yet.

    Attributes:
        attempts: how often it was handed out.
        leased_until: Unix seconds until which it is out; 0: it is not.
        available_at: Unix seconds before which it is not handed out again.
    """

    message: Message
    attempts: int = 0
    leased_until: float = 0.0
    available_at: float = 0.0


@dataclass(slots=True)
class Backlog:
    """The messages of a subscription, in the order in which they were published.

    Attributes:
        pause_s: attempts so far → seconds until a message comes again.
        ordered: whether messages with the same ordering key come one after the other.
        retained: acknowledged messages that are kept.
        history: minute → (messages, when the oldest was published), where it changed.
    """

    pause_s: Callable[[int], float] = lambda _attempts: 0.0
    ordered: bool = False
    unacked: dict[int, Delivery] = field(default_factory=dict[int, Delivery])
    retained: dict[int, Message] = field(default_factory=dict[int, Message])
    history: dict[int, tuple[int, float]] = field(default_factory=dict[int, tuple[int, float]])

    @property
    def bytes(self) -> int:
        """What all of it takes, about."""
        kept = sum(m.size for m in self.retained.values())
        return kept + sum(d.message.size for d in self.unacked.values())

    def forget_before(self, instant: float) -> None:
        """Drop messages that were published before; those that are out as well."""
        for kept in (self.unacked, self.retained):
            for serial in list(kept):
                found = kept[serial]
                message = found.message if isinstance(found, Delivery) else found
                if message.published_at >= instant:
                    break
                del kept[serial]

    def ready_at(self, delivery: Delivery) -> float:
        """From when on a message may be handed out."""
        if delivery.leased_until:
            return delivery.leased_until + self.pause_s(delivery.attempts)
        return delivery.available_at

    def ready(self, now: float) -> Iterator[Delivery]:
        """What may be handed out now, in order.

        Of messages with an ordering key none comes before an earlier one is acknowledged, but
        those that follow one that comes again come again with it.
        """
        taken: dict[str, bool] = {}
        for delivery in self.unacked.values():
            free = self.ready_at(delivery) <= now
            key = delivery.message.ordering_key if self.ordered else ""
            if key:
                free = taken.setdefault(key, free)
            if free:
                yield delivery

    def next_ready(self, now: float) -> float | None:
        """The next instant at which something may be handed out; None: never."""
        if next(self.ready(now), None) is not None:
            return now
        later = (self.ready_at(d) for d in self.unacked.values())
        return min((at for at in later if at > now), default=None)

    def lease(self, now: float, most: int, deadline_s: float, room: int) -> list[Delivery]:
        """Hand out up to `most` messages of `room` bytes together, the first whatever its size."""
        found: list[Delivery] = []
        for delivery in self.ready(now):
            room -= delivery.message.size
            if len(found) >= most or (found and room < 0):
                break
            found.append(delivery)
        for delivery in found:
            delivery.attempts += 1
            delivery.leased_until = now + deadline_s
        return found

    def acknowledge(self, serial: int, *, retain: bool) -> None:
        """Take a message as done."""
        found = self.unacked.pop(serial, None)
        if found is not None and retain:
            self.retained[serial] = found.message

    def give_back(self, delivery: Delivery, now: float) -> None:
        """Have a message come again; with it those that follow it in order."""
        delivery.leased_until = 0.0
        delivery.available_at = now + self.pause_s(delivery.attempts)

    def replace(self, unacked: Iterable[Message], retained: Iterable[Message]) -> None:
        """Have these messages, none of them handed out yet."""
        ordered = sorted(unacked, key=lambda m: m.serial)
        self.unacked = {m.serial: Delivery(m) for m in ordered}
        self.retained = {m.serial: m for m in sorted(retained, key=lambda m: m.serial)}

    def note(self, now: float) -> None:
        """Remember how much there is now."""
        oldest = next(iter(self.unacked.values()), None)
        at = oldest.message.published_at if oldest else now
        self.history.pop(int(now // 60), None)
        self.history[int(now // 60)] = (len(self.unacked), at)
        while len(self.history) > _HISTORY:
            del self.history[next(iter(self.history))]
