"""The configuration of nginx for a service, as text.

``commands/nginx.py`` decides what is in it and writes it to its place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from skitai.config import UNIX_PREFIX
from skitai.errors import ConfigError
from skitai.server.representation import compressible

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from skitai.config import Settings

IDLE_MARGIN = 5  # seconds; nginx closes an idle connection before the service does
LONGEST_SILENCE = 3600  # seconds; the service has limits of its own, websockets may be quiet
STATIC_SECONDS = 600

_UNSAFE = re.compile(r'[\x00-\x1f\x7f"\\$*?\[\]{};#]')


@dataclass(frozen=True)
class Block:
    """One ``server`` of nginx.

    Attributes:
        names: host names.
        root: where its static files are collected.
        media: URL path and directory of uploaded files, which change while the service runs.
    """

    names: tuple[str, ...]
    root: Path
    media: tuple[tuple[str, Path], ...] = ()


@dataclass(frozen=True)
class Front:
    """What the configuration is made of.

    Attributes:
        settings: of the service.
        directory: where the configuration is.
        blocks: the first one is that of the domain.
        types: content type by extension.
        max_body: bytes of the largest body that any app takes.
        certificate, key: of https; None for http.
        http2_directive: nginx is 1.25.1 or newer, which has a directive of its own for HTTP/2.
        max_ages: seconds that clients may keep static files, by the beginning of their path.
    """

    settings: Settings
    directory: Path
    blocks: tuple[Block, ...]
    types: dict[str, str] = field(default_factory=dict)
    max_body: int = 0
    certificate: Path | None = None
    key: Path | None = None
    http2_directive: bool = False
    max_ages: Mapping[str, int] = field(default_factory=dict)

    @property
    def word(self) -> str:
        """The service's name, as nginx can have it in a variable."""
        return re.sub(r"[^a-z0-9]", "_", self.settings.name.lower())

    @property
    def speaks_grpc(self) -> bool:
        """Whether calls of gRPC can come: they need HTTP/2, which browsers speak over TLS only."""
        return self.certificate is not None


def configuration(front: Front) -> dict[str, str]:
    """All files by path below the directory of the configuration.

    Raises ``ConfigError`` for a path that nginx can't name.
    """
    files = {
        "nginx.conf": _main(front),
        "include/upstream.conf": _upstream(front),
        "include/backend.conf": _backend(front),
        "include/static.conf": _static(front),
    }
    if front.speaks_grpc:
        files["include/grpc.conf"] = _grpc(front)
    return files


def quoted(path: object) -> str:
    """A path as a word. Raises ``ConfigError`` for one that nginx would read differently."""
    if _UNSAFE.search(str(path)):
        raise ConfigError(
            f"{str(path)!r} can't be named in a configuration of nginx: give it a name without "
            "quotes, backslashes, control characters and $ * ? [ ] { } ; #"
        )
    return f'"{path}"'


def _main(front: Front) -> str:
    include = front.directory / "include"
    lines = [f"include {quoted(include / 'upstream.conf')};", ""]
    if front.certificate is not None:
        names = " ".join(name for block in front.blocks for name in block.names)
        lines += [
            "server {",
            "    listen 80;",
            "    listen [::]:80;",
            f"    server_name {names};",
            "    return 301 https://$host$request_uri;",
            "}",
            "",
        ]
    for block in front.blocks:
        lines += ["server {", *_indented(_server(front, block)), "}", ""]
    return "\n".join(lines[:-1]) + "\n"


def _server(front: Front, block: Block) -> list[str]:
    include = front.directory / "include"
    return [
        *_listening(front),
        f"server_name {' '.join(block.names)};",
        f"root {quoted(block.root)};",
        f"client_max_body_size {front.max_body};",
        "",
        # What changes are put into; a pattern may match nothing.
        f'include "{_plain(front.directory)}/local/*.conf";',
        f"include {quoted(include / 'static.conf')};",
        *(line for point, path in block.media for line in _media(front, point, path)),
        f"location @{front.word} {{",
        f"    include {quoted(include / 'backend.conf')};",
        "}",
        *(
            [
                f"location @{front.word}_grpc {{",
                f"    include {quoted(include / 'grpc.conf')};",
                "}",
            ]
            if front.speaks_grpc
            else []
        ),
    ]


def _plain(path: Path) -> str:
    return quoted(path)[1:-1]


