"""What the operating system denies the worker: the second wall, should WebAssembly's fall.

Written against the kernel's interface, without libseccomp or a Landlock package: the
worker starts faster and needs nothing installed. Sources: seccomp(2), landlock(7),
prctl(2), setrlimit(2), linux/filter.h, linux/audit.h, the kernel's syscall tables.

On another system, or an older kernel, what exists is applied; the caller is told which
walls stand and a policy decides whether that is enough.
"""

import ctypes
import os
import resource
import struct
import sys
from typing import Any

__all__ = (
    "ALL", "CAN_TIGHTEN", "DUMPABLE", "LANDLOCK", "NO_NEW_PRIVS", "REQUIRED", "RLIMITS", "SECCOMP",
    "close_door", "die_with_parent", "let_others_first", "limit", "lock_files", "tighten",
)  # fmt: skip

RLIMITS = "rlimits"
NO_NEW_PRIVS = "no-new-privs"
DUMPABLE = "not-dumpable"
LANDLOCK = "landlock"
SECCOMP = "seccomp"

ALL = (SECCOMP, LANDLOCK, RLIMITS, NO_NEW_PRIVS, DUMPABLE)
"""The strongest first."""

REQUIRED = frozenset({RLIMITS, SECCOMP} if sys.platform.startswith("linux") else ())
"""The walls without which a home runs no job. Where Linux has them: together they leave memory and computing.
Elsewhere there are none to require, and the component is the only wall."""

CAN_TIGHTEN = hasattr(resource, "prlimit")
"""Whether `tighten` exists on this system (Linux)."""

_NICE, _LEAST = 5, 19  # a third of the engine's share of a busy processor; what no process is below
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_SIGKILL = 9

# Landlock's system calls have one number on every architecture.
_LANDLOCK_CREATE_RULESET, _LANDLOCK_RESTRICT_SELF = 444, 446
_LANDLOCK_VERSION_FLAG = 1


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent: int) -> bool:
    """The kernel kills this process when the parent's thread ends; True if that holds."""
    if not sys.platform.startswith("linux"):
        return False
    done: bool = _libc().prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0) == 0
    if os.getppid() != parent:
        os._exit(1)  # it ended before the request
    return done


def let_others_first() -> None:
    """Lowers the priority of this thread, and of those it starts: the engine goes first, wherever its own stands.

    To set one that is higher than the engine's is not allowed to everybody.
    """
    os.setpriority(os.PRIO_PROCESS, 0, min(_LEAST, os.getpriority(os.PRIO_PROCESS, 0) + _NICE))


def limit(*, data: int, address_space: int, cpu_seconds: int, file_size: int = 0) -> bool:
    """rlimits: bytes of writable memory and of address space, seconds of processor, file size.

    Open files and new processes are denied too: call it when everything is open and
    every thread started.
    """
    wanted = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: cpu_seconds,
        resource.RLIMIT_DATA: data,
        resource.RLIMIT_AS: address_space,
        resource.RLIMIT_FSIZE: file_size,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_NOFILE: 0,
        resource.RLIMIT_MEMLOCK: 0,
    }
    if not sys.platform.startswith("linux"):
        # Elsewhere address space is counted too differently to be limited.
        del wanted[resource.RLIMIT_DATA], wanted[resource.RLIMIT_AS]
    try:
        for which, most in wanted.items():
            resource.setrlimit(which, (most, most))
    except (OSError, ValueError):
        return False
    return True


def tighten(process: int, *, data: int, address_space: int, cpu_seconds: int) -> bool:
    """Lowers the rlimits of a child of ours that waits behind its walls; True if all hold.

    A hard limit only ever goes down: one that would have to rise is a refusal. See prlimit(2).
    """
    wanted = {
        resource.RLIMIT_CPU: cpu_seconds,
        resource.RLIMIT_DATA: data,
        resource.RLIMIT_AS: address_space,
    }
    try:
        for which, most in wanted.items():
            _, hard = resource.prlimit(process, which)
            if hard != resource.RLIM_INFINITY and hard < most:
                return False
            resource.prlimit(process, which, (most, most))
    except (OSError, ValueError):
        return False
    return True


def lock_files() -> tuple[str, ...]:
    """No new privileges, no attaching debugger, and Landlock with no rule at all.

    Landlock holds for this thread and those it starts later.
    """
    if not sys.platform.startswith("linux"):
        return ()
    libc = _libc()
    standing = []
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) == 0:
        standing.append(DUMPABLE)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
        standing.append(NO_NEW_PRIVS)
        if _landlock(libc):
            standing.append(LANDLOCK)
    return tuple(standing)


