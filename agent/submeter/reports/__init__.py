"""A question and what was used in, a report out, and that in any presentation.

| file          | what                                                                           |
|---------------|--------------------------------------------------------------------------------|
| question      | what is asked: since, until, by what, in which time zone                        |
| moments       | times as people write them; time zones                                          |
| calendar      | local hours, days and months of a stretch of time                               |
| record        | what a report is                                                                |
| tally         | pieces of energy in, a report out: pure                                         |
| ledger        | where pieces come from: a state directory                                       |
| prometheus    | … or any server with Prometheus's API                                           |
| presentations | one file each: table, json, csv, html                                           |

Energies are integer microjoules throughout, so the rows of any report sum to its total.
"""
