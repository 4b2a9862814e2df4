# SPDX-License-Identifier: MIT
"""Programs of many processes, and programs that helpers start, each as users write them.

Each counts: it prints "line N" with each step, writes what it has computed to a file in data/, and
waits before its last line until the test lets it end.  Python's other ways to start processes,
joblib and a JVM are in test_multiprocessing.py.
"""

from __future__ import annotations

from dataclasses import dataclass

LAST = 40
_STEPS = f"""
import os, sys, time
def steps():
    for i in range(1, {LAST} + 1):
        while i == {LAST} and not os.path.exists(os.environ["PBS_O_WORKDIR"] + "/may-end"):
            time.sleep(0.05)
        yield i
        os.write(1, b"line %d\\n" % i)
        time.sleep(0.05)
def work(x):
    return sum(i * i % (x + 3) for i in range(2000))
"""


@dataclass(frozen=True)
class Program:
    """needs: what must be installed, programs and modules of Python."""

    needs: tuple[str, ...]
    text: str


def _python(text: str, begin: str = "exec ") -> str:
    return (
        f"cat >../program.py <<'END'\n{_STEPS}{text}END\n"
        f"{begin}/usr/bin/python3 -W ignore ../program.py\n"
    )


_SHELL_STEPS = f"""
cat >../steps.sh <<'END'
i=0
while [ $i -lt {LAST} ]; do
    i=$((i + 1))
    [ $i -lt {LAST} ] || until [ -e ../may-end ]; do sleep 0.05; done
    step || exit 1
    echo line $i
    sleep 0.05
done
END
"""


def _loader(method: str) -> Program:
    return Program(
        ("torch",),
        _python(
            f"""
import torch
from torch.utils.data import DataLoader, Dataset
class Numbers(Dataset):
    def __len__(self):
        return {LAST} * 4
    def __getitem__(self, at):
        return torch.full((64,), float(at))
if __name__ == "__main__":
    torch.manual_seed(7)
    torch.set_num_threads(1)
    loader = DataLoader(
        Numbers(), batch_size=4, num_workers=2, multiprocessing_context="{method}", shuffle=True
    )
    with open("result.txt", "w") as out:
        for i, batch in zip(steps(), loader):
            print(i, float((batch * i).sum()), file=out, flush=True)
"""
        ),
    )