def _landlock(libc: ctypes.CDLL) -> bool:
    """Handles every right this kernel knows and grants none: files, TCP, abstract sockets, signals."""
    version = libc.syscall(_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), _LANDLOCK_VERSION_FLAG)
    if version < 1:
        return False
    files = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)) - 1
    rights = struct.pack("=QQQ", files, 0b11, 0b11)  # files; bind, connect; abstract sockets, signals
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = libc.syscall(_LANDLOCK_CREATE_RULESET, rights, ctypes.c_size_t(size), 0)
    if ruleset < 0:
        return False
    try:
        return bool(libc.syscall(_LANDLOCK_RESTRICT_SELF, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


# --- seccomp -----------------------------------------------------------------------------

# What running WebAssembly and answering its calls needs: memory, futexes, time, signals of
# its own, ending. Reading and writing are further down: on the one channel only. Nothing
# opens, connects, forks, executes, traces, or asks for entropy.
_X86_64: dict[str, Any] = {
    "arch": 0xC000003E, "seccomp": 317, "read": 0, "write": 1, "lseek": 8, "mmap": 9, "mprotect": 10,
    "plain": {
        "close": 3, "munmap": 11, "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15,
        "sched_yield": 24, "mremap": 25, "madvise": 28, "exit": 60, "sigaltstack": 131, "gettid": 186,
        "futex": 202, "restart_syscall": 219, "clock_gettime": 228, "clock_nanosleep": 230, "exit_group": 231,
    },
}  # fmt: skip
_AARCH64: dict[str, Any] = {
    "arch": 0xC00000B7, "seccomp": 277, "read": 63, "write": 64, "lseek": 62, "mmap": 222, "mprotect": 226,
    "plain": {
        "close": 57, "munmap": 215, "brk": 214, "rt_sigaction": 134, "rt_sigprocmask": 135,
        "rt_sigreturn": 139, "sched_yield": 124, "mremap": 216, "madvise": 233, "exit": 93,
        "sigaltstack": 132, "gettid": 178, "futex": 98, "restart_syscall": 128, "clock_gettime": 113,
        "clock_nanosleep": 115, "exit_group": 94,
    },
}  # fmt: skip

_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06  # BPF: ld abs word; jeq; jset; ret
_ALLOW, _DENY = 0x7FFF0000, 0x00050000 | 1  # SECCOMP_RET_ALLOW; SECCOMP_RET_ERRNO with EPERM
_NUMBER, _ARCH, _ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data; arguments are 8 bytes each
_PROT_EXEC = 4
_SET_MODE_FILTER, _FLAG_TSYNC = 1, 1


def close_door(
    readable: tuple[int, ...],
    writable: tuple[int, ...],
    *,
    seekable: tuple[int, ...] = (),
    executable: bool = False,
) -> bool:
    """The seccomp filter, on every thread: a short list of calls, all else EPERM.

    `read` works on the descriptors given only, `write` and `lseek` likewise; no memory can be made
    executable any more (the compiled code is mapped already) unless `executable`, which
    the compiler needs: wasmtime maps what it compiled before it hands it out.
    """
    if not sys.platform.startswith("linux") or sys.byteorder != "little":
        return False
    table = {"x86_64": _X86_64, "aarch64": _AARCH64}.get(os.uname().machine)
    if table is None or ctypes.sizeof(ctypes.c_void_p) != 8:
        return False
    program = _program(table, readable, writable, seekable, executable)

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))

    header = Program(len(program) // 8, program)
    number = table["seccomp"]
    return bool(_libc().syscall(number, _SET_MODE_FILTER, _FLAG_TSYNC, ctypes.byref(header)) == 0)


def _program(
    table: dict[str, Any],
    readable: tuple[int, ...],
    writable: tuple[int, ...],
    seekable: tuple[int, ...],
    executable: bool,
) -> bytes:
    """BPF: each rule is a block that ends in ALLOW or DENY, or falls through to the next."""

    def instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
        return struct.pack("=HBBI", code, if_true, if_false, value)

    allow, deny = instruction(_RETURN, _ALLOW), instruction(_RETURN, _DENY)

    def block(number: int, body: bytes) -> bytes:
        """`body` for this system call: loads the number anew, for a body may have loaded an argument."""
        return instruction(_LOAD, _NUMBER) + instruction(_EQUAL, number, 0, len(body) // 8) + body

    def on(descriptors: tuple[int, ...]) -> bytes:
        body = instruction(_LOAD, _ARGUMENT)  # argument 0, its low half: a descriptor
        for descriptor in descriptors:
            body += instruction(_EQUAL, descriptor, 0, 1) + allow
        return body + deny

    # Argument 2 of mmap and mprotect: the protection wanted.
    protection = instruction(_LOAD, _ARGUMENT + 16)
    memory = allow if executable else protection + instruction(_ANY_BIT, _PROT_EXEC, 0, 1) + deny + allow
    program = instruction(_LOAD, _ARCH) + instruction(_EQUAL, table["arch"], 1, 0) + deny
    program += block(table["read"], on(readable)) + block(table["write"], on(writable))
    program += block(table["lseek"], on(seekable))
    program += block(table["mmap"], memory) + block(table["mprotect"], memory)
    for number in table["plain"].values():
        program += block(number, allow)
    return program + deny
