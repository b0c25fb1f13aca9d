"""The operating system's walls, with WebAssembly out of the way: a probe attacks from behind them."""

import json
import mmap
import os
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chez_sandbox.runtime import walls
from chez_sandbox.runtime.host import Runtime
from chez_sandbox.runtime.messages import CODE, Failed
from chez_sandbox.runtime.process import _search_path

from .jobs import job, run

SANDBOX = Path(walls.__file__).resolve().parents[2]

# What foreign native code would try in the worker. Each line is one attempt; what it
# raises is reported by name, and what it achieves as "done".
PROBE = r"""
import sys; sys.path.insert(0, sys.argv[1])
import ctypes, json, mmap, os, resource, signal, socket, threading
from chez_sandbox.runtime import walls
libc = ctypes.CDLL(None, use_errno=True)
inet, other, unix = socket.socket(), socket.socket(), socket.socket(socket.AF_UNIX)
spare = os.open("/dev/null", os.O_RDWR)
maps = os.open("/proc/self/maps", os.O_RDONLY)
host = socket.socket()
host.bind(("127.0.0.1", 0)); host.listen()

def syscall(*arguments):
    result = libc.syscall(*map(ctypes.c_long, arguments))
    if result < 0: raise OSError(ctypes.get_errno(), "syscall")
    return result

def fork():
    child = os.fork()
    if child == 0: os._exit(0)
    os.waitpid(child, 0)

def thread():
    made = threading.Thread(target=int); made.start(); made.join()

def map_code():
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)

def turn_into_code():
    page = mmap.mmap(-1, 4096)
    at = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    if libc.mprotect(at, ctypes.c_size_t(4096), 5): raise OSError(ctypes.get_errno(), "not code")

def has_some(which):
    if resource.getrlimit(which) == (0, 0): raise OSError("it has none of it")

PR_GET_DUMPABLE = 3
def be_dumped():
    if libc.prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 1: raise OSError("it is not dumped")

TRIES = {
    "open": lambda: os.open("/etc/passwd", os.O_RDONLY),
    "create": lambda: os.open("/tmp/chez-probe", os.O_CREAT | os.O_WRONLY),
    "list": lambda: os.listdir("/"),
    "stat": lambda: os.stat("/etc/passwd"),
    "unlink": lambda: os.unlink("/tmp/chez-probe-not-there"),
    "socket": lambda: socket.socket(),
    "connect": lambda: inet.connect(host.getsockname()),
    "bind": lambda: other.bind(("127.0.0.1", 0)),
    "abstract": lambda: unix.connect("\0" + sys.argv[4]),
    "fork": fork,
    "exec": lambda: os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0),
    "thread": thread,
    "read memory": lambda: syscall(310, os.getppid(), 0, 0, 0, 0, 0),
    "kill": lambda: os.kill(os.getppid(), 0),
    "map code": map_code,
    "turn into code": turn_into_code,
    "be dumped": be_dumped,
    "a core's size": lambda: has_some(resource.RLIMIT_CORE),
    "processes": lambda: has_some(resource.RLIMIT_NPROC),
    "locked memory": lambda: has_some(resource.RLIMIT_MEMLOCK),
    "entropy": lambda: os.urandom(8),
    "io_uring": lambda: syscall(425, 8, 0),
    "bpf": lambda: syscall(321, 0, 0, 0),
    "namespace": lambda: syscall(272, 0x10000000),
    "keyring": lambda: syscall(250, 0, 0, 0),
    "write elsewhere": lambda: os.write(spare, b"x"),
    "read elsewhere": lambda: os.read(spare, 1),
    "seek elsewhere": lambda: os.lseek(spare, 0, 0),
    "look at its own maps": lambda: os.lseek(maps, 0, 0) or os.read(maps, 1),
    "memory": lambda: bytearray(1 << 30),
    "regain": lambda: walls.limit(data=1 << 40, address_space=1 << 40, cpu_seconds=99) or 1 / 0,
    "ptrace": lambda: syscall(101, 0, 0, 0, 0),
}
out = int(sys.argv[2]); which = sys.argv[3].split(",")
standing = list(walls.lock_files()) if "files" in which else []
PR_SET_NO_NEW_PRIVS = 38
if "privileges" in which and libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0: standing.append("no-new-privs")
if "rlimits" in which and walls.limit(data=400 << 20, address_space=1 << 32, cpu_seconds=20):
    standing.append("rlimits")
looked_at = (maps,) if "looking" in which else ()
if "seccomp" in which and walls.close_door((out, *looked_at), (out,), seekable=looked_at):
    standing.append("seccomp")
report = {}
for name, attempt in TRIES.items():
    try: attempt(); report[name] = "done"
    except BaseException as problem: report[name] = type(problem).__name__
os.write(out, json.dumps([standing, report]).encode())
os._exit(0)
"""