_POOL = _python(
    """
import multiprocessing
if __name__ == "__main__":
    with multiprocessing.Manager() as manager, multiprocessing.Pool(2) as pool:
        shared, lock = manager.dict(), manager.Lock()
        for i in steps():
            with lock:
                shared[i] = pool.map(work, range(i, i + 4))
        with open("result.txt", "w") as out:
            print(sorted(shared.items()), file=out)
"""
)
_FUTURES = _python(
    """
from concurrent.futures import ProcessPoolExecutor
if __name__ == "__main__":
    with ProcessPoolExecutor(2) as pool, open("result.txt", "w") as out:
        for i in steps():
            print(list(pool.map(work, range(i, i + 4))), file=out, flush=True)
"""
)
_DASK = _python(
    """
from dask.distributed import Client, LocalCluster
if __name__ == "__main__":
    cluster = LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None,
        local_directory=os.environ["PBS_O_WORKDIR"] + "/dask",
    )
    with cluster, Client(cluster) as client, open("result.txt", "w") as out:
        for i in steps():
            found = client.gather(client.map(work, range(i * 4, i * 4 + 4)))
            print(found, file=out, flush=True)
"""
)
_R_CLUSTER = f"""
cat >../run.R <<'END'
library(parallel)
cluster <- makeCluster(2)
out <- file("result.txt", "w")
for (i in 1:{LAST}) {{
  while (i == {LAST} && !file.exists("../may-end")) Sys.sleep(0.05)
  x <- parSapply(cluster, 1:4, function(k, i) sum((1:1000 * k * i) %% 97), i = i)
  writeLines(paste(c(i, x), collapse = " "), out)
  flush(out)
  cat("line ", i, "\\n", sep = "")
  Sys.sleep(0.05)
}}
close(out)
stopCluster(cluster)
END
exec Rscript --vanilla ../run.R
"""
_TMUX = _SHELL_STEPS + (
    r"""
cat >../inside.sh <<'END'
step() { echo "$i $(( i * i ))" >&3; }
exec 3>result.txt
. ../steps.sh
echo done >../over
END
tmux -L job -f /dev/null new-session -d 'sh ../inside.sh >../lines'
until [ -e ../lines ]; do sleep 0.05; done
tail -n +1 -f ---disable-inotify -s 0.05 ../lines &
until [ -e ../over ]; do sleep 0.05; done
sleep 0.3
kill $!
"""
)
_SCREEN = _TMUX.replace(
    "tmux -L job -f /dev/null new-session -d",
    "export TERM=dumb SCREENDIR=$PBS_O_WORKDIR/screen; mkdir -m 700 $SCREENDIR\n"
    "screen -dmS job sh -c",
)
_SCRIPT = _SHELL_STEPS + (
    r"""
cat >../inside.sh <<'END'
step() { echo "$i $(( i * i ))" >&3; }
exec 3>result.txt
. ../steps.sh
[ -z "$(cat)" ] || exit 5
END
script --quiet --return --command 'sh ../inside.sh' ../typescript </dev/null || exit 8
sed '1d;/^Script done/d' ../typescript >seen.txt
"""
)
_NOHUP = _SHELL_STEPS + (
    r"""
cat >../inside.sh <<'END'
step() { echo "$i $(( i * i ))" >&3; }
exec 3>result.txt
. ../steps.sh
echo done >../over
END
(nohup sh ../inside.sh >../lines 2>/dev/null </dev/null &)
until [ -e ../lines ]; do sleep 0.05; done
tail -n +1 -f ---disable-inotify -s 0.05 ../lines &
until [ -e ../over ]; do sleep 0.05; done
sleep 0.3
kill $!
"""
)
_DAEMON = _python(
    """
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    sys.stdout.flush()
    with open("result.txt", "w") as out:
        for i in steps():
            print(i, work(i), file=out, flush=True)
    open("../over", "w").close()
    os._exit(0)
os.wait()
while not os.path.exists("../over"):
    time.sleep(0.05)
""",
    begin="",
)
_MPI = f"""
cat >../ring.c <<'END'
#include <mpi.h>
#include <stdio.h>
#include <unistd.h>
int main(int argc, char **argv)
{{
    int rank, size;
    double value, sum = 0;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    FILE *out = rank ? NULL : fopen("result.txt", "w");
    for (int i = 1; i <= {LAST}; i++) {{
        while (i == {LAST} && access("../may-end", F_OK))
            usleep(50000);
        value = rank * i + sum / 7;
        MPI_Allreduce(&value, &sum, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
        if (!rank) {{
            fprintf(out, "%d %.17g\\n", i, sum);
            printf("line %d\\n", i);
            fflush(stdout);
        }}
        usleep(50000);
    }}
    if (out)
        fclose(out);
    return MPI_Finalize();
}}
END
mpicc.openmpi -o ../ring ../ring.c || exit 9
mpirun.openmpi --oversubscribe -n 2 ../ring
"""
_PERL = f"""
cat >../run.pl <<'END'
$| = 1;
open my $out, ">", "result.txt";
for my $i (1 .. {LAST}) {{
    while ($i == {LAST} and not -e "../may-end") {{ select undef, undef, undef, 0.05 }}
    print $out "cut short\\n" if $i % 6 == 4 and sleep(2) < 2;
    print $out $i * $i % 97, "\\n";
    print "line $i\\n";
    select undef, undef, undef, 0.05;
}}
END
exec perl ../run.pl
"""
_FORTRAN = f"""
cat >../run.f90 <<'END'
program run
  integer :: i, began, ended, rate
  logical :: there
  open(10, file="result.txt")
  do i = 1, {LAST}
    there = i < {LAST}
    do while (.not. there)
      inquire(file="../may-end", exist=there)
      if (.not. there) call sleep(1)
    end do
    call system_clock(began, rate)
    if (mod(i, 6) == 4) call sleep(2)
    call system_clock(ended)
    if (mod(i, 6) == 4 .and. ended - began < rate * 1.99) write(10, *) "cut short"
    write(10, *) mod(i * i, 97)
    write(*, "(a,i0)") "line ", i
    flush(6)
  end do
end program run
END
gfortran -o ../run ../run.f90 || exit 9
exec ../run
"""
_NC = _SHELL_STEPS + (
    r"""
port=$((20000 + $$ % 10000))
nc -l 127.0.0.1 $port >result.txt &
listener=$!
until ss -ltn | grep -q ":$port "; do sleep 0.05; done
step() { echo "$i $(( i * i ))" >&3; }
mkfifo ../pipe
nc -N 127.0.0.1 $port <../pipe &
exec 3>../pipe
. ../steps.sh
exec 3>&-
wait $listener
"""
)
_REDIS = _SHELL_STEPS + (
    r"""
redis-server --port 0 --unixsocket $PBS_O_WORKDIR/redis.sock --save '' --dir .. >../redis.log &
server=$!
ask() { redis-cli -s $PBS_O_WORKDIR/redis.sock "$@"; }
until [ "$(ask ping 2>/dev/null)" = PONG ]; do sleep 0.05; done
exec 3>result.txt
step() { ask incrby sum $i >&3; }
. ../steps.sh
ask shutdown nosave
wait $server
"""
)
_NUMACTL = _python(
    """
import numpy as np
field = np.random.default_rng(7).random((200, 200))
with open("result.txt", "w") as out:
    for i in steps():
        field = (np.roll(field, 1, 0) + np.roll(field, 1, 1)) / 1.9 % 1
        policy = open("/proc/self/numa_maps").readline().split()[1]
        print(i, field.sum(), policy, file=out, flush=True)
""",
    begin="exec numactl --interleave=all ",
)

PROGRAMS = {
    "multiprocessing, fork": Program((), _POOL),
    "concurrent.futures": Program((), _FUTURES),
    "dask": Program(("distributed",), _DASK),
    "R makeCluster": Program(("Rscript",), _R_CLUSTER),
    "tmux": Program(("tmux",), _TMUX),
    "screen": Program(("screen",), _SCREEN),
    "script": Program(("script",), _SCRIPT),
    "nohup": Program((), _NOHUP),
    "double fork": Program((), _DAEMON),
    "Open MPI": Program(("mpicc.openmpi",), _MPI),
    "torch DataLoader, fork": _loader("fork"),
    "torch DataLoader, spawn": _loader("spawn"),
    "perl sleep": Program(("perl",), _PERL),
    "Fortran sleep": Program(("gfortran",), _FORTRAN),
    "nc": Program(("nc", "ss"), _NC),
    "redis": Program(("redis-server",), _REDIS),
    "numactl --interleave": Program(("numactl", "numpy"), _NUMACTL),
}
