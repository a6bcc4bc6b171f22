"""Who comes in, who doesn't, and that a refusal says nothing of which names there are."""

from base64 import b64encode

import bcrypt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from submeter.web.login import Credentials, Login

PASSWORD = b"correct horse"
HASHES = {
    "alice": bcrypt.hashpw(PASSWORD, bcrypt.gensalt(4)),
    "bob": bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(5, prefix=b"2a")),
}
TOKEN = "0123456789abcdef-token"


def basic(name: str, password: bytes) -> str:
    return "Basic " + b64encode(name.encode() + b":" + password).decode()


def test_the_right_password_comes_in_and_then_at_once() -> None:
    login = Login(HASHES, ())
    asked = login.ask(basic("alice", PASSWORD))
    assert asked == Credentials("alice", PASSWORD)
    assert login.check(asked)
    login.remember(asked)
    assert login.ask(basic("alice", PASSWORD)) is True
    assert login.ask(basic("alice", b"other")) == Credentials("alice", b"other")
    assert login.ask(basic("bob", PASSWORD)) == Credentials("bob", PASSWORD)


@pytest.mark.parametrize("name", ["alice", "bob", "nobody", "", "alice\0"])
@pytest.mark.parametrize("password", [b"", b"wrong", b"\0", PASSWORD + b"\0", b"x" * 71, b"y" * 99])
def test_the_wrong_one_does_not(name: str, password: bytes) -> None:
    assert not Login(HASHES, ()).check(Credentials(name, password))


@pytest.mark.threat("T17")
def test_what_bcrypt_does_not_look_at_never_mattered() -> None:
    """As in Go, whose hashes these are: 72 bytes count."""
    assert Login(HASHES, ()).check(Credentials("bob", b"x" * 100))


@pytest.mark.parametrize(
    "header",
    ["", "Basic", "Basic !", "Basic YWxpY2U=", "Basic /////w==", "Digest x", "Bearer ", "bearer x",
     "Basic " + "A" * 9999],
)  # fmt: skip
def test_what_makes_no_sense_does_not(header: str) -> None:
    assert Login(HASHES, [TOKEN.encode()]).ask(header) is False


def test_tokens() -> None:
    login = Login({}, [b"another-token-0123", TOKEN.encode()])
    assert login.ask(f"Bearer {TOKEN}") is True
    assert login.ask(f"bearer {TOKEN}") is True
    assert login.ask(f"Bearer {TOKEN}x") is False
    assert login.ask(basic("alice", PASSWORD)) is False
    assert login.challenge == 'Bearer realm="submeter"'
    assert "Basic" in Login(HASHES, ()).challenge


@pytest.mark.threat("T15")
@settings(max_examples=30)
@given(st.text(max_size=20), st.text(max_size=20).map(str.encode))
def test_names_there_are_and_names_there_are_not_are_compared_alike(
    name: str, password: bytes
) -> None:
    """The work is the hash's cost: it must be one that users have, and the same each time."""
    compared: list[tuple[bytes, bytes]] = []
    login = Login(HASHES, ())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bcrypt, "checkpw", lambda *both: compared.append(both))
        login.check(Credentials(name, password))
        login.check(Credentials(name, password))
    (given_, stored), again = compared
    assert again == (given_, stored)
    assert given_ == password[:72]
    assert stored[:7] in {each[:7] for each in HASHES.values()}
    assert len(stored) == 60


@pytest.mark.threat("T15")
def test_a_refusal_really_costs_a_comparison() -> None:
    """The stand-in hash is one that bcrypt works on to the end, whoever has which cost."""
    login = Login(HASHES, ())
    for name in map(str, range(20)):
        bcrypt.checkpw(b"anything", login._nobody(name))


@pytest.mark.threat("T17")
def test_few_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("submeter.web.login._REMEMBERED", 3)
    login = Login(dict.fromkeys("abcdef", HASHES["alice"]), ())
    for name in "abcdef":
        login.remember(Credentials(name, PASSWORD))
    assert [login.ask(basic(name, PASSWORD)) is True for name in "abcdef"] == [False] * 3 + [
        True
    ] * 3
