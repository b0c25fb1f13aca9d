"""Differential privacy: the values of a result that the person's device computes and noises itself.

    statistics.py   from granted rows to whole numbers, and from a drawn number to what the result says
    mechanism.py    clamping, aggregating and noise, by OpenDP
    helper.py       the process in which mechanism.py runs, and its parent's side
    utility.py      how far off a value is at its epsilon
    store.py        each value is drawn once per grant and window, and kept
    merging.py      the parts of a result: what the job says, and what was drawn

docs/privacy.md says what is promised and what is not. Nothing is imported here.
"""

__all__ = ()
