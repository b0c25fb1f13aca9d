"""Threads, running loops, Ctrl-C and programs that end: what surrounds a home without an event loop."""

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from chez import blocking
from chez.blocking.calls import Call
from chez.blocking.shapes import Block, same
from chez.crypto import Kdf
from chez.errors import Misuse, StorageFailed
from tests.blocking.conftest import PASSPHRASE


def test_many_threads_share_a_home(home: blocking.Home) -> None:
    """Threads write and edit at once; each edit waits for the one before it, none is lost."""
    notes = home.collection("notes")
    notes.put({"cups": 0}, id="tea")

    def work(number: int) -> None:
        notes.put({"cups": number})
        with notes.edit("tea") as draft:
            draft["cups"] += 1

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(64)))
    assert notes.get("tea").value == {"cups": 64} and notes.count() == 65


def test_a_home_works_inside_a_running_loop(path: Path) -> None:
    """As in a notebook, whose cells run inside the kernel's own loop."""
    async def cell() -> int:
        with blocking.open(path, passphrase=PASSPHRASE) as home:
            notes = home.collection("notes")
            notes.put({"title": "Tea"})
            with notes.live("tea") as answers:
                assert next(answers) is None
            return len([*notes])

    assert asyncio.run(cell()) == 1


def test_the_homes_own_thread_can_not_wait_for_itself(home: blocking.Home) -> None:
    """A function that runs on the home's loop gets `Misuse` instead of a deadlock."""
    def there() -> None:
        with pytest.raises(Misuse, match="own thread"):
            home.status()
        with pytest.raises(Misuse, match="own thread"):
            home.close()

    home._portal.do(there)


def test_closing_ends_what_other_threads_do(path: Path) -> None:
    """Closing saves no open edit and lets no call wait: both end with `StorageFailed` in their threads."""
    home = blocking.open(path, passphrase=PASSPHRASE)
    notes = home.collection("notes")
    notes.put({"cups": 1}, id="tea")
    editing, closed = threading.Event(), threading.Event()
    outcomes: list[str] = []

    def edit() -> None:
        try:
            with notes.edit("tea") as draft:
                draft["cups"] = 2
                editing.set()
                closed.wait(90)
        except StorageFailed as error:
            outcomes.append(error.message)

    def wait() -> None:
        try:
            with notes.edit("tea"):  # waits for the other edit
                pass
        except StorageFailed as error:
            outcomes.append(error.message)

    first, second = threading.Thread(target=edit), threading.Thread(target=wait)
    first.start()
    editing.wait(90)
    second.start()
    home.close()
    closed.set()
    first.join(90)
    second.join(90)
    assert outcomes == ["this home is closed"] * 2
    with blocking.open(path, passphrase=PASSPHRASE) as again:
        assert again.collection("notes").get("tea").value == {"cups": 1}


def test_a_loop_that_waits_ends_when_another_thread_closes_what_it_reads(home: blocking.Home) -> None:
    """A live record in a thread is done with without a change of it, and without closing the home: nothing comes after,
    and the loop is over as any is."""
    notes = home.collection("notes")
    notes.put({"cups": 1}, id="tea")
    watched, seen, came = notes.live("tea"), list[object](), threading.Event()

    def read() -> None:
        for record in watched:
            seen.append(record)
            came.set()

    with ThreadPoolExecutor(1) as threads:
        reading = threads.submit(read)
        assert came.wait(60)
        watched.close()
        reading.result(60)
    notes.put({"cups": 2}, id="tea")
    assert len(seen) == 1 and list(watched) == []
    watched.close()


def test_a_block_raises_its_own_error_though_the_home_was_closed(path: Path) -> None:
    """What a block raises is not hidden by the home's having been closed inside it."""
    home = blocking.open(path, passphrase=PASSPHRASE)
    home.collection("notes").put({"cups": 1}, id="tea")
    with pytest.raises(ZeroDivisionError), home.collection("notes").edit("tea"):
        home.close()
        raise ZeroDivisionError


