"""skitai, a multi-worker asynchronous app engine: the names that launch scripts and apps use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skitai import current
from skitai.errors import ConfigError, HTTPError, SkitaiError, StartupError
from skitai.preference import AttributeDict, Preference
from skitai.script import show_errors_plainly
from skitai.service import Service
from skitai.sockets import (
    WS_CHANNEL,
    WS_CHATTY,
    WS_COROUTINE,
    WS_EVT_CLOSE,
    WS_EVT_INIT,
    WS_EVT_NONE,
    WS_EVT_OPEN,
    WS_GROUPCHAT,
    WS_MSG_DEFAULT,
    WS_MSG_JSON,
    WS_MSG_TEXT,
    WS_MSG_XMLRPC,
    WS_NOPOOL,
    WS_NOTHREAD,
    WS_NQ,
    WS_OPCODE_BINARY,
    WS_OPCODE_CLOSE,
    WS_OPCODE_PING,
    WS_OPCODE_PONG,
    WS_OPCODE_TEXT,
    WS_REPORTY,
    WS_SIMPLE,
    WS_THREAD,
    WS_THREADSAFE,
)
from skitai.tasks.status import STA_NETERR, STA_NORMAL, STA_REQFAIL, STA_TIMEOUT, STA_UNSENT
from skitai.upstream.aliases import UnknownAlias
from skitai.upstream.interfaces import add_database_interface
from skitai.upstream.kinds import (
    DB_MONGODB,
    DB_PGSQL,
    DB_POSTGRESQL,
    DB_REDIS,
    DB_SQLITE3,
    DB_SYN_MONGODB,
    DB_SYN_PGSQL,
    DB_SYN_REDIS,
    DJANGO,
    PROTO_HTTP,
    PROTO_HTTPS,
    PROTO_SYN_HTTP,
    PROTO_SYN_HTTPS,
    PROTO_WS,
    PROTO_WSS,
)

if TYPE_CHECKING:
    from skitai.current import was as was
    from skitai.testing import test_client as test_client

__all__ = [
    "DB_MONGODB",
    "DB_PGSQL",
    "DB_POSTGRESQL",
    "DB_REDIS",
    "DB_SQLITE3",
    "DB_SYN_MONGODB",
    "DB_SYN_PGSQL",
    "DB_SYN_REDIS",
    "DJANGO",
    "PROTO_HTTP",
    "PROTO_HTTPS",
    "PROTO_SYN_HTTP",
    "PROTO_SYN_HTTPS",
    "PROTO_WS",
    "PROTO_WSS",
    "STA_NETERR",
    "STA_NORMAL",
    "STA_REQFAIL",
    "STA_TIMEOUT",
    "STA_UNSENT",
    "WS_CHANNEL",
    "WS_CHATTY",
    "WS_COROUTINE",
    "WS_EVT_CLOSE",
    "WS_EVT_INIT",
    "WS_EVT_NONE",
    "WS_EVT_OPEN",
    "WS_GROUPCHAT",
    "WS_MSG_DEFAULT",
    "WS_MSG_JSON",
    "WS_MSG_TEXT",
    "WS_MSG_XMLRPC",
    "WS_NOPOOL",
    "WS_NOTHREAD",
    "WS_NQ",
    "WS_OPCODE_BINARY",
    "WS_OPCODE_CLOSE",
    "WS_OPCODE_PING",
    "WS_OPCODE_PONG",
    "WS_OPCODE_TEXT",
    "WS_REPORTY",
    "WS_SIMPLE",
    "WS_THREAD",
    "WS_THREADSAFE",
    "AttributeDict",
    "ConfigError",
    "HTTPError",
    "Preference",
    "SkitaiError",
    "StartupError",
    "UnknownAlias",
    "__version__",
    "abspath",
    "add_database_interface",
    "add_option",
    "addlu",
    "alias",
    "background_task",
    "config_executors",
    "cron",
    "deflu",
    "enable_file_logging",
    "enable_forward",
    "enable_ssl",
    "g",
    "get_option",
    "getswd",
    "is_devel",
    "isdevel",
    "isproduction",
    "joinpath",
    "log_off",
    "lukeys",
    "mount",
    "options",
    "pref",
    "preference",
    "register_cache_keys",
    "register_g",
    "register_states",
    "run",
    "sched",
    "set_access_log_path",
    "set_max_age",
    "set_max_rcache",
    "set_smtp",
    "test_client",
    "trackers",
    "was",
]

__version__ = "0.1.0"

show_errors_plainly()
_service = Service()

mount = _service.mount
run = _service.run
preference = pref = _service.preference
abspath = joinpath = _service.abspath
getswd = _service.getswd
is_devel = isdevel = _service.is_devel
isproduction = _service.isproduction
alias = _service.alias
g = _service.shared
register_g = register_states = register_cache_keys = _service.register_g
set_max_age = _service.set_max_age
set_max_rcache = _service.set_max_rcache
set_smtp = _service.set_smtp
options = _service.options
add_option = options.add_option
get_option = options.get_option
config_executors = _service.config_executors
background_task = _service.schedules.background_task
cron = _service.schedules.cron
sched = _service.schedules.sched
enable_file_logging = _service.logs.enable_file_logging
set_access_log_path = _service.logs.set_access_log_path
log_off = _service.logs.log_off
enable_ssl = _service.enable_ssl
enable_forward = _service.enable_forward
addlu = deflu = lukeys = trackers = _service.register_g


def __getattr__(name: str) -> Any:
    if name == "test_client":  # a service has no use for it, so it isn't loaded with the rest
        from skitai.testing import test_client

        return test_client
    if name == "was":
        return current.want()
    raise AttributeError(f"module 'skitai' has no attribute {name!r}")
