"""NATS keys: Ed25519 keys in base32, with a prefix that names their kind and a checksum."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

USER = 20 << 3
_SEED = 18 << 3


@dataclass(frozen=True, slots=True, repr=False)
class KeyPair:
    """The key that a seed stands for. ``kind`` is the prefix byte, such as :data:`USER`."""

    private: Ed25519PrivateKey
    kind: int

    @property
    def public(self) -> str:
        return _encode(bytes([self.kind]) + self.private.public_key().public_bytes_raw())

    def sign(self, data: bytes) -> bytes:
        return self.private.sign(data)


def from_seed(text: str) -> KeyPair:
    """Read a seed such as ``SU...``.

    Raises:
        ValueError: not the seed of any NATS key. The text is a secret and not part of the error.
    """
    # Only who logs in with a key pays for loading it.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    raw = _decode(text)
    # Two bytes hold two prefixes of five bits each: that this is a seed, and of what kind of key.
    if len(raw) != 34 or raw[0] & 0b11111000 != _SEED:
        raise ValueError("not the seed of a NATS key")
    kind = (raw[0] & 0b111) << 5 | (raw[1] & 0b11111000) >> 3
    return KeyPair(Ed25519PrivateKey.from_private_bytes(raw[2:]), kind)


def _encode(raw: bytes) -> str:
    checked = raw + binascii.crc_hqx(raw, 0).to_bytes(2, "little")
    return base64.b32encode(checked).decode().rstrip("=")


def _decode(text: str) -> bytes:
    try:
        raw = base64.b32decode(text + "=" * (-len(text) % 8))
    except binascii.Error:
        raise ValueError("not a NATS key: not base32") from None
    body, checksum = raw[:-2], raw[-2:]
    if binascii.crc_hqx(body, 0).to_bytes(2, "little") != checksum:
        raise ValueError("not a NATS key: its checksum is wrong")
    return body
