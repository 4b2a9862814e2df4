# SPDX-License-Identifier: MIT
"""Ask a node's pbs_mom, its resource monitor, directly: TORQUE 2's calls, on all versions.

Only root may ask: openrm binds a reserved port.  A MOM answers the hosts that its config names as
$clienthost or $pbsserver.  TORQUE 4 changed the shape of downrm and configrm, and wants to know
the number of questions first: there, they wait here until an answer is asked for.
"""

from __future__ import annotations

import threading
from typing import Any

from torqueckpt.ifl.attributes import Text, c_text, decoded
from torqueckpt.ifl.library import Library

_NOT_OPEN = -1


class ResourceMonitor:
    """Makes the calls of one library; a number that is not open is answered with -1 or None."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._ffi = library.ffi
        self._lock = threading.Lock()
        self._asked: dict[int, list[Any]] = {}  # per open number, the questions not sent yet
        self._awaited: dict[int, bool] = {}  # per open number, whether an answer is to come

    def openrm(self, host: Text, port: int = 0) -> int:
        """Connect; gives a number, or < 0 (minus errno from TORQUE 4 on).

        Port 0 is the service's.
        """
        function = self._library.function("openrm")
        with self._lock:
            number = int(function(c_text(self._ffi, host), port))
            if number >= 0:
                self._asked[number], self._awaited[number] = [], False
            return number

    def closerm(self, number: int) -> int:
        function = self._library.function("closerm")
        with self._lock:
            if self._asked.pop(number, None) is None:
                return _NOT_OPEN
            self._awaited.pop(number, None)
            return int(function(number))

    def downrm(self, number: int) -> int:
        """End the MOM."""
        with self._lock:
            if number not in self._asked:
                return _NOT_OPEN
            if not self._library.has_torque4_resmon:
                return int(self._library.function("downrm")(number))
            function = self._library.reshaped("downrm", "downrm_with_number")
            return int(function(self._ffi.new("int *"), number))

    def configrm(self, number: int, file: Text) -> int:
        """Have the MOM read another configuration file."""
        name = c_text(self._ffi, file)
        with self._lock:
            if number not in self._asked:
                return _NOT_OPEN
            if not self._library.has_torque4_resmon:
                return int(self._library.function("configrm")(number, name))
            function = self._library.reshaped("configrm", "configrm_with_number")
            return int(function(number, self._ffi.new("int *"), name))

    def addreq(self, number: int, line: Text) -> int:
        """Ask for one resource: "ncpus", "loadave", "size[proc=/tmp]"…; getreq gives the answer."""
        function = self._library.function("addreq")
        with self._lock:
            if number not in self._asked:
                return _NOT_OPEN
            if self._library.has_torque4_resmon:
                self._asked[number].append(c_text(self._ffi, line))
                return 0
            return int(function(number, c_text(self._ffi, line)))

    def allreq(self, line: Text) -> int:
        """Ask all open numbers the same; gives how many it went to."""
        return sum(self.addreq(number, line) == 0 for number in list(self._asked))

    def getreq(self, number: int) -> str | None:
        """Read the next answer, "name=value" or "name=? error"; None when there is none."""
        function = self._library.function("getreq")
        with self._lock:
            if number not in self._asked:
                return None
            if self._library.has_torque4_resmon:
                self._send(number)
                if not self._awaited[number]:
                    return None  # C would wait for one until the connection ends
                self._awaited[number] = False
            words = function(number)
            try:
                return decoded(self._ffi, words)
            finally:
                self._library.free(words)

    def flushreq(self) -> int:
        """Send the questions; gives how many numbers they went to."""
        with self._lock:
            if self._library.has_torque4_resmon:
                for number in self._asked:
                    self._send(number)
            return int(self._library.function("flushreq")())

    def activereq(self) -> int:
        """Find a number with an answer, else < 0; from TORQUE 4 on this waits up to 15 seconds."""
        self.flushreq()
        return int(self._library.function("activereq")())

    def fullresp(self, on: int) -> None:
        """Choose whether getreq gives "name=value" (1, as at the start) or the value alone (0)."""
        self._library.function("fullresp")(on)

    def _send(self, number: int) -> None:
        """Send the first waiting question, unless the answer to another is to come.

        One at a time: 6.1 strings the answers to one request together.
        """
        if self._awaited[number] or not self._asked[number]:
            return
        line = self._asked[number].pop(0)
        begin, add = self._library.function("begin_rm_req"), self._library.function("addreq")
        if begin(number, self._ffi.new("int *"), 1) == 0 and add(number, line) == 0:
            self._awaited[number] = True
