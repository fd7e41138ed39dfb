"""The certificates of a service and the rules of its TLS, made from its settings.

The master looks at them before anything is started; each worker makes a context of its own, so
that a reload brings new certificates.
"""

from __future__ import annotations

import datetime
import ssl
from typing import TYPE_CHECKING

from skitai.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skitai.config import Settings

_WHERE = "give the path of a file in PEM form, relative to the launch script"
_BEGIN_CERTIFICATE, _PRIVATE_KEY = b"-----BEGIN CERTIFICATE-----", b"PRIVATE KEY-----"
_NEED_CERTIFICATE = ("keyfile", "passphrase", "ciphers", "client_ca", "hsts")


def make_context(settings: Settings, protocols: Sequence[str]) -> ssl.SSLContext | None:
    """What connections are encrypted with: TLS 1.2 and newer, no renegotiation.

    Parameters:
        settings: ``certfile`` and what belongs to it; absolute paths.
        protocols: for ALPN, the most wanted first (RFC 7301).

    Returns None without ``certfile``. Raises ``ConfigError`` when a file is missing, can't be read,
    has no certificate or key, when the two don't belong together, and for a key that is encrypted
    without the right ``passphrase``.
    """
    if not settings.certfile:
        for name in _NEED_CERTIFICATE:
            if getattr(settings, name):
                raise ConfigError(f"{name} needs certfile: call skitai.enable_ssl('server.pem')")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(list(protocols))
    _load_pair(context, settings)
    if settings.ciphers:
        try:
            context.set_ciphers(settings.ciphers)
        except ssl.SSLError:
            raise ConfigError(
                f"ciphers {settings.ciphers!r} has none that OpenSSL knows: "
                "give names such as 'ECDHE+AESGCM', see 'openssl ciphers'"
            ) from None
    if settings.client_ca:
        _look_into("client_ca", settings.client_ca, _BEGIN_CERTIFICATE, "certificate")
        try:
            context.load_verify_locations(settings.client_ca)
        except ssl.SSLError as exc:
            raise _unusable("client_ca", settings.client_ca, exc) from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def doubt_about(settings: Settings) -> str:
    """A warning about a certificate that is not valid today; empty for none."""
    from cryptography import x509  # 40 ms that only services with TLS pay

    with open(settings.certfile, "rb") as file:
        content = file.read()
    try:
        certificate = x509.load_pem_x509_certificate(content)
    except ValueError:
        return ""  # OpenSSL reads what this library doesn't
    now = datetime.datetime.now(datetime.timezone.utc)
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if end < now:
        return f"certfile {settings.certfile!r} expired on {end:%Y-%m-%d}: clients refuse it"
    if begin > now:
        return f"certfile {settings.certfile!r} is valid from {begin:%Y-%m-%d} on only"
    return ""


def _load_pair(context: ssl.SSLContext, settings: Settings) -> None:
    """Load certificate and key, and find out what is wrong with them if OpenSSL can't."""
    certfile, keyfile = settings.certfile, settings.keyfile
    _look_into("certfile", certfile, _BEGIN_CERTIFICATE, "certificate")
    place, path = ("keyfile", keyfile) if keyfile else ("certfile", certfile)
    _look_into(place, path, _PRIVATE_KEY, "private key")
    asked = []

    def give_passphrase() -> str:
        asked.append(True)
        return settings.passphrase

    try:
        # Without a function OpenSSL would ask on the terminal.
        context.load_cert_chain(certfile, keyfile or None, give_passphrase)
    except (ssl.SSLError, ValueError) as exc:
        if getattr(exc, "reason", None) == "KEY_VALUES_MISMATCH":
            raise ConfigError(
                f"the private key in {path!r} doesn't belong to certfile {certfile!r}: "
                "give the key that the certificate was made for, and that certificate first"
            ) from None
        if asked and not settings.passphrase:
            raise ConfigError(
                f"the private key in {path!r} is encrypted: give passphrase, too"
            ) from None
        if asked:
            raise ConfigError(f"passphrase doesn't open the private key in {path!r}") from None
        raise _unusable(place, path, exc) from None


def _look_into(name: str, path: str, wanted: bytes, what: str) -> None:
    try:
        with open(path, "rb") as file:
            found = wanted in file.read()
    except OSError as exc:
        raise ConfigError(f"{name} {path!r} can't be read ({exc.strerror}): {_WHERE}") from None
    if not found:
        hint = "give keyfile, too" if (name, what) == ("certfile", "private key") else _WHERE
        raise ConfigError(f"{name} {path!r} has no {what}: {hint}")


def _unusable(name: str, path: str, exc: Exception) -> ConfigError:
    reason = getattr(exc, "reason", None) or exc
    return ConfigError(f"{name} {path!r} can't be used ({reason}): {_WHERE}")