def test_a_block_that_is_entered_while_the_home_closes_is_left_with_an_error(path: Path) -> None:
    """It was waited for when the home began to close: it is not ended as if all were well."""
    home = blocking.open(path, passphrase=PASSPHRASE)
    opened, waits, ended = home._portal._held[0], threading.Event(), list[BaseException]()

    @asynccontextmanager
    async def late() -> AsyncIterator[None]:
        waits.set()
        await asyncio.wait((opened._leaving,))
        try:
            yield
        except StorageFailed as error:
            ended.append(error)
            raise
        raise StorageFailed("nothing can be written any more")

    def enter() -> None:
        with pytest.raises(StorageFailed, match="closed"), Block(home._portal, lambda call: late(), same):
            waits.set()

    with ThreadPoolExecutor(1) as threads:
        entering = threads.submit(enter)
        waits.wait()
        home.close()
        entering.result()
    assert len(ended) == 1


def test_a_block_is_entered_once(home: blocking.Home) -> None:
    """A block that was used can't be used again."""
    home.collection("notes").put({"cups": 1}, id="tea")
    block = home.collection("notes").edit("tea")
    with block:
        pass
    with pytest.raises(Misuse, match="before"), block:
        pass


def test_a_call_that_nobody_will_end_ends() -> None:
    """A call that was handed to a loop in the instant of its end raises, instead of waiting for ever."""
    call: Call[None] = Call(lambda: StorageFailed("this home is closed"))
    with pytest.raises(StorageFailed):
        call.result(lambda: None, lambda: None)


def test_changes_are_read_to_the_end_or_until_the_home_closes(path: Path) -> None:
    """A feed that was to end by itself says so if the home closes before; one that follows just ends."""
    home = blocking.open(path, passphrase=PASSPHRASE)
    notes = home.collection("notes")
    notes.put({"title": "Tea"}, id="tea")
    assert [change.id for page in notes.changes(live=False) for change in page.changes] == ["tea"]
    following, reading = notes.changes(), notes.changes(live=False)
    assert len(next(following).changes) == len(next(reading).changes) == 1
    home.close()
    assert list(following) == []
    with pytest.raises(StorageFailed):
        next(reading)


def test_a_home_freed_anywhere_is_closed(tmp_path: Path) -> None:
    """Python may free a forgotten home in any thread, its own included: nothing is raised there."""
    other = tmp_path / "other"
    blocking.create(other, passphrase=PASSPHRASE, kdf=Kdf.minimum())
    forgotten = [blocking.open(other, passphrase=PASSPHRASE)]
    thread = forgotten[0]._portal._thread

    def free() -> None:
        with pytest.warns(ResourceWarning):
            forgotten.clear()

    forgotten[0]._portal.do(free)
    thread.join(90)
    assert not thread.is_alive()


def interrupted_once(begun: Callable[[], bool]) -> threading.Thread:
    """A thread that sends this process Ctrl-C as soon as something has begun."""
    def send() -> None:
        while not begun():
            threading.Event().wait(0.001)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


def test_ctrl_c_cancels_the_call_that_waits(home: blocking.Home) -> None:
    """The call is cancelled and has ended when KeyboardInterrupt is raised; the home goes on."""
    notes = home.collection("notes")
    answers = notes.live("tea")
    assert next(answers) is None
    pending = home._portal._calls
    while pending:  # the call before
        home.name  # noqa: B018
    sender = interrupted_once(lambda: bool(pending))
    with pytest.raises(KeyboardInterrupt):
        next(answers)
    sender.join()
    assert all(task.done() for task in [*pending]) and list(answers) == []
    notes.put({"title": "Tea"}, id="tea")
    assert notes.count() == 1


