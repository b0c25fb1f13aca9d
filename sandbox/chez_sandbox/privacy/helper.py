"""The process in which values are noised, from both sides.

OpenDP is 270 MB of native code that converts lists while it holds the interpreter: the owner of a home
neither loads it nor waits for it. The process gets an empty environment, one request on its standard
input (MessagePack: a list of [question, whole numbers]), and answers on its standard output with a list of drawn
numbers for each, or with the text of what was wrong. It ends with its parent. It never sees a key,
and runs no code of a job.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import anyio
import msgspec

from chez_sandbox.errors import BadInput, NoiseMissing, WorkerFailed
from chez_sandbox.privacy.statistics import Question

__all__ = ("SECONDS", "Request", "draw_all", "main", "require_noise")

Request = tuple[Question, list[int]]
"""A question, and the numbers of the rows it is asked of."""

SECONDS: Final = 300.0
"""Wall time of one draw: two million rows take some seconds; a loaded machine is slow."""

_PACKAGES: Final = ("msgspec", "opendp", "deprecated", "wrapt")
_BOOT: Final = "import sys; sys.path[:0] = sys.argv[1].split('|'); from chez_sandbox.privacy.helper import main; main()"
_ANSWER: Final = msgspec.msgpack.Decoder(list[list[int]] | str)
_REQUESTS: Final = msgspec.msgpack.Decoder(list[Request])


def require_noise() -> None:
    """Raise `NoiseMissing` unless OpenDP is installed; loads nothing."""
    if missing := [package for package in _PACKAGES if find_spec(package) is None]:
        raise NoiseMissing(
            f"This job has values that are noised, and the package {missing[0]} is not installed",
            "Install chez with the extra `privacy`; nothing ran and nothing was spent",
        )


async def draw_all(requests: Sequence[Request]) -> list[list[int]]:
    """A noised answer to each question, drawn in a fresh process. Asked again, it draws again.

    Raises `NoiseMissing`, `BadInput` for a question that OpenDP refuses, `WorkerFailed` when the process
    fails or takes more than `SECONDS`.
    """
    require_noise()
    command = [sys.executable, "-I", "-S", "-c", _BOOT, _search_path(), str(os.getpid())]
    try:
        with anyio.fail_after(SECONDS):
            # Cancelled, anyio kills the process and waits for its end.
            done = await anyio.run_process(
                command, input=msgspec.msgpack.encode(requests), stderr=subprocess.DEVNULL,
                check=False, env={}, cwd="/",
            )  # fmt: skip
    except OSError as error:
        raise WorkerFailed(f"The process that noises values could not be started ({error.strerror})") from None
    except TimeoutError:
        raise WorkerFailed(f"Noising took longer than {SECONDS:g} s") from None
    try:
        answer: list[list[int]] | str = _ANSWER.decode(done.stdout)
    except msgspec.MsgspecError:
        raise WorkerFailed(f"The process that noises values ended without an answer ({done.returncode})") from None
    if isinstance(answer, str):
        raise BadInput(answer)
    if len(answer) != len(requests):
        raise WorkerFailed("The process that noises values answered another question")
    return answer


def main() -> None:
    """The process's own side: read, draw, answer, end."""
    from chez_sandbox.privacy.mechanism import draw
    from chez_sandbox.runtime.walls import die_with_parent

    die_with_parent(int(sys.argv[2]))
    requests = _REQUESTS.decode(sys.stdin.buffer.read())
    answer: list[list[int]] | str
    try:
        answer = [draw(question, numbers) for question, numbers in requests]
    except BadInput as error:
        answer = error.message
    sys.stdout.buffer.write(msgspec.msgpack.encode(answer))
    sys.stdout.buffer.flush()


def _search_path() -> str:
    """Where the process finds its packages; it has no `site`."""
    folders = [Path(__file__).resolve().parents[2]]
    for package in (*_PACKAGES, "anyio", "idna", "typing_extensions"):
        spec = find_spec(package)
        if spec is not None and spec.origin is not None:
            folders.append(Path(spec.origin).parents[1])
    return "|".join(dict.fromkeys(map(str, folders)))
