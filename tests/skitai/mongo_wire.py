"""A server that speaks the wire protocol of MongoDB (OP_MSG) and keeps its data in mongomock.

It stands in for ``mongod`` where there is none. The real driver talks to it over a real socket;
what it answers is as good as mongomock is. ``python mongo_wire.py PORT [USER PASSWORD]`` runs it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import struct
import sys
from datetime import datetime, timezone
from typing import Any

import bson
import mongomock
from mongo_scram import ScramExchange, ScramUser
from pymongo.errors import OperationFailure, PyMongoError

OP_REPLY, OP_QUERY, OP_MSG = 1, 2004, 2013
_SLEEP = re.compile(r"sleep\((\d+)\)")
_OPEN = {"hello", "ismaster", "ping", "saslstart", "saslcontinue", "buildinfo", "endsessions"}


class CommandError(Exception):
    """A command that fails; becomes ``{ok: 0}``."""

    def __init__(self, code: int, name: str, text: str) -> None:
        super().__init__(text)
        self.document = {"ok": 0.0, "code": code, "codeName": name, "errmsg": text}


class Server:
    """All databases, cursors and users.

    Parameters:
        user: who may do more than shake hands; None: everybody.
    """

    def __init__(self, user: ScramUser | None = None) -> None:
        self.client = mongomock.MongoClient()
        self.user = user
        self.cursors: dict[int, tuple[str, list[Any]]] = {}
        self.ids = itertools.count(1)

    async def serve(self, port: int) -> None:
        server = await asyncio.start_server(self._connected, "127.0.0.1", port)
        print("ready", flush=True)
        await server.serve_forever()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = Session(self)
        with contextlib.suppress(OSError, EOFError):
            while True:
                head = await reader.readexactly(16)
                length, request, _, opcode = struct.unpack("<iiii", head)
                body = await reader.readexactly(length - 16)
                answer = await session.answer(opcode, request, body)
                if answer:
                    writer.write(answer)
                    await writer.drain()
        writer.close()


class Session:
    """One connection: who it belongs to, and what it asks."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.known = server.user is None
        self.scram: ScramExchange | None = None

    async def answer(self, opcode: int, request: int, body: bytes) -> bytes | None:
        if opcode == OP_QUERY:  # the first greeting
            start = body.index(b"\0", 4) + 9
            document = bson.encode(await self.run(bson.decode(body[start:])))
            payload = struct.pack("<iqii", 8, 0, 0, 1) + document
            return struct.pack("<iiii", 16 + len(payload), 0, request, OP_REPLY) + payload
        (flags,) = struct.unpack_from("<I", body)
        document = bson.encode(await self.run(read_sections(body[4:])))
        if flags & 2:  # more to come: nobody waits for an answer
            return None
        payload = struct.pack("<IB", 0, 0) + document
        return struct.pack("<iiii", 16 + len(payload), 0, request, OP_MSG) + payload

    async def run(self, command: dict[str, Any]) -> dict[str, Any]:
        name = next(iter(command))
        try:
            if not self.known and name.lower() not in _OPEN:
                raise CommandError(13, "Unauthorized", f"command {name} requires authentication")
            method = getattr(self, f"do_{name.lower()}", None)
            if method is None:
                raise CommandError(59, "CommandNotFound", f"no such command: '{name}'")
            await pause(command.get("filter"))
            return {"ok": 1.0, **method(command)}
        except CommandError as exc:
            return exc.document
        except (PyMongoError, NotImplementedError, TypeError, ValueError) as exc:
            code = getattr(exc, "code", None) or 2
            return {"ok": 0.0, "code": code, "codeName": "BadValue", "errmsg": str(exc)}

    # -- hands are shaken

    def do_hello(self, command: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {
            "helloOk": True,
            "ismaster": True,
            "isWritablePrimary": True,
            "maxBsonObjectSize": 16777216,
            "maxMessageSizeBytes": 48000000,
            "maxWriteBatchSize": 100000,
            "localTime": datetime.now(timezone.utc),
            "logicalSessionTimeoutMinutes": 30,
            "connectionId": next(self.server.ids),
            "minWireVersion": 0,
            "maxWireVersion": 21,
            "readOnly": False,
        }
        if "saslSupportedMechs" in command:
            found["saslSupportedMechs"] = ["SCRAM-SHA-256"]
        return found

    do_ismaster = do_hello

    def do_ping(self, _: dict[str, Any]) -> dict[str, Any]:
        return {}

    def do_endsessions(self, _: dict[str, Any]) -> dict[str, Any]:
        return {}

    def do_buildinfo(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"version": "7.0.0", "versionArray": [7, 0, 0, 0]}

    def do_saslstart(self, command: dict[str, Any]) -> dict[str, Any]:
        user = self.server.user
        if user is None or command["$db"] != user.database:
            raise CommandError(18, "AuthenticationFailed", "Authentication failed.")
        self.scram = ScramExchange(user)
        return self._sasl(command, self.scram.first)

    def do_saslcontinue(self, command: dict[str, Any]) -> dict[str, Any]:
        assert self.scram is not None
        return self._sasl(command, self.scram.final)

    def _sasl(self, command: dict[str, Any], step: Any) -> dict[str, Any]:
        payload = step(bytes(command["payload"]))
        if payload is None:
            raise CommandError(18, "AuthenticationFailed", "Authentication failed.")
        assert self.scram is not None
        self.known = self.scram.done
        return {"conversationId": 1, "done": self.known, "payload": payload}

    # -- reading

    def collection(self, command: dict[str, Any]) -> Any:
        return self.server.client[command["$db"]][command[next(iter(command))]]

    def do_find(self, command: dict[str, Any]) -> dict[str, Any]:
        found = self.collection(command).find(
            without_sleep(command.get("filter")),
            command.get("projection"),
            skip=command.get("skip", 0),
            limit=abs(command.get("limit", 0)),
            sort=list(command["sort"].items()) if "sort" in command else None,
        )
        return self.cursor(command, list(found), command.get("batchSize", 101))

    def do_aggregate(self, command: dict[str, Any]) -> dict[str, Any]:
        found = list(self.collection(command).aggregate(command["pipeline"]))
        return self.cursor(command, found, command.get("cursor", {}).get("batchSize", 101))

    def do_listindexes(self, command: dict[str, Any]) -> dict[str, Any]:
        indexes = self.collection(command).index_information()
        rows = [{**info, "name": name, "key": dict(info["key"])} for name, info in indexes.items()]
        return self.cursor(command, rows, 101)

    def do_listcollections(self, command: dict[str, Any]) -> dict[str, Any]:
        names = self.server.client[command["$db"]].list_collection_names()
        rows = [{"name": name, "type": "collection", "options": {}} for name in names]
        return self.cursor(command, rows, 101)

    def cursor(self, command: dict[str, Any], rows: list[Any], size: int) -> dict[str, Any]:
        space = f"{command['$db']}.{command[next(iter(command))]}"
        first, rest = rows[:size], rows[size:]
        number = 0
        if rest and not command.get("singleBatch"):
            number = next(self.server.ids)
            self.server.cursors[number] = (space, rest)
        return {"cursor": {"id": bson.Int64(number), "ns": space, "firstBatch": first}}

    def do_getmore(self, command: dict[str, Any]) -> dict[str, Any]:
        number = command["getMore"]
        if number not in self.server.cursors:
            raise CommandError(43, "CursorNotFound", f"cursor id {number} not found")
        space, rows = self.server.cursors[number]
        size = command.get("batchSize", 10_000)
        batch, rest = rows[:size], rows[size:]
        self.server.cursors[number] = (space, rest)
        if not rest:
            del self.server.cursors[number]
            number = 0
        return {"cursor": {"id": bson.Int64(number), "ns": space, "nextBatch": batch}}

    def do_killcursors(self, command: dict[str, Any]) -> dict[str, Any]:
        for number in command["cursors"]:
            self.server.cursors.pop(number, None)
        return {"cursorsKilled": command["cursors"]}

    def do_serverstatus(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"metrics": {"cursor": {"open": {"total": len(self.server.cursors)}}}}

    def do_distinct(self, command: dict[str, Any]) -> dict[str, Any]:
        values = self.collection(command).distinct(command["key"], command.get("query"))
        return {"values": values}

    def do_count(self, command: dict[str, Any]) -> dict[str, Any]:
        return {"n": self.collection(command).count_documents(command.get("query", {}))}

    # -- writing

    def do_insert(self, command: dict[str, Any]) -> dict[str, Any]:
        return self._write(command, "documents", lambda into, one: bool(into.insert_one(one)))

    def do_delete(self, command: dict[str, Any]) -> dict[str, Any]:
        def delete(where: Any, one: dict[str, Any]) -> int:
            method = where.delete_one if one["limit"] else where.delete_many
            return int(method(one["q"]).deleted_count)

        return self._write(command, "deletes", delete)

    def do_update(self, command: dict[str, Any]) -> dict[str, Any]:
        modified, upserted = 0, []

        def update(where: Any, one: dict[str, Any]) -> int:
            nonlocal modified
            change, upsert = one["u"], one.get("upsert", False)
            if not next(iter(change), "").startswith("$"):
                done = where.replace_one(one["q"], change, upsert)
            elif one.get("multi"):
                done = where.update_many(one["q"], change, upsert)
            else:
                done = where.update_one(one["q"], change, upsert)
            modified += done.modified_count
            if done.upserted_id is not None:
                upserted.append({"index": 0, "_id": done.upserted_id})
                return 1
            return int(done.matched_count)

        answer = self._write(command, "updates", update)
        answer["nModified"] = modified
        if upserted:
            answer["upserted"] = upserted
        return answer

    def _write(self, command: dict[str, Any], key: str, write: Any) -> dict[str, Any]:
        changed, errors = 0, []
        where = self.collection(command)
        for index, one in enumerate(command[key]):
            try:
                changed += write(where, one)
            except OperationFailure as exc:  # noqa: PERF203  # each document for itself
                errors.append({"index": index, "code": exc.code, "errmsg": str(exc)})
                if command.get("ordered", True):
                    break
        return {"n": changed, **({"writeErrors": errors} if errors else {})}

    def do_findandmodify(self, command: dict[str, Any]) -> dict[str, Any]:
        where = self.collection(command)
        options: dict[str, Any] = {"projection": command.get("fields")}
        if "sort" in command:
            options["sort"] = list(command["sort"].items())
        if command.get("remove"):
            return {"value": where.find_one_and_delete(command["query"], **options)}
        change = command["update"]
        replaces = not next(iter(change), "").startswith("$")
        method = where.find_one_and_replace if replaces else where.find_one_and_update
        options.update(
            upsert=command.get("upsert", False), return_document=command.get("new", False)
        )
        return {"value": method(command["query"], change, **options)}

    def do_create(self, command: dict[str, Any]) -> dict[str, Any]:
        self.server.client[command["$db"]].create_collection(command["create"])
        return {}

    def do_drop(self, command: dict[str, Any]) -> dict[str, Any]:
        self.collection(command).drop()
        return {}

    def do_dropdatabase(self, command: dict[str, Any]) -> dict[str, Any]:
        self.server.client.drop_database(command["$db"])
        return {}

    def do_renamecollection(self, command: dict[str, Any]) -> dict[str, Any]:
        database, _, name = command["renameCollection"].partition(".")
        self.server.client[database][name].rename(command["to"].partition(".")[2])
        return {}

    def do_createindexes(self, command: dict[str, Any]) -> dict[str, Any]:
        for index in command["indexes"]:
            keys = list(index["key"].items())
            unique = index.get("unique", False)
            self.collection(command).create_index(keys, name=index["name"], unique=unique)
        return {"numIndexesBefore": 1, "numIndexesAfter": 2}

    def do_dropindexes(self, command: dict[str, Any]) -> dict[str, Any]:
        where = self.collection(command)
        where.drop_indexes() if command["index"] == "*" else where.drop_index(command["index"])
        return {}


def read_sections(data: bytes) -> dict[str, Any]:
    """The command of an OP_MSG, with its sequences of documents put into it."""
    command: dict[str, Any] = {}
    sequences: dict[str, list[Any]] = {}
    while data:
        kind, data = data[0], data[1:]
        (size,) = struct.unpack_from("<i", data)
        if kind == 0:
            command = bson.decode(data[:size])
        else:
            name, _, documents = data[4:size].partition(b"\0")
            sequences[name.decode()] = list(bson.decode_iter(documents))
        data = data[size:]
    return {**command, **sequences}


async def pause(query: Any) -> None:
    """What ``{"$where": "sleep(100) || true"}`` asks for."""
    if isinstance(query, dict) and (found := _SLEEP.search(str(query.get("$where", "")))):
        await asyncio.sleep(int(found[1]) / 1000)


def without_sleep(query: Any) -> Any:
    if isinstance(query, dict) and _SLEEP.search(str(query.get("$where", ""))):
        return {key: value for key, value in query.items() if key != "$where"}
    return query


if __name__ == "__main__":
    user = ScramUser("admin", *sys.argv[2:4]) if len(sys.argv) > 2 else None
    asyncio.run(Server(user).serve(int(sys.argv[1])))
