"""An ``Authorization`` header in, whether whoever sent it may come in out.

An answer takes the same time for a user that exists and one that doesn't: both are compared with a
bcrypt hash of the same cost. Who has come in before comes in at once; a failure never does.
"""

import hashlib
import hmac
import os
from base64 import b64decode
from binascii import Error
from collections import OrderedDict
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

_REMEMBERED: Final = 256
_BCRYPT_BYTES: Final = 72  # what bcrypt looks at; the rest of a password never mattered
_SALT: Final = "abcdefghijklmnopqrstuu" + "x" * 30 + "e"  # of a hash that no known password has


class Credentials(NamedTuple):
    """A name and a password, to be compared with a bcrypt hash."""

    name: str
    password: bytes


class Login:
    """Owns who has come in before. One thread asks; `check` may run in another."""

    def __init__(self, users: Mapping[str, bytes], tokens: Collection[bytes]) -> None:
        """``users``: bcrypt hash by name. ``tokens``: every bearer token that lets in."""
        self.users = users
        self._key = os.urandom(32)
        self._tokens = tuple(self._digest(token) for token in tokens)
        self._known: OrderedDict[bytes, None] = OrderedDict()

    @property
    def challenge(self) -> str:
        """What WWW-Authenticate says."""
        schemes = ['Basic realm="submeter", charset="UTF-8"'] * bool(self.users)
        return ", ".join([*schemes, *['Bearer realm="submeter"'] * bool(self._tokens)])

    def ask(self, header: str) -> bool | Credentials:
        """Whether that header lets in; credentials where only `check` can tell."""
        scheme, _, value = header.partition(" ")
        if scheme.lower() == "bearer" and self._tokens:
            digest = self._digest(value.strip().encode())
            return any(
                [hmac.compare_digest(digest, token) for token in self._tokens]
            )  # all of them
        credentials = _basic(value) if scheme.lower() == "basic" and self.users else None
        if credentials is None:
            return False
        key = self._remembered_as(credentials)
        if key in self._known:
            self._known.move_to_end(key)
            return True
        return credentials

    def check(self, credentials: Credentials) -> bool:
        """Compares the password: tens to hundreds of milliseconds. For any thread."""
        from bcrypt import checkpw

        name, password = credentials
        known = self.users.get(name)
        stored = self._nobody(name) if known is None else known
        try:
            right = checkpw(password[:_BCRYPT_BYTES], stored)
        except ValueError:  # a NUL, to some releases
            right = checkpw(b"", stored) and False
        return right and known is not None

    def remember(self, credentials: Credentials) -> None:
        """They were right: lets them in at once from now on."""
        self._known[self._remembered_as(credentials)] = None
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def _nobody(self, name: str) -> bytes:
        """A hash for a name that nobody has. Its cost is that of one of the users, always the same
        for the same name, so that costs that differ tell nothing either."""
        hashes = sorted(self.users.values())
        digest = self._digest(name.encode())
        chosen = hashes[int.from_bytes(digest[:8]) % len(hashes)]
        return chosen[:7] + _SALT.encode()

    def _remembered_as(self, credentials: Credentials) -> bytes:
        name, password = credentials
        stored = self.users.get(name, b"")
        return self._digest(b"\0".join((name.encode(), stored, password)))

    def _digest(self, data: bytes) -> bytes:
        """Of equal length whatever is compared; with a key of this process only."""
        return hmac.digest(self._key, data, hashlib.sha256)


def _basic(value: str) -> Credentials | None:
    try:
        name, colon, password = b64decode(value.strip(), validate=True).partition(b":")
        return Credentials(name.decode(), password) if colon else None
    except (Error, ValueError):
        return None
