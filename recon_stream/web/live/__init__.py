"""The websocket: what happens, told to those who may see it, within a moment.

A process reads recon_results, recon_mismatches and recon_dead_letters once (`reader`), keeps the newest records of each (`ring`)
and hands every record to the subscriptions that want it (`hub`), in frames that all subscriptions alike share. What was missed
comes from the ring, or from Kafka (`history`); then a subscription goes on where that ends, without a gap. A client that does not
keep up is closed and comes back with the last offsets it saw.
"""
