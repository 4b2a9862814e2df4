# SPDX-License-Identifier: MIT
"""Signals: pending, blocked, handled."""

from __future__ import annotations

from tests.job.kinds.kind import Kind

KINDS = (
    Kind(
        "blocked and pending signals",
        """
got = []
signal.signal(signal.SIGUSR1, lambda *_: got.append("usr1"))
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGUSR2})
os.kill(os.getpid(), signal.SIGUSR1)
pause()
assert got == [] and signal.sigpending() == {signal.SIGUSR1}
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
time.sleep(0.01)
assert got == ["usr1"]
assert signal.pthread_sigmask(signal.SIG_BLOCK, set()) == {signal.SIGUSR2}
""",
    ),
    Kind(
        "queued real-time signals with values",
        """
number = signal.SIGRTMIN + 1
signal.pthread_sigmask(signal.SIG_BLOCK, {number})
for value in (11, 22):
    call(libc.sigqueue(os.getpid(), number, ctypes.c_void_p(value)))
pause()
values = []
for _ in range(2):
    info = ctypes.create_string_buffer(128)
    mask = struct.pack("16Q", 1 << (number - 1), *[0] * 15)
    assert call(libc.sigwaitinfo(mask, info)) == number
    values.append(struct.unpack_from("q", info.raw, 24)[0])
assert values == [11, 22]
""",
    ),
    Kind(
        "ignored signals and handlers",
        """
got = []
signal.signal(signal.SIGHUP, signal.SIG_IGN)
signal.signal(signal.SIGUSR2, lambda *_: got.append("usr2"))
pause()
os.kill(os.getpid(), signal.SIGHUP)
os.kill(os.getpid(), signal.SIGUSR2)
time.sleep(0.01)
assert got == ["usr2"]
""",
    ),
    Kind(
        "alternative signal stack",
        """
area = mmap.mmap(-1, 65536, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
address = ctypes.addressof(ctypes.c_char.from_buffer(area))
call(libc.sigaltstack(struct.pack("QixxxxQ", address, 0, 65536), None))
pause()
now = ctypes.create_string_buffer(24)
call(libc.sigaltstack(None, now))
assert struct.unpack("QixxxxQ", now.raw) == (address, 0, 65536)
""",
    ),
)
