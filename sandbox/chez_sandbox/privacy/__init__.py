"""Differential privacy: the values of a result that the person's device computes and noises itself.

    statistics.py   from granted rows to whole numbers, and from a drawn number to what the result says
    mechanism.py    clamping, aggregating and noise, by OpenDP
    helper.py       the process in which mechanism.py runs, and its parent's side
    utility.py      how far off a value is at its epsilon
    drawing.py      fresh values for a manifest, from granted rows or from made-up ones
    merging.py      the parts of a result: what the job says, and what was drawn

That a value is paid for, and drawn once for each grant and window, is `chez_sandbox.consent.noising`.
docs/privacy.md says what is promised and what is not. Nothing is imported here.
"""

__all__ = ()
