#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""List the nodes with their state, processors, jobs and note, as pbsnodes does.

list_nodes.py [PROPERTY]
"""

import sys

from PBSQuery import PBSError, PBSQuery


def main() -> int:
    try:
        query = PBSQuery()
        nodes = query.getnodes_with_property(sys.argv[1]) if len(sys.argv) > 1 else query.getnodes()
    except PBSError as failure:
        print(f"list_nodes: {str(failure).strip()}", file=sys.stderr)
        return 1
    for name, node in sorted(nodes.items()):
        state = ",".join(node["state"])
        jobs = " ".join(node.get_jobs(unique=True)) or "-"
        note = ", ".join(node.note) if hasattr(node, "note") else "-"
        processors = node.np[0] if node.has_key("np") else "-"
        print(f"{name:20} {state:16} np={processors:4} {jobs:20} {note}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
