# SPDX-License-Identifier: MIT
"""torqueckpt metrics: figures for Prometheus."""

from __future__ import annotations

from pathlib import Path

import click

from torqueckpt import settings
from torqueckpt.cli import ownership
from torqueckpt.reports import metrics

_FILE = click.Path(path_type=Path, dir_okay=False, resolve_path=True)


@click.command("metrics")
@click.option("--textfile", metavar="PATH", type=_FILE, help="Write it there, not to stdout.")
@click.option("--user", metavar="USER", help="Whose images (root).")
def metrics_command(textfile: Path | None, user: str | None) -> None:
    """Write the age of each job's newest image, sizes, frozen times and failures for Prometheus.

    \b
    torqueckpt metrics
    torqueckpt metrics --textfile /var/lib/prometheus/node-exporter/torqueckpt.prom

    The periodic service writes it each minute where the setting metrics_textfile names a file.
    """
    chosen = settings.load()
    data = metrics.text(ownership.owners(chosen, user), chosen)
    if textfile is None:
        click.echo(data, nl=False)
    else:
        metrics.write(textfile, data)
