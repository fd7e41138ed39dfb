"""What servers find in the run's directory: files to serve, a certificate and its key.

Made by `benchmarks.suite` before the first contender starts.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from benchmarks.rows import FILES

if TYPE_CHECKING:
    from pathlib import Path

CERTIFICATE, KEY = "certificate.pem", "key.pem"


def provide(folder: Path) -> None:
    """Write `files/*.txt`, the certificate and the key into `folder`."""
    served = folder / "files"
    served.mkdir()
    for name, content in FILES.items():
        (served / f"{name}.txt").write_bytes(content)
    key = ec.generate_private_key(ec.SECP256R1())
    (folder / KEY).write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    certificate = _sign(key).public_bytes(serialization.Encoding.PEM)
    (folder / CERTIFICATE).write_bytes(certificate)


def _sign(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
