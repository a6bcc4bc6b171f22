"""How much work a workload did, where it tells: tokens, requests, steps. So joules per token.

| file    | what                                                                            |
|---------|---------------------------------------------------------------------------------|
| units   | what is counted, and under which names                                          |
| pages   | a metrics page of vLLM, SGLang, TGI, Triton or llama.cpp in, its counters out     |
| asking  | an address in, its page out: bounded in time and size, nothing followed          |
| finding | processes on the GPUs in, where their servers listen out                         |
| source  | who counts, and for whom                                                        |
| meter   | counters that grow, restart and go away in, what was done since out: pure        |

Work is booked to the owner of the energy, so the two divide. What nobody could count is time that
is counted instead; nothing is guessed.
"""
