# SPDX-License-Identifier: MIT
"""What this machine can run (said in the report's header), and users and sites for tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests import accounts
from tests.batch import fixtures
from tests.batch.fixtures import openpbs_server as openpbs_server
from tests.batch.fixtures import torque_server as torque_server
from tests.boot import remove_ipc
from tests.support import PREFIX, Site, User, is_there

# Packages that `make test` does not bring: an init system, a daemon, large ones; with a program or
# module of each.
_NOT_BROUGHT = {
    "systemd": "systemd-analyze",
    "valgrind": "valgrind",
    "chromium": "chromium",
    "libopenmpi-dev": "mpicc.openmpi",
    "libmpich-dev": "mpicc.mpich",
    "octave": "octave-cli",
    "r-base-core": "Rscript",
    "default-jdk-headless": "jstack",
    "gfortran": "gfortran",
    "redis-server": "redis-server",
    "torch (of PyPI)": "torch",
}

# A run says the same of the same code; --hypothesis-profile=explore looks for what is new.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=5000, deadline=None)
settings.register_profile("many", derandomize=True, max_examples=1000, deadline=10_000)  # ms
settings.register_profile("quick", derandomize=True, max_examples=10, deadline=None)
settings.load_profile("steady")


# A shell that puts a run in the background has it ignore these, and so has all that it starts.
for _number, _handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGQUIT, signal.SIG_DFL),
):
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, _handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    told = "leave out what needs root, and most of the made-up input (`make test-quick`)"
    parser.addoption("--quick", action="store_true", help=told)


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("quick"):
        settings.load_profile("quick")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Under --quick, the same tests run for root as for everybody else."""
    if config.getoption("quick"):
        left_out = [item for item in items if "root" in getattr(item, "fixturenames", ())]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


def _installed() -> bool:
    return (PREFIX / "sbin" / "mom-checkpoint").exists()


def pytest_report_header(config: pytest.Config) -> list[str]:
    if config.getoption("quick"):
        return [
            "torqueckpt, quick: LEFT OUT are unit tests that need root and the PBS libraries of "
            "the tests' own (make test-unit),",
            "real jobs, batch systems, faults and the installation (make test-job); made-up input "
            "has 10 examples, not 100",
        ]
    possible = os.getuid() == 0 and _installed()
    jobs = "run" if possible else "DID NOT RUN: they need root and `make test`'s prefix"
    own = f"torqueckpt: installation {PREFIX}; tests of real jobs with real dumps: {jobs}"
    # Not in these directories' own conftest files: pytest reads those only once it collects.
    from tests.faults import conftest as faults
    from tests.ifl import conftest as ifl
    from tests.job import tracking

    if possible:
        jobs = tracking.criu()[1]
    before = f"torqueckpt: tests of memory that is dumped while jobs run: {jobs}"
    return [own, before, ifl.report(), *fixtures.report(), faults.report(), _without()]


def _without() -> str:
    lacking = [name for name, what in _NOT_BROUGHT.items() if not is_there(what)]
    told = f"DID NOT RUN: not installed here: {', '.join(lacking)}" if lacking else "run"
    return f"torqueckpt: tests with programs that make test does not bring: {told}"


@pytest.fixture(scope="session")
def installed() -> None:
    """What real jobs need: root, and programs to try."""
    if os.getuid() != 0 or not _installed():
        pytest.skip("needs root and an installation (make test)")


@pytest.fixture(scope="session")
def users(installed: None) -> Iterator[tuple[User, User]]:
    """Two ordinary users, made for the tests and taken away again."""
    one = accounts.new_name()
    with accounts.users(f"{one}a", f"{one}b") as (first, second):
        yield first, second


@pytest.fixture
def user(users: tuple[User, User]) -> Iterator[User]:
    yield users[0]
    users[0].kill_all()
    remove_ipc(users[0].uid)


@pytest.fixture
def other_user(users: tuple[User, User]) -> Iterator[User]:
    yield users[1]
    users[1].kill_all()


@pytest.fixture
def site(user: User) -> Iterator[Site]:
    """A site of its own: the installed package, with settings and a store for one test."""
    made = Site.make()
    yield made
    user.kill_all()
    made.remove()
