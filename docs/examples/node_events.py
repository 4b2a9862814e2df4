#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Show what the nodes' own checks report: a node_check_script's events and errors.

A check script prints EVENT:key=value:key=value or ERROR and a text; the MOM sends that along with
the node's status, where PBSQuery puts it under `event` and `error`.  Without a server:

node_events.py 'rectime=1,message=EVENT:disk=full:since=12'
"""

import sys

import pbs
from PBSQuery import PBSQuery, parse


def from_argument(text):
    status = pbs.new_batch_status()
    status.name = "argument"
    status.attribs = pbs.new_attrl(1)
    status.attribs[0].name, status.attribs[0].value = pbs.ATTR_NODE_status, text
    return {status.name: parse(status, "node")}


def main() -> int:
    nodes = from_argument(sys.argv[1]) if len(sys.argv) > 1 else PBSQuery().getnodes(["status"])
    for name, node in sorted(nodes.items()):
        for key, values in node.event.items() if hasattr(node, "event") else ():
            print(f"{name}: event {key} = {','.join(values)}")
        if hasattr(node, "error"):
            print(f"{name}: error {','.join(node.error)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
