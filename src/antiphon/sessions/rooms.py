"""Rooms made ahead of a call by REST: a name and a prompt that a later connection finds."""

import uuid
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from antiphon.clock import Clock
from antiphon.errors import LimitExceeded, NotFound


@dataclass(frozen=True, slots=True)
class Room:
    """A room of the RustPBX media server's REST interface."""

    id: str
    name: str
    system_prompt: str
    created_at: datetime
    metadata: dict[str, Any] = field(default_factory=dict)


class Rooms:
    """The rooms of this process.

    Args:
        limit: Most rooms at once.
        clock: Source of `created_at`.
    """

    def __init__(self, limit: int, clock: Clock):
        self._limit = limit
        self._clock = clock
        self._rooms: dict[str, Room] = {}

    def create(self, name: str, system_prompt: str) -> Room:
        """Make a room.

        Raises:
            LimitExceeded: there are too many.
        """
        if len(self._rooms) >= self._limit:
            raise LimitExceeded(
                f"there are {self._limit} rooms already; delete some", retry_after_s=60
            )
        room = Room(str(uuid.uuid4()), name, system_prompt, self._clock.utc_now())
        self._rooms[room.id] = room
        return room

    def all(self) -> list[Room]:
        """All rooms, oldest first."""
        return list(self._rooms.values())

    def get(self, room_id: str) -> Room:
        """A room by id.

        Raises:
            NotFound: there is none.
        """
        room = self._rooms.get(room_id)
        if room is None:
            raise NotFound("Room not found", code="room_not_found")
        return room

    def find(self, name_or_id: str) -> Room | None:
        """The room that a connection means by `name_or_id`."""
        return self._rooms.get(name_or_id) or next(
            (room for room in self._rooms.values() if room.name == name_or_id), None
        )

    def set_prompt(self, room_id: str, system_prompt: str) -> Room:
        """Change a room's prompt.

        Raises:
            NotFound: there is no such room.
        """
        room = replace(self.get(room_id), system_prompt=system_prompt)
        self._rooms[room_id] = room
        return room

    def delete(self, room_id: str) -> Room:
        """Remove a room.

        Raises:
            NotFound: there is no such room.
        """
        room = self.get(room_id)
        del self._rooms[room_id]
        return room
