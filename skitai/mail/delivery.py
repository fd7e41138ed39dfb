"""One delivery: a message to its server, by SMTP (RFC 5321), with TLS and authentication."""

from __future__ import annotations

import smtplib
import ssl
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from skitai.mail.account import SmtpAccount

LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Outcome(NamedTuple):
    """What came of a delivery.

    Attributes:
        again: recipients for whom it is to be tried again, with the reason.
        refused: recipients whom the server will never take, with its answer.
    """

    again: dict[str, str]
    refused: dict[str, str]


def deliver(account: SmtpAccount, sender: str, recipients: list[str], content: bytes) -> Outcome:
    """Hand a message to a server. Nothing is raised: all that goes wrong is in the outcome.

    Refusals of a recipient or of the message with 5xx are final (RFC 5321, 4.2.1). All else may
    pass: a server that is not there, 4xx, a wrong password.
    """
    refused: dict[str, tuple[int, bytes | str]] = {}
    try:
        with _connect(account) as server:
            refused.update(server.sendmail(sender, recipients, content))
    except smtplib.SMTPRecipientsRefused as exc:
        refused.update(exc.recipients)
    except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as exc:
        refused.update(dict.fromkeys(recipients, (exc.smtp_code, exc.smtp_error)))
    except (OSError, smtplib.SMTPException, ValueError) as exc:
        reason = f"{account.host}:{account.port}: {type(exc).__name__}: {exc}"
        return Outcome(dict.fromkeys(recipients, reason), {})
    again: dict[str, str] = {}
    final: dict[str, str] = {}
    for recipient, (code, text) in refused.items():
        (final if code >= 500 else again)[recipient] = f"{code} {_text(text)}"
    return Outcome(again, final)


def _text(text: bytes | str) -> str:
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else text


def _connect(account: SmtpAccount) -> smtplib.SMTP:
    """A connection that is ready for a message. Raises ``OSError`` and ``SMTPException``."""
    context = _context(account)
    server: smtplib.SMTP
    if account.ssl:
        server = smtplib.SMTP_SSL(
            account.host, account.port, timeout=account.timeout, context=context
        )
    else:
        server = smtplib.SMTP(account.host, account.port, timeout=account.timeout)
    try:
        server.ehlo_or_helo_if_needed()
        encrypted = account.ssl
        if not encrypted and account.starttls is not False:
            if server.has_extn("starttls"):
                server.starttls(context=context)
                server.ehlo_or_helo_if_needed()
                encrypted = True
            elif account.starttls:
                raise smtplib.SMTPNotSupportedError("the server offers no STARTTLS")
        if account.user is not None:
            if not encrypted and account.starttls is None and account.host not in LOOPBACK:
                raise smtplib.SMTPNotSupportedError(
                    "a password is not sent without TLS: give ssl=True, or allow it by "
                    "starttls=False"
                )
            server.login(account.user, account.password or "")
    except BaseException:
        server.close()
        raise
    return server


def _context(account: SmtpAccount) -> ssl.SSLContext:
    context = ssl.create_default_context(
        cafile=account.verify if isinstance(account.verify, str) else None
    )
    if account.verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
