"""Postings in, totals out: who used how many microjoules since the ledger began.

| file         | what                                                                              |
|--------------|-----------------------------------------------------------------------------------|
| memory       | totals in memory; what a ledger is to the settlement                              |
| durable      | the same on a file: what is shown is what is safe                                 |
| book, rows   | one GPU's history: rows, their bytes, their chain, their roll-up                  |
| store        | the file: schema, one transaction per commit, retention                           |
| load, opening| going on from a file; setting a damaged one aside and saving what can be saved    |
| reader       | who used how much when, for reports                                               |
| audit        | whether anything was changed, for `submeter verify`                               |
"""

from submeter.ledger.durable import DurableLedger
from submeter.ledger.memory import OTHER, Ledger, Totals

__all__ = ["OTHER", "DurableLedger", "Ledger", "Totals"]
