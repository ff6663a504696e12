"""Logging in to NATS: with what, and in words why not. No secret ever gets into a message."""

from __future__ import annotations

import base64
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import nats.errors
from nats.aio.client import Client

from workflow_operator.jetstream.connect import nkey


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionOptions:
    """Where NATS is and how to log in. ``name`` is what `nats server report connections` shows.

    At most one of ``user`` with ``password_file``, ``credentials_file`` (JWT and seed) and ``nkey_seed_file``. These
    files, and the certificates, are read again at each login. With any of the ``tls`` files, or with a server like
    ``tls://...``, nothing is sent to a server that does not encrypt. ``inbox_prefix`` is for permissions that give
    each role an inbox of its own.
    """

    servers: tuple[str, ...]
    name: str
    user: str | None = None
    password_file: Path | None = None
    credentials_file: Path | None = None
    nkey_seed_file: Path | None = None
    tls_ca_file: Path | None = None
    tls_certificate_file: Path | None = None
    tls_key_file: Path | None = None
    inbox_prefix: str = "_INBOX"
    connect_timeout_seconds: float = 10.0

    @property
    def addresses(self) -> str:
        """The servers without the login that a URL may hold."""
        return ", ".join(address(server) for server in self.servers)

    @property
    def encrypted(self) -> bool:
        return any((self.tls_ca_file, self.tls_certificate_file)) or any(
            server.startswith("tls://") for server in self.servers
        )

    @property
    def login(self) -> str:
        """What we log in with, in words."""
        if self.password_file is not None:
            return f"user {self.user!r} with the password in {self.password_file}"
        if self.credentials_file is not None:
            return f"the credentials in {self.credentials_file}"
        if self.nkey_seed_file is not None:
            return f"the nkey in {self.nkey_seed_file}"
        if any("@" in server for server in self.servers):
            return "the login in the URL"
        return "a connection without a login"


def address(server: str) -> str:
    """Scheme, host and port of a URL: what may be shown of it."""
    scheme, slashes, rest = server.rpartition("://")
    return f"{scheme}{slashes}{rest.rpartition('@')[2]}"


_CERTIFICATE = re.compile(r"-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----.+?-----END [A-Z0-9 ]+-----", re.DOTALL)


class LoginError(nats.errors.Error):
    """No login, for a reason on our side. One of nats-py's errors, so that its loops go on trying."""


class LoginClient(Client):
    """nats-py's client, with the files of the login read again at each connect, and never sent in the clear."""

    def __init__(self, options: ConnectionOptions) -> None:
        super().__init__()
        self._login = options

    @property
    def ssl_context(self) -> ssl.SSLContext:
        options = self._login
        try:
            context = ssl.create_default_context(cadata=_certificates(options.tls_ca_file))
        except (ssl.SSLError, ValueError, TypeError):
            raise LoginError(f"the file {options.tls_ca_file} holds no certificates in PEM form") from None
        if options.tls_certificate_file is not None:
            for file in (options.tls_certificate_file, options.tls_key_file):
                _optional(file)
            try:
                context.load_cert_chain(options.tls_certificate_file, options.tls_key_file, password="")
            except ssl.SSLError as error:
                files = " and ".join(str(file) for file in (options.tls_certificate_file, options.tls_key_file) if file)
                raise LoginError(
                    f"{files} are not a certificate and its key in PEM form, without a passphrase: {error.reason}"
                ) from None
        return context

    def _connect_command(self) -> bytes:
        # Private to nats-py, whose version is pinned: the one place behind TLS and before the login is sent.
        options = self._login
        if options.encrypted and not self._server_info.get("tls_required"):
            raise LoginError("the server does not encrypt, and TLS is demanded of it; nothing was sent")
        self._auth_configured = True
        if options.password_file is not None:
            self.options |= {"user": options.user, "password": _read(options.password_file).strip()}
        elif options.credentials_file is not None:
            token, seed = _credentials(options.credentials_file)
            self._sign_with(_key(seed, options.credentials_file))
            self._user_jwt_cb = lambda: bytearray(token.encode())
        elif options.nkey_seed_file is not None:
            self._sign_with(_key(_read(options.nkey_seed_file).strip(), options.nkey_seed_file))
        command: bytes = super()._connect_command()
        return command

    def _sign_with(self, key: nkey.KeyPair) -> None:
        self._public_nkey = key.public
        self._signature_cb = lambda nonce: base64.b64encode(key.sign(nonce.encode()))


def _certificates(file: Path | None) -> str | None:
    """The certificates of a bundle, without its comments: the ssl module takes nothing but ASCII.

    Raises:
        ValueError: there is none; an empty text would have it trust the system's.
    """
    if file is None:
        return None
    found = _CERTIFICATE.findall(_read(file))
    if not found:
        raise ValueError
    return "\n".join(found)


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text"
        raise LoginError(f"the file {file} cannot be read: {reason}") from None


def _optional(file: Path | None) -> str | None:
    return None if file is None else _read(file)


_CREDENTIALS = re.compile(
    r"-BEGIN NATS USER JWT-+\s+(?P<token>\S+)\s+-+END NATS USER JWT-.*-BEGIN USER NKEY SEED-+\s+(?P<seed>\S+)\s+-+END",
    re.DOTALL,
)


def _credentials(file: Path) -> tuple[str, str]:
    match = _CREDENTIALS.search(_read(file))
    if match is None:
        raise LoginError(f"the file {file} is not a NATS credentials file: expected a user's JWT and an nkey seed")
    return match["token"], match["seed"]


def _key(seed: str, file: Path) -> nkey.KeyPair:
    try:
        key = nkey.from_seed(seed)
    except ValueError as error:
        raise LoginError(f"the file {file} holds no nkey seed: {error}") from None
    if key.kind != nkey.USER:
        raise LoginError(f"the file {file} holds the seed of another kind of key than a user's, which begins with SU")
    return key


def refusal(error: Exception, options: ConnectionOptions) -> str | None:
    """Why we are not let in, in one sentence; None if this error only means that nobody answers. Pure."""
    text = str(error).lower()
    if isinstance(error, LoginError):
        return str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate is not trusted: {_certificate(error, options)}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {(error.reason or str(error)).lower().replace('_', ' ')}{_own_certificate(error, options)}"
    if any(words in text for words in ("authorization", "authentication", "revoked")):
        return f"the server does not accept {options.login}"
    return None


# Codes of OpenSSL's certificate verification.
_NAME, _ADDRESS = 62, 64
_UNKNOWN_ISSUER = frozenset({2, 18, 19, 20, 21})


def _certificate(error: ssl.SSLCertVerificationError, options: ConnectionOptions) -> str:
    if error.verify_code in (_NAME, _ADDRESS):
        hosts = ", ".join(str(urlsplit(server).hostname) for server in options.servers)
        return f"it is for another name than that in the URL ({hosts})"
    if error.verify_code in _UNKNOWN_ISSUER:
        known = f"a CA in {options.tls_ca_file}" if options.tls_ca_file else "a CA that this system knows"
        return f"it is not signed by {known}"
    return str(error.verify_message)


def _own_certificate(error: ssl.SSLError, options: ConnectionOptions) -> str:
    """The server's alerts are about our certificate, or that there is none."""
    if "ALERT" not in (error.reason or ""):
        return ""
    if options.tls_certificate_file is None:
        return "; the server may demand a client certificate, and none is set"
    return f"; the server may not accept the certificate in {options.tls_certificate_file}"