def probe(which: str) -> tuple[list[str], dict[str, str]]:
    reading, writing = os.pipe()
    # An abstract socket of another process: Landlock's rule is about those outside.
    name = f"chez-probe-{os.getpid()}-{writing}"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"\0{name}")
    listener.listen()
    try:
        command = [sys.executable, "-I", "-S", "-c", PROBE, str(SANDBOX), str(writing), which, name]
        subprocess.run(command, check=True, pass_fds=(writing,), env={}, timeout=90)
    finally:
        listener.close()
        os.close(writing)
    with open(reading) as answer:
        standing, report = json.load(answer)
    return standing, report


ALLOWED_BY_NATURE = {"memory"}  # within its limit; not seccomp's business


def test_all_walls_together_leave_nothing() -> None:
    """Behind all walls every attempt fails: files, network, processes, debugger, code, entropy, memory."""
    standing, report = probe("files,rlimits,seccomp")
    assert set(standing) == {walls.DUMPABLE, walls.NO_NEW_PRIVS, walls.LANDLOCK, walls.RLIMITS, walls.SECCOMP}
    assert {name for name, end in report.items() if end == "done"} == set()
    assert report["memory"] == "MemoryError"


@pytest.mark.slow
def test_seccomp_alone_denies_every_call() -> None:
    """Without Landlock and rlimits the filter alone stops everything but memory."""
    standing, report = probe("privileges,seccomp")  # it needs no_new_privs when not root
    assert standing == [walls.NO_NEW_PRIVS, walls.SECCOMP]
    assert {name for name, end in report.items() if end == "done"} == ALLOWED_BY_NATURE
    assert {report[name] for name in ("open", "socket", "fork", "exec", "ptrace")} <= {"PermissionError"}


def test_a_worker_that_waits_may_look_at_its_own_maps_only() -> None:
    """The descriptors that a rehearsal needs can be read and sought in, and no other can."""
    _, report = probe("files,rlimits,seccomp,looking")
    assert {name for name, end in report.items() if end == "done"} == {"look at its own maps"}


def test_landlock_alone_denies_files_and_network() -> None:
    """Without the filter Landlock alone stops opening, listing, creating, executing, TCP and signals; and no other
    process looks into this one."""
    standing, report = probe("files")
    assert set(standing) == {walls.DUMPABLE, walls.NO_NEW_PRIVS, walls.LANDLOCK}
    for name in ("open", "create", "list", "exec", "connect", "bind", "abstract", "kill"):
        assert report[name] == "PermissionError" or (name == "abstract" and report[name] != "done"), name
    assert report["be dumped"] == "OSError"
    assert report["stat"] == "done"  # metadata is what Landlock leaves; seccomp takes it


def test_rlimits_alone_deny_files_and_memory() -> None:
    """Without the other walls the limits alone stop open files, sockets and memory, and leave no process, no locked
    memory and no picture of the memory on the disk."""
    standing, report = probe("rlimits")
    assert standing == [walls.RLIMITS]
    none = ("open", "create", "socket", "a core's size", "processes", "locked memory")
    assert {report[name] for name in none} == {"OSError"}
    assert report["memory"] == "MemoryError"


def lets(program: bytes, arch: int, number: int, *arguments: int) -> bool:
    """Whether the kernel would let a call through by this filter: as seccomp(2) and bpf(4) say it is run."""
    call = struct.pack("=iIQ6Q", number, arch, 0, *arguments, *[0] * (6 - len(arguments)))
    at = loaded = 0
    while True:
        code, if_true, if_false, value = struct.unpack_from("=HBBI", program, at)
        at += 8
        if code == walls._LOAD:
            (loaded,) = struct.unpack_from("=I", call, value)
        elif code == walls._RETURN:
            return bool(value == walls._ALLOW)
        else:
            holds = loaded == value if code == walls._EQUAL else loaded & value
            at += 8 * (if_true if holds else if_false)


@pytest.mark.parametrize("table", [walls._X86_64, walls._AARCH64], ids=["x86_64", "aarch64"])
def test_the_filter_lets_through_what_it_names_and_nothing_else(table: dict[str, Any]) -> None:
    """On every kind of processor: the calls of its table, on these descriptors, without new code, and none that is made
    in the numbers of another kind (of which 11 ends some memory here and begins a program there)."""
    program, arch = walls._program(table, (5,), (6,), (7,), False), table["arch"]
    let = {number for number in range(500) if lets(program, arch, number, 9, 0, mmap.PROT_READ)}
    assert let == {*table["plain"].values(), table["mmap"], table["mprotect"]}
    assert not any(lets(program, arch ^ 1, number, 5) for number in range(500))
    for name, only in (("read", 5), ("write", 6), ("lseek", 7)):
        assert [one for one in range(12) if lets(program, arch, table[name], one)] == [only]
    compiling = walls._program(table, (), (), (), True)
    for name in ("mmap", "mprotect"):
        assert lets(compiling, arch, table[name], 0, 0, mmap.PROT_EXEC)
        assert not lets(program, arch, table[name], 0, 0, mmap.PROT_READ | mmap.PROT_EXEC)


