"""The event log in Redis Streams: a script appends new events in one step; the worker holds a lease that expires.

How durable a confirmed append is depends on the server: with ``appendonly yes`` and ``appendfsync always`` it survives
a loss of power, with ``everysec`` all but the last second does, without ``appendonly`` only the last dump survives the
end of the server. A kill of our processes loses nothing in any case.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import redis

from features.base.errors import Unreachable
from features.streaming.event import AcceptedEvent
from features.streaming.event_log import Appended, DeadLetter, Entry, Key, LeaseLost, WorkerPosition, tombstone_of

TIMEOUT_S = 5.0
LEASE_MS = 10_000  # so long other workers wait for one that was killed
PART = 1000  # while a script runs the server answers nobody; so many events take a few milliseconds

# The names of keys are part of the stored format: `aside` holds the dead letters, `barred` the tombstones.
# KEYS: stream, ids, last (seq and known_us), aside, order of aside, barred
# ARGV: at_us, number of events, then (feed\x1fid, its digest, payload) each;
#       number of dead letters, then (key, document) each; keys replayed
_APPEND = """
local at, n = tonumber(ARGV[1]), tonumber(ARGV[2])
local seq = tonumber(redis.call('HGET', KEYS[3], 'seq') or '0')
local last = tonumber(redis.call('HGET', KEYS[3], 'known_us') or '0')
local place, taken = 3, 0
for _ = 1, n do
  if redis.call('SISMEMBER', KEYS[6], ARGV[place + 1]) == 0
    and redis.call('HSETNX', KEYS[2], ARGV[place], string.format('%.0f', seq + 1)) == 1 then
    seq, last, taken = seq + 1, math.max(at, last + 1), taken + 1
    redis.call('XADD', KEYS[1], string.format('%.0f-0', seq),
      'known_us', string.format('%.0f', last), 'payload', ARGV[place + 2])
  end
  place = place + 3
end
redis.call('HSET', KEYS[3], 'seq', string.format('%.0f', seq), 'known_us', string.format('%.0f', last))
local m = tonumber(ARGV[place])
place = place + 1
for _ = 1, m do
  if redis.call('HSETNX', KEYS[4], ARGV[place], ARGV[place + 1]) == 1 then
    redis.call('RPUSH', KEYS[5], ARGV[place])
  end
  place = place + 2
end
for i = place, #ARGV do
  redis.call('HDEL', KEYS[4], ARGV[i])
  redis.call('LREM', KEYS[5], 1, ARGV[i])
end
return taken
"""
# KEYS: stream, ids, aside, order of aside · ARGV: number of entries, then feed\x1fid each; keys of dead letters
_REMOVE = """
local last, taken = tonumber(ARGV[1]) + 1, 0
for i = 2, last do
  local seq = redis.call('HGET', KEYS[2], ARGV[i])
  if seq then
    taken = taken + redis.call('XDEL', KEYS[1], seq .. '-0')
    redis.call('HDEL', KEYS[2], ARGV[i])
  end
end
for i = last + 1, #ARGV do
  redis.call('HDEL', KEYS[3], ARGV[i])
  redis.call('LREM', KEYS[4], 1, ARGV[i])
