"""Faults with real processes: what the product promises, while something is broken.

proxy      a TCP proxy that is slow, cuts, resets, hangs or refuses; and an HTTP server in front of the registry
points     the failpoints: every step of the write path at which a process can die, freeze or fail
child      starts a role with failpoints, a wrong clock or a spoilt copy of the code; the product knows nothing of it
bench      a stack of its own, and clean topics, database and processes for each scenario
outcome    waits for rest, asks the judge and `verify`, counts what was lost, doubled, invented or wrong
scenarios  what is broken, and how; `python -m tests.faults --list`
"""
