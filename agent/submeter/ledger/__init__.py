"""Postings in, totals out: who used how many microjoules since the ledger began."""

from submeter.ledger.memory import OTHER, Ledger, Totals

__all__ = ["OTHER", "Ledger", "Totals"]
