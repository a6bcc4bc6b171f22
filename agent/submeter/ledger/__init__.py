"""Postings in, totals out: who used how many microjoules since the ledger began.

| file           | what                                                                           |
|----------------|--------------------------------------------------------------------------------|
| memory         | totals in memory; what a ledger is to the settlement                           |
| durable        | the same on a file: what is shown is what is safe                              |
| book, rows     | one GPU's history: rows, their bytes, their chain, their roll-up               |
| live, entries  | the totals as they are now; an interval as a row                               |
| store, held    | the files: what is written when; putting back what others delete               |
| log, fold      | commits in the log, and from there in the database; retention                  |
| done           | facts of rows that say how much work was done                                  |
| load, opening  | going on from a file; setting a damaged one aside and saving what can be saved |
| wreck, proof   | what can be read of a damaged one, and what of that can be proved              |
| parts, salvage | these put together, and written to a new one                                   |
| reader, pieces | who used how much when, for reports                                            |
| audit          | whether anything was changed, for `submeter verify`                            |
"""

from submeter.ledger.durable import DurableLedger
from submeter.ledger.memory import OTHER, Ledger, Totals

__all__ = ["OTHER", "DurableLedger", "Ledger", "Totals"]
