"""A mutex between processes whose holder may be killed at any moment.

What was weighed for guarding a few words of shared memory, as lock and unlock together: a POSIX semaphore 0.12 µs, but
a worker killed while it holds one stalls the node for good; a byte-range file lock 1.3 µs, released by the kernel; a
robust pthread mutex 0.5 µs through ctypes, also released by the kernel, which besides *tells* the next holder that
the last one died inside (EOWNERDEAD), and excludes threads of one process too. Hence the last.

``trylock`` and ``unlock`` keep the interpreter lock, which makes them cheap and is safe as they never wait; waiting is
done with the interpreter lock released, so that a thread of the same process can get on and unlock.
"""

import ctypes
import errno
import os
from typing import Any

#: octets for one mutex: 40 are used on x86-64, 48 on arm64; a cache line each, so that neighbours do not contend
SIZE = 64
#: a holder is gone in a microsecond unless it was descheduled, so a few cheap tries come before a sleep in the kernel
_TRIES = 10
_SHARED = _ROBUST = 1  # PTHREAD_PROCESS_SHARED, PTHREAD_MUTEX_ROBUST

_quick = ctypes.PyDLL(None)
_waiting = ctypes.CDLL(None)

#: lock without waiting: 0, or a number to pass to ``settle``
trylock = _quick.pthread_mutex_trylock
unlock = _quick.pthread_mutex_unlock


def prepare(region: memoryview) -> None:
    """Make a mutex of every ``SIZE`` octets of the region. Only before other processes can see it."""
    attributes = ctypes.create_string_buffer(64)
    _check(_quick.pthread_mutexattr_init(attributes))
    _check(_quick.pthread_mutexattr_setpshared(attributes, _SHARED))
    _check(_quick.pthread_mutexattr_setrobust(attributes, _ROBUST))
    for handle in handles(region):
        _check(_quick.pthread_mutex_init(handle, attributes))


def handles(region: memoryview) -> list[Any]:
    """Return what ``trylock`` and ``unlock`` take, for each mutex in the region."""
    return [ctypes.byref((ctypes.c_char * SIZE).from_buffer(region, at)) for at in range(0, len(region), SIZE)]


def settle(handle: Any, result: int) -> bool:
    """Get the mutex after ``trylock`` returned ``result``. Returns True when its last holder died while it held it."""
    for _ in range(_TRIES):
        if result != errno.EBUSY:
            break
        result = trylock(handle)
    if result == errno.EBUSY:
        result = _waiting.pthread_mutex_lock(handle)
    if result == errno.EOWNERDEAD:
        _check(_quick.pthread_mutex_consistent(handle))
        return True
    _check(result)
    return False


def _check(result: int) -> None:
    if result:
        raise OSError(result, os.strerror(result))
