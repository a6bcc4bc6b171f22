"""A URL as a person wrote it in, its parts out, where it names a server that can be asked."""

from urllib.parse import SplitResult, urlsplit


def asked_at(url: str) -> SplitResult | None:
    """Its parts, with scheme http or https, a host, and a port if it has one; None for any other
    text: a port that is no number, a space, a character that no URL has (RFC 3986)."""
    if not url.isascii() or not url.isprintable() or " " in url:
        return None
    try:
        parts = urlsplit(url)
        is_port = parts.port != 0  # and raises for 65536 and for "x"
    except ValueError:
        return None
    return parts if parts.scheme in {"http", "https"} and parts.hostname and is_port else None