end
return taken
"""
# KEYS: lease, place · ARGV: token, seq, stamp
_SET_POSITION = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[2], 'seq', ARGV[2], 'stamp', ARGV[3])
return 1
"""
# KEYS: lease · ARGV: token, milliseconds
_ACQUIRE = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class RedisLog:
    """An `EventLog` on a Redis server.

    Parameters
    ----------
    client : decodes nothing
    name : of the log; several may share a server
    """

    def __init__(self, client: redis.Redis, *, name: str = "nextbest") -> None:
        self._redis: Any = client
        self._keys = {part: f"{{{name}:streaming}}:{part}" for part in _PARTS}  # in a cluster all lie on one node
        self._token = secrets.token_hex(16)

    @classmethod
    def at(cls, address: str, *, name: str = "nextbest") -> RedisLog:
        """Return the log on the server at an address (``redis://`` or ``rediss://``)."""
        client = redis.Redis.from_url(address, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)
        return cls(client, name=name)

    def append(
        self,
        events: Sequence[AcceptedEvent],
        dead_letters: Sequence[DeadLetter] = (),
        *,
        at_us: int,
        replayed: Sequence[str] = (),
    ) -> Appended:
        """See `EventLog`; more than a thousand events are several steps."""
        accepted = 0
        for start in range(0, max(len(events), 1), PART):
            part, last = events[start : start + PART], start + PART >= len(events)
            accepted += self._append(part, dead_letters if last else (), at_us, replayed if last else ())
        return Appended(accepted, len(events) - accepted)

    def _append(
        self, events: Sequence[AcceptedEvent], dead_letters: Sequence[DeadLetter], at_us: int, replayed: Sequence[str]
    ) -> int:
        values: list[str | bytes | int] = [at_us, len(events)]
        for event in events:
            values += [f"{event.feed}\x1f{event.id}", tombstone_of(event.feed, event.id), event.to_json()]
        values.append(len(dead_letters))
        for one in dead_letters:
            values += [one.key, json.dumps(asdict(one))]
        keys = [self._keys[part] for part in ("stream", "ids", "last", "aside", "aside_order", "barred")]
        with _explained():
            return int(self._redis.eval(_APPEND, len(keys), *keys, *values, *replayed))

    def read(self, *, after: int, limit: int) -> list[Entry]:
        """See `EventLog`."""
        with _explained():
            rows = self._redis.xrange(self._keys["stream"], min=f"{after + 1}-0", count=limit)
        return [
            Entry(int(name.split(b"-")[0]), int(row[b"known_us"]), AcceptedEvent.from_json(row[b"payload"].decode()))
            for name, row in rows
        ]

    def remove(self, keys: Sequence[Key], *, dead_letters: Sequence[str] = (), tombstones: Sequence[Key] = ()) -> int:
        """See `EventLog`; a thousand at a time. The server's own file holds them until it is next rewritten."""
        names = [self._keys[part] for part in ("stream", "ids", "aside", "aside_order")]
        for start in range(0, len(tombstones), PART):
            digests = [tombstone_of(*key) for key in tombstones[start : start + PART]]
            with _explained():
                self._redis.sadd(self._keys["barred"], *digests)
        gone = 0
        for start in range(0, max(len(keys), 1), PART):
            part, last = keys[start : start + PART], start + PART >= len(keys)
            entries = [f"{feed}\x1f{identity}" for feed, identity in part]
            with _explained():
                more = dead_letters if last else ()
                gone += int(self._redis.eval(_REMOVE, len(names), *names, len(part), *entries, *more))
        return gone

    def last(self) -> int:
        """See `EventLog`."""
        with _explained():
            return int(self._redis.hget(self._keys["last"], "seq") or 0)

    def dead_letters(self, reasons: Sequence[str] = ()) -> list[DeadLetter]:
        """See `EventLog`."""
        with _explained():
            order = self._redis.lrange(self._keys["aside_order"], 0, -1)
            found = self._redis.hmget(self._keys["aside"], order) if order else []
        stored = [DeadLetter(**json.loads(document)) for document in found if document is not None]
        return [one for one in stored if not reasons or one.reason in reasons]

    def position(self) -> WorkerPosition:
        """See `EventLog`."""
        with _explained():
            seq, digest = self._redis.hmget(self._keys["place"], "seq", "stamp")
        return WorkerPosition(int(seq or 0), (digest or b"").decode())

    def set_position(self, position: WorkerPosition) -> None:
        """See `EventLog`."""
        keys = [self._keys["lease"], self._keys["place"]]
        with _explained():
            if not self._redis.eval(_SET_POSITION, 2, *keys, self._token, position.seq, position.digest):
                raise LeaseLost

    def acquire_lease(self) -> bool:
        """See `EventLog`."""
        with _explained():
            return bool(self._redis.eval(_ACQUIRE, 1, self._keys["lease"], self._token, LEASE_MS))

    def release_lease(self) -> None:
        """See `EventLog`."""
        with _explained():
            self._redis.eval(_RELEASE, 1, self._keys["lease"], self._token)

    def close(self) -> None:
        """See `EventLog`."""
        self._redis.close()


_PARTS = ("stream", "ids", "last", "aside", "aside_order", "barred", "lease", "place")


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except redis.RedisError as error:
        raise Unreachable(
            "streaming.log_unreachable",
            f"the Redis server of the event log does not answer ({type(error).__name__})",
            where="features/feeds.yaml",
            hint="check `event_log: address`; events that were not confirmed may be sent again, each is stored once",
        ) from error