def _listening(front: Front) -> list[str]:
    if front.certificate is None:
        return ["listen 80;", "listen [::]:80;"]
    http2 = "" if front.http2_directive else " http2"
    return [
        f"listen 443 ssl{http2};",
        f"listen [::]:443 ssl{http2};",
        *(["http2 on;"] if front.http2_directive else []),
        f"ssl_certificate {quoted(front.certificate)};",
        f"ssl_certificate_key {quoted(front.key)};",
        "ssl_protocols TLSv1.2 TLSv1.3;",
        f"ssl_session_cache shared:{front.word}:1m;",
        "ssl_session_timeout 1d;",
        "ssl_session_tickets off;",
    ]


def _upstream(front: Front) -> str:
    settings, word = front.settings, front.word
    upstream = [f"server {_address(settings)} max_fails=0;"]
    if settings.keep_alive >= 1:
        idle = max(1, int(settings.keep_alive) - IDLE_MARGIN)
        upstream += ["keepalive 64;", f"keepalive_timeout {idle}s;"]
    # A connection of its own kind: one that is kept speaks either HTTP/1.1 or HTTP/2.
    names = [word, f"{word}_grpc"] if front.speaks_grpc else [word]
    upstreams = "\n".join(f"upstream {name} {{\n{_joined(upstream)}\n}}" for name in names)
    return f"""\
{upstreams}

# Only websockets may leave HTTP. Without a client's wish the connection is kept for others.
map $http_upgrade ${word}_upgrade {{
    default "";
    "~*^websocket$" websocket;
}}
map $http_upgrade ${word}_connection {{
    default "";
    "~*^websocket$" upgrade;
}}
map $http_host ${word}_host {{
    default $http_host;
    "" $host;
}}
map $remote_addr ${word}_for {{
    default $remote_addr;
    "~:" "\\"[$remote_addr]\\"";
}}

# Which static files may answer: GET and HEAD of paths, index files of directories, nothing hidden.
map "$request_method $uri" ${word}_file {{
    default /.none;
    "~/\\.(?!well-known/)" /.none;
    "~^(GET|HEAD) .*[^/]$" $uri;
    "~^(GET|HEAD) .*/$" "${{uri}}index.htm";
}}
map "$request_method $uri" ${word}_index {{
    default /.none;
    "~/\\.(?!well-known/)" /.none;
    "~^(GET|HEAD) .*/$" "${{uri}}index.html";
}}
map "$request_method $uri" ${word}_directory {{
    default /.none;
    "~/\\.(?!well-known/)" /.none;
    "~^(GET|HEAD) .*[^/]$" $uri;
}}

# How long clients may keep them. The first line that fits counts.
map $uri ${word}_expires {{
{_joined(_ages(front))}
}}
"""


def _ages(front: Front) -> list[str]:
    longest_first = sorted(front.max_ages.items(), key=lambda age: -len(age[0]))
    return [
        f"default {STATIC_SECONDS}s;",
        *(f'"~^{_pattern(path)}(/|$)" {seconds}s;' for path, seconds in longest_first),
    ]


def _pattern(path: str) -> str:
    quoted(path)
    return re.sub(r"[^\w/ -]", r"\\\g<0>", path.rstrip("/"))


def _address(settings: Settings) -> str:
    address = settings.address
    if address.startswith(UNIX_PREFIX):
        return quoted(address)
    if address == "0.0.0.0":
        address = "127.0.0.1"
    elif address == "::":
        address = "::1"
    return f"[{address}]:{settings.port}" if ":" in address else f"{address}:{settings.port}"


def _backend(front: Front) -> str:
    word, settings = front.word, front.settings
    lines = [f"proxy_pass {'https' if settings.certfile else 'http'}://{word};"]
    if settings.certfile:
        # The other end is this machine's own service, at an address that no certificate names.
        lines += [
            "proxy_ssl_verify off;",
            "proxy_ssl_server_name on;",
            f"proxy_ssl_name {front.blocks[0].names[0].lstrip('.')};",
        ]
    lines += [
        "proxy_http_version 1.1;",
        f"proxy_set_header Connection ${word}_connection;",
        f"proxy_set_header Upgrade ${word}_upgrade;",
        *(f"proxy_set_header {header};" for header in _headers(front)),
        # The service is good at slow clients: bodies pass through as they come, both ways.
        "proxy_request_buffering off;",
        "proxy_buffering off;",
        "proxy_buffer_size 32k;",
        "proxy_buffers 8 32k;",
        "proxy_redirect off;",
        "proxy_connect_timeout 10s;",
        f"proxy_read_timeout {LONGEST_SILENCE}s;",
        f"proxy_send_timeout {LONGEST_SILENCE}s;",
    ]
    return "\n".join(lines) + "\n"


