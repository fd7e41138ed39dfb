"""``WS_*``: the names by which apps declare websockets (seed, Websocket); public in ``skitai``."""

from __future__ import annotations

from enum import IntFlag


class SocketKind(IntFlag):
    """What the handler of a websocket is, and where it runs: one kind, and options, joined by
    ``|``; every name is a bit of its own."""

    CHATTY = 1
    COROUTINE = 2
    REPORTY = 4
    GROUPCHAT = 8
    NOPOOL = 16
    THREADSAFE = 32


WS_CHATTY = SocketKind.CHATTY
WS_COROUTINE = SocketKind.COROUTINE
WS_REPORTY = WS_CHANNEL = WS_SIMPLE = SocketKind.REPORTY
WS_GROUPCHAT = SocketKind.GROUPCHAT
WS_NOPOOL = WS_NOTHREAD = WS_NQ = SocketKind.NOPOOL
WS_THREADSAFE = SocketKind.THREADSAFE
WS_THREAD = SocketKind(0)  # the default, said aloud

WS_EVT_INIT = "init"
WS_EVT_OPEN = "open"
WS_EVT_CLOSE = "close"
WS_EVT_NONE = None

WS_MSG_TEXT = WS_MSG_DEFAULT = "text"
WS_MSG_JSON = "json"
WS_MSG_XMLRPC = "xmlrpc"

WS_OPCODE_TEXT = 1
WS_OPCODE_BINARY = 2
WS_OPCODE_CLOSE = 8
WS_OPCODE_PING = 9
WS_OPCODE_PONG = 10
