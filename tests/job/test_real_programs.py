# SPDX-License-Identifier: MIT
"""Real programs, unmodified, with two crashes each: the same bytes as without any."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from tests.job.file_jobs import checkpoint, hashes, started, uninterrupted
from tests.support import Running, Site, User

_NUMPY = """
cat >../simulate.py <<'END'
import numpy as np
field = np.random.default_rng(7).random((400, 400))
for step in range(3000):
    field = (np.roll(field, 1, 0) + np.roll(field, -1, 0) + np.roll(field, 1, 1)) / 2.9
    field[step % 400] = np.sin(field[(step * 7) % 400])
    if step % 20 == 0:
        np.save("state.npy", field)
np.save("final.npy", field)
END
exec /usr/bin/python3 ../simulate.py
"""
_SORT = """
mkdir -p tmp
export LC_ALL=C
seq 1 3000000 | awk '{ print ($1 * 7919) % 2999999, $1 }' >in
sort -S 1M --parallel=1 -T tmp -o out in
sort -S 1M --parallel=1 -T tmp -k 2 -o again out
"""
_ZSTD = """
seq 1 2500000 >in
zstd -q -17 -T1 in -o out.zst
"""
_OCTAVE = """
cat >../run.m <<'END'
a = reshape(mod((1:90000) * 7919, 1009), 300, 300) / 1009;
out = fopen("trace.txt", "w");
for i = 1:260
  a = mod(a * a' / 30 + i, 1);
  fprintf(out, "%d %.12f\\n", i, a(1 + mod(i * 17, 300), 5));
  for j = 1:12000, x = mod(j * i, 7); end
end
fclose(out);
dlmwrite("result.txt", a, "precision", 17);
END
exec octave-cli --norc ../run.m
"""
_R = """
cat >../run.R <<'END'
set.seed(7)
out <- file("trace.txt", "w")
x <- runif(200000)
for (i in 1:500) {
  x <- sort((x * 3.7 * (1 - x) + i / 1000) %% 1)
  writeLines(sprintf("%d %.15f", i, mean(x)), out)
  x <- rev(x)
}
close(out)
writeBin(x, "result.bin")
END
exec Rscript --vanilla ../run.R
"""
_PTHREADS = """
cat >../threads.c <<'END'
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>
static int fd;
static void *work(void *which)
{
    uint64_t x = (uint64_t)(intptr_t)which * 77777 + 1;
    for (int i = 0; i < 1200; i++) {
        for (int j = 0; j < 2000000; j++)
            x = x * 6364136223846793005u + 1442695040888963407u;
        if (pwrite(fd, &x, sizeof x, ((intptr_t)which * 400 + i % 40) * sizeof x) != sizeof x)
            return which;
    }
    return NULL;
}
int main(void)
{
    pthread_t thread[4];
    FILE *log = fopen("log", "w");
    fd = open("table", O_RDWR | O_CREAT, 0644);
    for (intptr_t n = 0; n < 4; n++)
        pthread_create(&thread[n], NULL, work, (void *)n);
    for (int n = 0; n < 4; n++) {
        void *failed;
        pthread_join(thread[n], &failed);
        fprintf(log, "thread %d: %s\\n", n, failed ? "failed" : "done");
    }
    return fclose(log);
}
END
cc -O1 -pthread -o ../threads ../threads.c && exec ../threads
"""
_SQLITE = """
{
    echo "PRAGMA journal_mode=DELETE; CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT, c INT);"
    echo "CREATE INDEX tc ON t(c);"
    i=0
    while [ $i -lt 1500 ]; do
        i=$((i + 1))
        echo "INSERT INTO t(b, c) VALUES (hex($i * 7919), $i % 97);"
        echo "UPDATE t SET b = b || 'x' WHERE c = $i % 89; DELETE FROM t WHERE a % 211 = $i % 211;"
    done
    echo "SELECT count(*), sum(c), sum(length(b)) FROM t;"
} >../workload.sql
sqlite3 db <../workload.sql >result.txt
"""

# name → (what must be installed, rules, program)
PROGRAMS = {
    "numpy": ("/usr/lib/python3/dist-packages/numpy", "data/*.npy=snapshot", _NUMPY),
    "sort": ("sort", "data/tmp/**=snapshot", _SORT),
    "zstd": ("zstd", "", _ZSTD),
    "octave": ("octave-cli", "", _OCTAVE),
    "R": ("Rscript", "", _R),
    "C with pthreads": ("cc", "data/table=snapshot", _PTHREADS),
    "sqlite3": ("sqlite3", "data/db*=snapshot", _SQLITE),
}
_RUNS_SECONDS = 0.6


def _crashed(running: Running, name: str) -> None:
    """Run for a while, take an image, run on, crash."""
    time.sleep(_RUNS_SECONDS)
    checkpoint(running, name)
    time.sleep(_RUNS_SECONDS / 2)
    assert running.process.poll() is None, "over before its crash: it should run for longer"
    running.crash()


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_real_program_gives_the_same_bytes_after_two_crashes(
    site: Site, user: User, name: str
) -> None:
    needed, rules, program = PROGRAMS[name]
    if not (Path(needed).exists() or shutil.which(needed, path="/usr/bin:/bin")):
        pytest.skip(f"{needed} is not installed")
    wanted = uninterrupted(user, program)
    running = started(site, user, program, rules)
    _crashed(running, "one")
    again = site.resume(user, running.job, running.directory)
    site.wait_for_restart(again)
    _crashed(again, "two")
    last = site.resume(user, again.job, running.directory)
    assert last.wait() == 0, last.err()
    assert hashes(running.directory) == wanted
