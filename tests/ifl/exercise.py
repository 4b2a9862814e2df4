# SPDX-License-Identifier: MIT
"""Every kind of call, over and over: `python -m tests.ifl.exercise LIBRARY ROUNDS`.

Run as a program under valgrind or AddressSanitizer, and as a function by the test of flat memory.
"""

from __future__ import annotations

import sys

from torqueckpt.ifl.attributes import Attribute
from torqueckpt.ifl.call import Calls
from torqueckpt.ifl.library import Library
from torqueckpt.ifl.resmon import ResourceMonitor


def exercise(library: Library) -> None:
    """One round: connect, ask, change, be refused, ask a MOM, disconnect."""
    calls = Calls(library)
    c = calls.connect("fake").value
    wanted = [Attribute("job_state"), Attribute("Resource_List", "walltime")]
    for name in ("pbs_statjob", "pbs_statque", "pbs_statnode"):
        for id in ("", "none", "unknown"):
            calls.status(name, c, id, wanted, "x")
    calls.status("pbs_statserver", c, None, None)
    calls.status("pbs_selstat", c, wanted, None)
    calls.job_ids(c, wanted, None)
    output = Attribute("Output_Path", "", "out")
    calls.text("pbs_submit", c, [*wanted, output], "script", None, "x")
    calls.text("pbs_submit", c, wanted, "script", "closed", None)
    calls.text("pbs_locjob", c, "1", "")
    calls.number("pbs_alterjob", c, "1", [*wanted, output], b"x")
    calls.number("pbs_manager", c, 2, 3, "n1", [Attribute("state", "", "offline")], None)
    for id in ("1", "unknown"):
        calls.number("pbs_holdjob", c, id, "u", "extend that is longer than the word timeout")
        calls.number("pbs_deljob", c, id, None)
    calls.message(c)
    calls.disconnect(c)
    calls.disconnect(c)
    calls.connect("refused")
    monitor = ResourceMonitor(library)
    number = monitor.openrm("mom", 0)
    monitor.addreq(number, "ncpus")
    monitor.getreq(number)
    monitor.getreq(number)
    monitor.closerm(number)


if __name__ == "__main__":
    opened = Library(sys.argv[1])
    for _ in range(int(sys.argv[2])):
        exercise(opened)
    print("rounds", sys.argv[2])
