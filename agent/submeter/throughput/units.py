"""What servers count, by the names that the ledger has for it."""

from typing import Final

PROMPT_TOKENS: Final = "prompt_tokens"
GENERATION_TOKENS: Final = "generation_tokens"
REQUESTS: Final = "requests"
INFERENCES: Final = "inferences"
"""Triton's: the elements of all batches, where a request may be many."""
