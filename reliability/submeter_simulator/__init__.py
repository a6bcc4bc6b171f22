"""A seed in, a life of a whole node with everything that goes wrong in it out, and what broke.

| file     | what                                                                              |
|----------|-----------------------------------------------------------------------------------|
| timeline | the events of a life, made from a seed, and as text                               |
| boards   | scripted GPUs: what they draw, what their sensors say, how they fail              |
| people   | a generated /proc: births, exits, PIDs used again, hostile names                  |
| disk     | a folder on a disk that fails, lies, and keeps after a power cut what was synced  |
| node     | the machine: its boards, its processes, its clock, its disk                       |
| agent    | the agent's own code on that machine, one start of it after the other             |
| oracle   | what must hold after each step                                                    |
| life     | a timeline lived through                                                          |
| shrink   | a life that breaks something in, the least of it that still does out              |
"""
