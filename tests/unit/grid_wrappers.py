# SPDX-License-Identifier: MIT
"""Job wrappers, and programs that print them, written for the tests in the styles of grid sites.

Each prints, or is, a wrapper that says `ready` and waits; fatal_error tells why it ends with 3.
"""

from __future__ import annotations

WRAPPER = """#!/bin/bash
fatal_error() { echo "fatal: $1 ($2)"; kill -KILL $pid; exit 3; }
trap 'fatal_error "Job has been terminated (got SIGXCPU)" "OSB"' XCPU
trap 'fatal_error "Job has been terminated (got SIGQUIT)" "OSB"' QUIT
trap 'fatal_error "Job has been terminated (got SIGTERM)" "OSB"' TERM
#trap 'warning "Job has been signalled (got SIGUSR1)" "OSB"' SIGUSR1
sleep 60 >/dev/null 2>&1 & pid=$!
echo ready
wait $pid
"""

CANCEL = WRAPPER.replace('"OSB"\'', '"OSB" "CANCEL"\'')

INDENTED = WRAPPER.replace(
    "trap 'fatal_error \"Job has been terminated (got SIGTERM)",
    '[ -n "$HOME" ] && \ttrap \'fatal_error "Job has been terminated (got SIGTERM)',
).replace("' TERM", "' SIGTERM # ours")

OTHER_QUOTES = WRAPPER.replace(
    'trap \'fatal_error "Job has been terminated (got SIGTERM)" "OSB"\' TERM',
    'trap -- "fatal_error \\"Job has been terminated (got SIGTERM)\\" \\"OSB\\"" 15; :',
)

HEREDOC = "#!/bin/sh\ncat <<'EOW'\n" + WRAPPER + "EOW\n"

OPEN_HEREDOC = (
    "#!/bin/sh\nname=wrapper\ncat <<-EOW\n"
    + WRAPPER.replace("$", "\\$").replace("echo ready", "echo ready # $name")
    + "EOW\n"
)

ECHO = (
    "#!/bin/sh\n"
    + "".join(
        'echo "{}"\n'.format(
            line.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
        )
        for line in WRAPPER.splitlines()
    )
)  # fmt: skip

PRINTF = "#!/bin/sh\n" + "".join(
    "printf '%s\\n' '{}'\n".format(line.replace("'", "'\\''")) for line in WRAPPER.splitlines()
)

QUOTES_IN_QUOTES = "#!/bin/sh\n" + "".join(
    "printf '%s\\n' '{}'\n".format(line.replace("'", "'\"'\"'")) for line in WRAPPER.splitlines()
)

# In the style of a helper that a gatekeeper calls to hand a job to its batch system.
PERL = (
    """#!/usr/bin/perl
package Local::SubmitHelper;
use strict;
use warnings;

my %description = ( count => 1, queue => 'grid' );

sub wrap
{
    my ($out, $queue) = @_;
    my @lines = ();

"""
    + "".join(
        '    push(@lines, "{}\\n");\n'.format(
            line.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$").replace("@", "\\@")
        )
        for line in WRAPPER.splitlines()
    )
    + """    print $out @lines;
}

wrap(\\*STDOUT, $description{queue});
1;
"""
)

PERL_SINGLE = "#!/usr/bin/perl -w\nuse strict;\nmy $job = '';\n" + "".join(
    "$job .= '{}' . \"\\n\";\n".format(line.replace("\\", "\\\\").replace("'", "\\'"))
    for line in WRAPPER.splitlines()
) + "print $job;\n"  # fmt: skip

PERL_HEREDOC = (
    "#!/usr/bin/perl\nuse strict;\nmy $what = 'ready';\nprint STDOUT <<\"EOW\";\n"
    + WRAPPER.replace("$", "\\$").replace("echo ready", "echo $what")
    + "EOW\n"
)

PERL_BRACES = "#!/usr/bin/perl\nprint q{" + WRAPPER + "};\n"

FILES = {
    "wrapper": WRAPPER,
    "with a further word": CANCEL,
    "behind a condition": INDENTED,
    "double quotes and a number": OTHER_QUOTES,
    "shell, quoted here-document": HEREDOC,
    "shell, open here-document": OPEN_HEREDOC,
    "shell, echo": ECHO,
    "shell, printf": PRINTF,
    "shell, printf with quotes in quotes": QUOTES_IN_QUOTES,
    "perl, push": PERL,
    "perl, single quotes": PERL_SINGLE,
    "perl, here-document": PERL_HEREDOC,
    "perl, braces": PERL_BRACES,
}
