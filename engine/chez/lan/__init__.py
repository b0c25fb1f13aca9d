"""Devices of one network: found, met, and kept in step without the internet.

    policy      whom to dial, and when; no I/O
    discovery   what says who is there; `multicast` is that by DNS-SD, `browser` its part that hears names
    child       the home's own relay, a process (`chez-relay lan`)
    service     all of it for one home
"""
