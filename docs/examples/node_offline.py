#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Take a node offline with a note that says why, or put it back; needs an operator.

node_offline.py NODE WHY
node_offline.py NODE
"""

import sys

import pbs


def main() -> int:
    if len(sys.argv) < 2:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    node, why = sys.argv[1], " ".join(sys.argv[2:])
    changes = pbs.new_attropl(2)
    # Adding and taking away leaves the node's other states alone.
    changes[0].name, changes[0].value = pbs.ATTR_NODE_state, pbs.ND_offline
    changes[0].op = pbs.INCR if why else pbs.DECR
    changes[1].name, changes[1].value = pbs.ATTR_NODE_note, why
    changes[1].op = pbs.SET
    connection = pbs.pbs_connect(pbs.pbs_default())
    if connection < 0:
        print("node_offline:", *pbs.error(), file=sys.stderr)
        return 1
    number = pbs.pbs_manager(connection, pbs.MGR_CMD_SET, pbs.MGR_OBJ_NODE, node, changes, "NULL")
    if number:
        print(f"node_offline: {pbs.pbs_geterrmsg(connection)}", file=sys.stderr)
    pbs.pbs_disconnect(connection)
    return 1 if number else 0


if __name__ == "__main__":
    sys.exit(main())