def _grpc(front: Front) -> str:
    word, settings = front.word, front.settings
    lines = [
        f"grpc_pass {'grpcs' if settings.certfile else 'grpc'}://{word}_grpc;",
        *(["grpc_ssl_verify off;"] if settings.certfile else []),
        *(f"grpc_set_header {header};" for header in _headers(front)),
        # A stream of messages may be long; the service has a limit for each of them.
        "client_max_body_size 0;",
        "grpc_connect_timeout 10s;",
        f"grpc_read_timeout {LONGEST_SILENCE}s;",
        f"grpc_send_timeout {LONGEST_SILENCE}s;",
    ]
    return "\n".join(lines) + "\n"


def _headers(front: Front) -> list[str]:
    """What the service is told of the client.

    nginx is the outermost: what a client says of itself is not handed on.
    """
    word = front.word
    forwarded = '""'
    if front.settings.forwarded_header == "forwarded":
        forwarded = f"'for=${word}_for;proto=$scheme;host=\"${word}_host\"'"
    return [
        f"Host ${word}_host",
        "X-Real-IP $remote_addr",
        "X-Forwarded-For $remote_addr",
        "X-Forwarded-Proto $scheme",
        f"X-Forwarded-Host ${word}_host",
        'X-Forwarded-Port ""',
        f"Forwarded {forwarded}",
    ]


def _static(front: Front) -> str:
    word = front.word
    lines = [
        "# A directory with an index file is asked for with a slash at its end.",
        "absolute_redirect off;",
        *(
            f"if (-f $document_root${word}_directory/{name}) {{\n"
            "    rewrite ^(.*[^/])$ $1/ permanent;\n"
            "}"
            for name in ("index.htm", "index.html")
        ),
        "location / {",
        *_indented(_calls(front) if front.speaks_grpc else []),
        *_indented([f"try_files ${word}_file ${word}_index @{word};", *_serving(front)]),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _calls(front: Front) -> list[str]:
    return [
        # A status that nothing else has here: the only way to another place by a header.
        f"error_page 418 = @{front.word}_grpc;",
        'if ($http_content_type ~ "^application/grpc") {',
        "    return 418;",
        "}",
    ]


def _serving(front: Front) -> list[str]:
    """How a file is sent; what the service answers has its own headers and compression."""
    texts = sorted({kind for kind in front.types.values() if kind.startswith("text/")})
    packed = sorted({kind for kind in front.types.values() if compressible(kind)})
    lines = [
        "types {",
        *(f"    {kind} {extension};" for extension, kind in sorted(front.types.items())),
        "}",
        "default_type application/octet-stream;",
        "charset utf-8;",
        f"expires ${front.word}_expires;",
        "gzip on;",
        "gzip_vary on;",
        "gzip_proxied any;",
        f"gzip_min_length {front.settings.compress_min};",
        "gzip_static on;",
        "sendfile on;",
    ]
    # text/html is always among them, and nginx warns of what is named twice.
    for directive, kinds in (("charset_types", texts), ("gzip_types", packed)):
        named = [kind for kind in kinds if kind != "text/html"]
        if named:
            lines.append(f"{directive} {' '.join(named)};")
    if not front.settings.compress:
        lines = [line for line in lines if not line.startswith("gzip")]
    return lines


def _media(front: Front, point: str, path: Path) -> list[str]:
    """Files that users upload: where they are, they would be old when they were collected."""
    return [
        f"location ^~ {quoted(point)} {{",
        f"    alias {quoted(str(path).rstrip('/') + '/')};",
        f"    error_page 403 404 405 = @{front.word};",
        '    location ~ "/\\.(?!well-known/)" {',
        "        return 404;",
        "    }",
        "}",
    ]


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}" if line else "" for entry in lines for line in entry.split("\n")]


def _joined(lines: list[str]) -> str:
    return "\n".join(_indented(lines))
