"""What connections of grpcio over TLS are checked with."""

from __future__ import annotations

import asyncio
import os
import ssl
from functools import lru_cache
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509

from skitai.tasks.errors import NetworkError, network_failure
from skitai.upstream.grpc.connection import CONNECT_SECONDS


async def load_credentials(host: str, port: int, verify: bool | str) -> tuple[Any, str]:
    """Credentials for a server, and the name in its certificate if that need not be the host's.

    Parameters:
        verify: certificates are checked with the authorities of the system (True), with those in
            this file or directory, or not at all (False). grpcio has no such way: what the server
            shows when it is asked first is what it has to show later.

    Raises ``Failure`` when the server shows none, or the file can't be read.
    """
    loop = asyncio.get_running_loop()
    try:
        if verify is not False:
            # In a thread: reading the system's authorities takes 20 to 40 ms.
            return await loop.run_in_executor(None, _checking, verify), ""
        return await loop.run_in_executor(None, _trusting, host, port)
    except (OSError, ValueError) as exc:
        error = NetworkError(f"no connection to {host}:{port}: {exc}")
        raise network_failure(error, False) from exc


@lru_cache(maxsize=16)
def _checking(verify: bool | str) -> Any:
    return grpc.ssl_channel_credentials(_authorities(verify) or None)


def _authorities(verify: bool | str) -> bytes:
    if isinstance(verify, str):
        path = Path(verify)
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        return b"\n".join(file.read_bytes() for file in files if file.is_file())
    found = ssl.create_default_context().get_ca_certs(binary_form=True)
    if not found and (file := os.environ.get("SSL_CERT_FILE")):
        return Path(file).read_bytes()
    return "".join(map(ssl.DER_cert_to_PEM_cert, found)).encode()


def _trusting(host: str, port: int) -> tuple[Any, str]:
    shown = ssl.get_server_certificate((host, port), timeout=CONNECT_SECONDS)
    return grpc.ssl_channel_credentials(shown.encode()), _name_in(shown)


def _name_in(certificate: str) -> str:
    """A name or address that a certificate is for; empty when it has none."""
    found = x509.load_pem_x509_certificate(certificate.encode())
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        common = found.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        return str(common[0].value) if common else ""
    for name in names:
        if isinstance(name, (x509.DNSName, x509.IPAddress)):
            return str(name.value).replace("*", "any", 1)
    return ""
