"""The process that noises values: what it answers, and that nothing else loads the library."""

import subprocess
import sys

import pytest

from chez_sandbox.errors import BadInput, NoiseMissing
from chez_sandbox.privacy import helper
from chez_sandbox.privacy.statistics import Question


async def test_the_process_answers_each_question() -> None:
    """Each request of one call is answered in order, by as many numbers as its statistic has."""
    rows = [5] * 1000
    requests = [(Question("count", 5.0), rows), (Question("mean", 5.0, 0, 10), rows),
                (Question("histogram", 5.0, 0, 3), [3]), (Question("quantile", 5.0, 0, 10), rows)]  # fmt: skip
    count, mean, histogram, quantile = await helper.draw_all(requests)
    assert abs(count[0] - 1000) < 50 and abs(mean[1] - 1000) < 50
    assert len(mean) == 2 and len(histogram) == 4 and quantile == [5]


async def test_a_refused_question_is_a_typed_error() -> None:
    """What OpenDP refuses in the process is `BadInput` here, with its reason and no row in it."""
    with pytest.raises(BadInput, match="lower bound") as raised:
        await helper.draw_all([(Question("sum", 0.5, 5, 1), [123454321])])
    assert "123454321" not in str(raised.value)


async def test_without_the_library_nothing_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where OpenDP is not installed, the error says what to install."""
    monkeypatch.setattr(helper, "find_spec", lambda name: None if name == "opendp" else name)
    with pytest.raises(NoiseMissing, match="extra `privacy`"):
        await helper.draw_all([(Question("count", 0.5), [])])


def test_nothing_but_the_process_loads_the_library() -> None:
    """Neither `chez`, its verbs, nor the noise's own parent side load OpenDP."""
    program = (
        "import sys, chez.cli.main, chez_sandbox.consent.verbs, chez_sandbox.provider.cli\n"
        "import chez_sandbox.privacy.helper\n"
        "print([name for name in sys.modules if name.partition('.')[0] in ('opendp', 'deprecated', 'wrapt')])"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"
