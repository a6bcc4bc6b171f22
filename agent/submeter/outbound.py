"""Opens http and https addresses as the agent and its reports do: no redirects.

An answer must come from the server that was named: one that is led elsewhere could be anybody's.
"""

import urllib.request
from email.message import Message
from typing import IO, Final


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(  # noqa: PLR0917  as it is called
        self,
        req: urllib.request.Request,  # noqa: ARG002
        fp: IO[bytes],  # noqa: ARG002
        code: int,  # noqa: ARG002
        msg: str,  # noqa: ARG002
        headers: Message,  # noqa: ARG002
        newurl: str,  # noqa: ARG002
    ) -> None:
        return None


OPENER: Final = urllib.request.build_opener(_NoRedirect)
"""A redirect is an `HTTPError`, as every status but 2xx."""