LIMITED = r"""
import sys; sys.path.insert(0, sys.argv[1])
import os, tempfile
from chez_sandbox.runtime import walls
file = tempfile.TemporaryFile()
assert walls.limit(data=400 << 20, address_space=1 << 32, cpu_seconds=int(sys.argv[2]), file_size=int(sys.argv[3]))
turns = 0
while turns < 10**6 or sys.argv[4] == "for ever": turns += 1
try: written = os.write(file.fileno(), bytes(1000))
except OSError as problem: written = type(problem).__name__
print(written)
"""


def limited(cpu_seconds: int, file_size: int, turns: str = "a while") -> tuple[int, str]:
    """How a process under these two rlimits ends, and how much of a file of 1,000 bytes it wrote."""
    command = [sys.executable, "-I", "-S", "-c", LIMITED, str(SANDBOX), str(cpu_seconds), str(file_size), turns]
    done = subprocess.run(command, env={}, timeout=120, capture_output=True, text=True)
    return done.returncode, done.stdout.strip()


def test_the_limit_of_the_processor_alone_ends_a_loop() -> None:
    """A process that computes beyond its seconds of processor is killed by the kernel, whatever it catches."""
    assert limited(1, 1000, "for ever") in [(-signal.SIGKILL, ""), (-signal.SIGXCPU, "")]


def test_the_limit_of_a_files_size_alone_stops_a_write() -> None:
    """Into a file that is open already nothing is written beyond the size; within both limits a process ends well."""
    assert limited(60, 1000) == (0, "1000")
    assert limited(60, 999) == (0, "999")
    assert limited(60, 0) == (0, "OSError")


@pytest.mark.slow
def test_the_probe_can_do_it_without_walls() -> None:
    """With no wall the same attempts succeed: the probe is a real one."""
    standing, report = probe("none")
    assert standing == []
    able = {
        "open", "create", "list", "stat", "socket", "connect", "bind", "abstract", "exec", "fork",
        "thread", "kill", "map code", "turn into code", "be dumped", "entropy",
        "write elsewhere", "read elsewhere", "seek elsewhere", "look at its own maps", "memory",
    }  # fmt: skip
    assert able <= {name for name, end in report.items() if end == "done"}
    Path("/tmp/chez-probe").unlink()


LOOKS = """
import sys; sys.path[:0] = sys.argv[1].split("|")
import os, wasmtime
from wasmtime import component as wc
from chez_sandbox.runtime import worker

def look(engine, path):
    tried = []
    for name in (path, "/etc/passwd"):
        try: os.close(os.open(name, os.O_RDONLY)); tried.append("done")
        except OSError as problem: tried.append(type(problem).__name__)
    raise wasmtime.WasmtimeError(" ".join(tried))

wc.Component.deserialize_file = look
worker.main(sys.argv[2:])
"""


def test_compiled_code_is_read_where_no_other_file_can_be() -> None:
    """Whoever took over the compiler of a provider's component wrote what a worker reads first: by then nothing can be
    opened but the sealed copy of it."""
    ours, theirs = socket.socketpair()
    limits = map(str, (os.getpid(), 1 << 30, 1 << 32, 20, 0))
    command = [sys.executable, "-I", "-S", "-c", LOOKS, _search_path(), str(theirs.fileno()), *limits]
    code = os.memfd_create("code")
    with ours, theirs, subprocess.Popen(command, pass_fds=(theirs.fileno(),), env={}) as reading:
        socket.send_fds(ours, [CODE], [code])
        theirs.close()
        said = b"".join(iter(lambda: ours.recv(4096), b""))
        assert reading.wait() == 0
    os.close(code)
    assert msgspec.msgpack.decode(said[4:], type=Failed).reason == "done PermissionError"


async def test_the_worker_stands_behind_them(runtime: Runtime) -> None:
    """A run reports every wall on this system."""
    result = await run(runtime, job("1"))
    assert set(result.walls) == {
        walls.DUMPABLE, walls.NO_NEW_PRIVS, walls.LANDLOCK, walls.RLIMITS, walls.SECCOMP
    }  # fmt: skip
