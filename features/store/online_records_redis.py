"""Online records on a Redis server: a hash a customer with a field a view; the server itself guards every write."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from features.base.errors import StorageFailure, Unreachable
from features.store.online_records import WAIT_S, Block, Layout, Record
from features.store.payload import layout_from, layout_text, payload, values_of

PAGE = 500  # customers in one round trip of whatever is not a read
_BIAS = 2**62  # moments as digits that sort as the moments do, whatever their sign
_DIGITS = 20
_STAMP = 2 * _DIGITS

_MERGE = f"""
local taken = 0
for place = 2, #ARGV, 2 do
  local held = redis.call('HGET', KEYS[1], ARGV[place])
  if not held or string.sub(held, 1, {_STAMP}) <= string.sub(ARGV[place + 1], 1, {_STAMP}) then
    redis.call('HSET', KEYS[1], ARGV[place], ARGV[place + 1])
    taken = taken + 1
  end
end
if taken > 0 then redis.call('ZADD', KEYS[2], 0, ARGV[1]) end
return taken
"""
_DISCARD = f"""
local held = redis.call('HGET', KEYS[1], ARGV[2])
if not held or string.sub(held, 1, {_DIGITS}) > ARGV[3] then return 0 end
redis.call('HDEL', KEYS[1], ARGV[2])
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('ZREM', KEYS[2], ARGV[1]) end
return 1
"""
_DELETE = """
redis.call('ZREM', KEYS[2], ARGV[1])
return redis.call('DEL', KEYS[1])
"""
Command = tuple[str | int, ...]


class RedisRecords:
    """`OnlineRecords` (which describes the methods) on one server: two connections a thread, one with a deadline.

    Parameters
    ----------
    url : ``redis://``, ``rediss://`` or ``unix://``, secrets revealed; never printed
    name : begins every key, so that several stores may share a server
    """

    def __init__(self, url: str, *, name: str) -> None:
        pool = redis.ConnectionPool.from_url(url, protocol=2)
        self._make, self._arguments = pool.connection_class, pool.connection_kwargs
        self._name = name
        self._local = threading.local()
        self._layouts: dict[str, Layout] = {}

    def store_id(self) -> Hashable:
        return self._name

    def read(self, customers: Sequence[str], *, deadline_s: float) -> list[Record]:
        return self._read(customers, deadline_s=deadline_s)

    def write(self, records: Iterable[tuple[str, Record]]) -> int:
        return self._all(
            self._script(
                _MERGE,
                customer,
                *itertools.chain.from_iterable((view, _text(block)) for view, block in record.items()),
            )
            for customer, record in records
        )

    def discard(self, view: str, customers: Iterable[str], *, not_after_us: int) -> int:
        limit = _digits(not_after_us)
        return self._all(self._script(_DISCARD, customer, view, limit) for customer in customers)

    def delete(self, customer: str) -> bool:
        return self._all([self._script(_DELETE, customer)]) > 0

    def scan(self) -> Iterator[tuple[str, Record]]:
        for page in _pages(self._customers()):
            yield from zip(page, self._read(page), strict=True)

    def drop(self, views: Sequence[str]) -> None:
        for view in views:
            self.discard(view, self._customers(), not_after_us=_BIAS - 1)
            (names,) = self._ask([("HKEYS", self._of("facts"))])
            gone = [name for name in names if name.startswith(f"{view}:")]
            if gone:
                self._ask([("HDEL", self._of("facts"), *gone)])

    def put_layout(self, layout: Layout) -> str:
        identity, text = layout_text(layout)
        self._ask([("HSET", self._of("layouts"), identity, text)])
        return identity

    def layout(self, identity: str, *, deadline_s: float | None = None) -> Layout:
        if identity not in self._layouts:
            (text,) = self._ask([("HGET", self._of("layouts"), identity)], deadline_s=deadline_s)
            if text is None:
                raise StorageFailure(
                    "store.layout_missing",
                    "the online store holds rows of an unknown layout",
                    where=self._name,
                    hint="empty it, and fill it again with `nextbest features`",
                )
            self._layouts[identity] = layout_from(text)
        return self._layouts[identity]

    def put_fact(self, name: str, value: str) -> None:
        self._ask([("HSET", self._of("facts"), name, value)])

    def fact(self, name: str, *, deadline_s: float | None = None) -> str | None:
        (value,) = self._ask([("HGET", self._of("facts"), name)], deadline_s=deadline_s)
        return None if value is None else str(value)

    def close(self) -> None:
        for connection in self._connections().values():
            connection.disconnect()
        self._local.__dict__.clear()

    def _of(self, part: str) -> str:
        return f"{self._name}:{part}"

    def _key(self, customer: str) -> str:
        return f"{self._name}:customer:{customer}"

    def _script(self, text: str, customer: str, *arguments: str) -> Command:
        return ("EVAL", text, 2, self._key(customer), self._of("customers"), customer, *arguments)

    def _customers(self) -> Iterator[str]:
        start = "-"
        while True:
            (page,) = self._ask([("ZRANGEBYLEX", self._of("customers"), start, "+", "LIMIT", 0, PAGE)])
            if not page:
                return
            yield from page
            start = f"({page[-1]}"

    def _read(self, customers: Sequence[str], *, deadline_s: float | None = None) -> list[Record]:
        if not customers:
            return []
        answers = self._ask([("HGETALL", self._key(customer)) for customer in customers], deadline_s=deadline_s)
        return [_record(answer) for answer in answers]

    def _all(self, commands: Iterable[Command]) -> int:
        return sum(int(answer) for page in _pages(commands) for answer in self._ask(page))

    def _ask(self, commands: Sequence[Command], *, deadline_s: float | None = None) -> list[Any]:
        """Send commands in one go and return their answers.

        Raises
        ------
        TimeoutError : not all of them came within the deadline that was given
        Unreachable : the server does not answer
        StorageFailure : the server refuses
        """
        longest = WAIT_S if deadline_s is None else deadline_s
        until = time.monotonic() + longest
        connection = self._connection(longest)
        for again in (True, False):
            fresh = not connection.is_connected
            try:
                connection.connect()
                connection.send_packed_command(connection.pack_commands(commands), check_health=False)
                return [connection.read_response(timeout=max(until - time.monotonic(), 0.001)) for _ in commands]
            except redis.TimeoutError:
                connection.disconnect()  # or its late answers would be taken for those of the next commands
                if deadline_s is None:
                    raise _unreachable("does not answer") from None
                raise TimeoutError(f"the online store did not answer within {deadline_s:g} s") from None
            except redis.ConnectionError as error:
                connection.disconnect()
                if again and not fresh:  # a connection from before the server was started again
                    continue
                raise _unreachable(f"cannot be reached ({type(error).__name__})") from None
            except redis.RedisError as error:
                connection.disconnect()
                raise StorageFailure(
                    "store.online_unusable",
                    f"the Redis server of the online store refuses ({type(error).__name__})",
                    where="features/feature_store.yaml",
                    hint="look at its memory, its permissions, and whether another program uses these keys",
                ) from None
        raise _unreachable("went away twice")

    def _connection(self, deadline_s: float) -> Any:
        patient = deadline_s >= WAIT_S
        held = self._connections()
        if patient not in held:
            arguments = {
                "socket_timeout": deadline_s,
                "socket_connect_timeout": deadline_s,
                **self._arguments,
                "retry": Retry(NoBackoff(), 0),
                "decode_responses": True,
                "driver_info": None,  # no command before the first one of ours
            }
            held[patient] = self._make(**arguments)
        return held[patient]

    def _connections(self) -> dict[bool, Any]:
        if getattr(self._local, "process", None) != os.getpid():  # a forked child leaves its parent's alone
            self._local.process, self._local.held = os.getpid(), {}
        held: dict[bool, Any] = self._local.held
        return held


def _unreachable(what: str) -> Unreachable:
    return Unreachable(
        "store.online_unreachable",
        f"the Redis server of the online store {what}",
        where="features/feature_store.yaml",
        hint="check `online_store.url`, and that the server is up",
    )


def _pages(items: Iterable[Any]) -> Iterator[list[Any]]:
    remaining = iter(items)
    while page := list(itertools.islice(remaining, PAGE)):
        yield page


def _digits(moment_us: int) -> str:
    return f"{moment_us + _BIAS:0{_DIGITS}d}"


def _text(block: Block) -> str:
    return f"{_digits(block.event_us)}{_digits(block.created_us)}{block.layout} {payload(block.values)}"


def _record(answer: Sequence[str]) -> Mapping[str, Block]:
    return {view: _block(text) for view, text in zip(answer[::2], answer[1::2], strict=True)}


def _block(text: str) -> Block:
    layout, _, values = text[_STAMP:].partition(" ")
    return Block(
        event_us=int(text[:_DIGITS]) - _BIAS,
        created_us=int(text[_DIGITS:_STAMP]) - _BIAS,
        layout=layout,
        values=values_of(values),
    )
