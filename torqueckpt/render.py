# SPDX-License-Identifier: MIT
"""Render generated files from jinja2 templates that decide nothing; a site's own copy wins."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from torqueckpt import paths
from torqueckpt.errors import SettingsError


def directories() -> list[Path]:
    """The directories that templates are looked for in, the first one wins."""
    return [
        paths.settings_file().parent / "templates",
        Path(sys.prefix) / "share" / "torqueckpt" / "templates",
        Path(__file__).resolve().parent.parent / "templates",  # a checkout
    ]


def render(template: str, values: Mapping[str, object]) -> str:
    """Render e.g. "torque/resume_job.sh.j2"; a value that the template lacks is an error."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(directories()),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=lambda name: name is not None and name.endswith(".html.j2"),
    )
    environment.filters["sh"] = shlex.quote
    environment.filters["repr"] = repr
    try:
        return environment.get_template(template).render(values)
    except jinja2.TemplateNotFound as missing:
        looked = ", ".join(map(str, directories()))
        raise SettingsError(file=template, problem=f"no such template in {looked}") from missing
    except jinja2.TemplateError as broken:
        raise SettingsError(file=template, problem=str(broken)) from broken
