"""A title and a body in, a whole HTML page in the style of reports out.

No script, nothing from elsewhere: a content security policy in the page forbids everything but its
own style sheet, whose hash it names.
"""

from base64 import b64encode
from hashlib import sha256
from importlib import resources
from typing import Final

from submeter import __version__
from submeter.reports.presentations._plots import safe

_DOCUMENT: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src '{digest}'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="submeter {version}">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


def document(title: str, body: str, version: str = __version__) -> bytes:
    """The page. ``title`` is plain text, ``body`` HTML in which every text is safe already."""
    style = resources.files(__package__).joinpath("_page.css").read_text("utf-8")
    digest = "sha256-" + b64encode(sha256(style.encode()).digest()).decode()
    return _DOCUMENT.format(
        digest=digest, version=safe(version), title=safe(title), style=style, body=body
    ).encode()
