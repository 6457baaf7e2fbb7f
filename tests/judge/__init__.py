"""The judge: says from the Kafka topics alone whether what was published is right.

It is written from section 4 of the design and from nothing else. It shares no code with the product or with the
simulator (a test holds that), keeps no incremental state and prefers the obvious to the fast: each rule is a function
over complete lists of records.

    rules      the rules file, ISO 4217
    records    raw records -> what the judge reads in them (valid, rejected, unreadable, without key, too late)
    onesource  the records of one source of one case -> its leg and its breaks of one source
    picture    three sources and the deadlines that have passed -> verdict, open breaks, legs
    history    an ordered list of facts -> every result that must be published
    truth      all records -> the expected picture of every case, expected dead letters
    explain    a published chain of revisions -> the order of arrival that explains it, or why there is none
    verdicts   topics -> report; `python -m tests.judge` prints it
"""