@pytest.mark.parametrize("posted", [False, True])
def test_ctrl_c_while_a_call_is_handed_over_ends_it(
    home: blocking.Home, monkeypatch: pytest.MonkeyPatch, posted: bool
) -> None:
    """Whether the loop has it by then or not: nothing is under way when KeyboardInterrupt is raised."""
    portal = home._portal
    hand_over = portal._loop.call_soon_threadsafe
    interrupts = iter([True])

    def interrupted(*args: Any, **options: Any) -> object:
        if not next(interrupts, False):
            return hand_over(*args, **options)
        if posted:
            hand_over(*args, **options)
            while not portal._calls:
                pass
        raise KeyboardInterrupt

    monkeypatch.setattr(portal._loop, "call_soon_threadsafe", interrupted)
    with pytest.raises(KeyboardInterrupt):
        portal.call(lambda _: asyncio.sleep(600))
    assert all(task.done() for task in [*portal._calls])
    assert home.collection("notes").count() == 0


def test_ctrl_c_in_a_block_discards_the_edit(home: blocking.Home) -> None:
    """A KeyboardInterrupt inside a block goes through it like any exception, and not into the home's thread."""
    notes = home.collection("notes")
    notes.put({"cups": 1}, id="tea")
    with pytest.raises(KeyboardInterrupt), notes.edit("tea") as draft:
        draft["cups"] = 2
        raise KeyboardInterrupt
    assert notes.get("tea").value == {"cups": 1}


def test_an_interrupted_opening_leaves_the_home_closed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while the passphrase is being checked leaves no thread and no lock behind."""
    from chez.home import lifecycle

    begun = threading.Event()
    original = lifecycle.database_key

    def slow(folder: Path, passphrase: str | None) -> bytes:
        begun.set()
        threading.Event().wait(0.05)
        return original(folder, passphrase)

    monkeypatch.setattr(lifecycle, "database_key", slow)

    def send() -> None:
        begun.wait(90)
        os.kill(os.getpid(), signal.SIGINT)

    sender = threading.Thread(target=send)
    sender.start()
    with pytest.raises(KeyboardInterrupt):
        blocking.open(path, passphrase=PASSPHRASE)
    sender.join()
    monkeypatch.undo()
    assert [thread.name for thread in threading.enumerate() if thread.name == "chez home"] == []
    blocking.open(path, passphrase=PASSPHRASE).close()


def test_a_home_that_is_forgotten_is_closed_and_said(path: Path) -> None:
    """A home that nobody holds any more is closed, with a ResourceWarning like an open file's."""
    home: Any = blocking.open(path, passphrase=PASSPHRASE)
    thread = home._portal._thread
    with pytest.warns(ResourceWarning, match="never closed"):
        del home
        gc.collect()
    thread.join(90)
    assert not thread.is_alive()


PROGRAM = """
import sys
from chez import blocking
home = blocking.open(sys.argv[1], passphrase=sys.argv[2])
home.collection("notes").put({"title": "Tea"}, id="tea")
print("written", flush=True)
if sys.argv[3] == "wait":
    for note in home.collection("notes").live("tea"):
        print("waiting", flush=True)
"""


def test_a_program_that_forgets_its_home_ends(path: Path) -> None:
    """A script that neither closes its home nor uses a block ends by itself, cleanly and with its writes kept."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, path, PASSPHRASE, "end"], capture_output=True, text=True,
                          timeout=90, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "written\n", "")
    with blocking.open(path, passphrase=PASSPHRASE) as home:
        assert home.collection("notes").get("tea").value == {"title": "Tea"}


def test_ctrl_c_ends_a_program_that_waits(path: Path) -> None:
    """A script in a live loop ends on Ctrl-C with one KeyboardInterrupt, nothing of ours left running."""
    with subprocess.Popen([sys.executable, "-c", PROGRAM, path, PASSPHRASE, "wait"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as program, ExitStack() as stack:
        stack.callback(program.kill)
        assert program.stdout is not None and program.stderr is not None
        assert [program.stdout.readline(), program.stdout.readline()] == ["written\n", "waiting\n"]
        program.send_signal(signal.SIGINT)
        said = program.stderr.read()
        assert program.wait(90) == -signal.SIGINT
    # It may come just as a look at the queue ends with nothing: Python then tells of that before it.
    assert said.rstrip().endswith("KeyboardInterrupt")
    assert said.count("Traceback") - said.count("During handling of") == said.count("KeyboardInterrupt") == 1
    blocking.open(path, passphrase=PASSPHRASE).close()
