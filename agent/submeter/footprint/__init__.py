"""Joules and factors in, what they mean out: facility energy, water, carbon, cost.

| file    | what                                                                                |
|---------|-------------------------------------------------------------------------------------|
| factors | one factor: what, how much, from whom, when it is valid; which limits it must keep    |
| tariff  | prices by hour of the week, as the clock on the wall shows it                         |
| rates   | which factor is valid at which moment, and what a microjoule then comes to: pure      |
| pricing | running totals by phase for the agent's counters                                      |
| table   | a file of factors                                                                     |
| history | the factors that agents have used, kept in the state directory                        |
| sources | a configuration in, its factors out                                                   |
| grid    | codecarbon's factor for a place, asked in a process of its own                        |
| live    | the carbon intensity of now, from an API that speaks as Electricity Maps does         |

No factor ever changes a joule. Amounts are integers times integers, so parts add up to the whole.
"""
