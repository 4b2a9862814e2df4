# SPDX-License-Identifier: MIT
"""Makes the man pages: pages.py DIRECTORY [DOC].  Each has one source, none says anything twice.

A page is the text beside this file (NAME.SECTION.md); for a command of torqueckpt it is what its
--help says, with the further sections of that text where there is one; for torqueckpt.toml it is
the comments of conf/torqueckpt.toml; and some pages of docs/ are man pages as they stand.  All
become the same few forms of Markdown, and then roff.  DOC is where docs/ is installed.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from torqueckpt import __version__
from torqueckpt.cli.main import whole

HERE = Path(__file__).resolve().parent
SETTINGS = HERE.parents[1] / "conf" / "torqueckpt.toml"
DOC = "/usr/local/share/doc/torqueckpt"
OF_DOCS = ("exit-codes", "files", "resources")  # docs/NAME.md is torqueckpt-NAME(7) too
_SECTIONS = {
    "1": "User commands",
    "5": "File formats",
    "7": "Miscellaneous information",
    "8": "System administration",
}
_SPAN = re.compile(
    r"`(?P<code>[^`]+)`|\*\*(?P<bold>\S(?:.*?\S)?)\*\*|\*(?P<italic>\w(?:[^*`]*\w)?)\*"
)


def pages(doc: str = DOC) -> dict[str, str]:
    """Every page's roff, by its file's name."""
    texts = {path.name[:-3]: path.read_text("utf-8") for path in sorted(HERE.glob("*.md"))}
    listed = []
    for name, command in commands(whole()):
        page = f"{name.replace(' ', '-')}.1"
        listed.append(f"- `{name}`: {_first_line(command)}")
        texts[page] = command_page(name, command, texts.get(page, ""))
    first = texts["torqueckpt.1"].replace("(COMMANDS)", "\n".join(listed))
    texts["torqueckpt.1"] = first.replace("(DOC)", doc)
    options = settings_list(SETTINGS.read_text("utf-8"))
    texts["torqueckpt.toml.5"] = texts["torqueckpt.toml.5"].replace("(OPTIONS)", options)
    for name in OF_DOCS:
        text = (HERE.parent / f"{name}.md").read_text("utf-8")
        texts[f"torqueckpt-{name}.7"] = page_of_docs(name, text)
    return {name: roff(name, named(text)) for name, text in texts.items()}


def named(text: str) -> str:
    """Pages of docs/ that are man pages are called by that name."""
    return re.sub(rf"docs/({'|'.join(OF_DOCS)})\.md", r"torqueckpt-\1(7)", text)


def commands(group: click.Group, before: str = "torqueckpt") -> Iterator[tuple[str, click.Command]]:
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from commands(command, f"{before} {name}")
        elif not command.hidden:  # programs call these
            yield f"{before} {name}", command


def _first_line(command: click.Command) -> str:
    return " ".join(_paragraphs(command)[0].split())


def _paragraphs(command: click.Command) -> list[str]:
    return inspect.cleandoc(command.help or "").split("\n\n")


def command_page(name: str, command: click.Command, more: str) -> str:
    """--help as a page; `more` is the text that has sections of its own for it."""
    context = click.Context(command, info_name=name)
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    parts = [f"# {name.replace(' ', '-')} - {_first_line(command)}", f"    {usage}"]
    last: list[str] = []
    for number, part in enumerate(_paragraphs(command)[1:]):
        block = part.replace("\b\n", "", 1)  # click's mark of lines that stay as they are
        heading = _heading(block, name) if block != part else ""
        if heading:
            parts += [] if number else [_first_line(command)]
            last += [heading, _indented(block)]
        else:
            parts.append(block if block == part else _indented(block))
    told = [each.get_help_record(context) for each in command.params]
    options = [f"- `{what}`: {why}" for what, why in filter(None, told) if why]
    parts += ["## Options", "\n".join(options)] if options else []
    parts += [more, *last]
    if "## Exit status" not in "\n".join(parts):
        parts.append("## Exit status\n\n0, or one of the codes in docs/exit-codes.md.")
    return "\n\n".join([*parts, "## See also\n\ntorqueckpt(1), torqueckpt.toml(5)"])


def _heading(block: str, name: str) -> str:
    """What a block of --help that is left as it is stands below; "" for text."""
    if re.match(rf"(sudo )?{name.rpartition(' ')[0]}", block):
        return "## Examples"
    return "## Exit status" if re.match(r"\d+  ", block) else ""


def page_of_docs(name: str, text: str) -> str:
    """A page of docs/ with the headings that a man page has; fenced lines become indented ones."""
    title, _, rest = text.removeprefix("# ").partition("\n")
    rest = re.sub(r"^```\w*\n(.*?)^```$", lambda it: _indented(it[1]), rest, flags=re.M | re.S)
    head = f"# torqueckpt-{name} - {title[0].lower()}{title[1:]}\n\n## Description\n\n"
    return f"{head}{rest.strip()}\n\n## See also\n\ntorqueckpt(1), torqueckpt.toml(5)\n"


def _indented(text: str) -> str:
    return "\n".join("    " + line for line in text.splitlines())


def settings_list(conf: str) -> str:
    """Sections and options of a file where comments stand before options, several sharing one."""
    parts = []
    for block in conf.partition("# ---- ")[2].split("\n\n"):
        lines = block.splitlines()
        if lines[0].endswith(" ----"):
            parts.append(f"## {lines.pop(0).strip('#- ')}")
        lines = [line[2:] for line in lines]
        options = [line for line in lines if line.partition(" = ")[0].isidentifier()]
        said = " ".join(line for line in lines if line not in options)
        term = ", ".join(f"`{option}`" for option in options)
        parts += [f"- {term}: {said}"] if options else [said]
    return "\n\n".join(parts)


def roff(page: str, text: str) -> str:
    """The page in man's language: of Markdown, headings, lists, tables, indented lines."""
    name, _, section = page.rpartition(".")
    head = f'.TH "{_plain(name.upper())}" {section} "" "torqueckpt {__version__}"'
    lines = ['.\\" made by docs/man/pages.py', f'{head} "{_SECTIONS[section]}"']
    for block in _blocks(text):
        first = block[0]
        if first.startswith("# "):
            title, _, what = first[2:].partition(" - ")
            lines += [".SH NAME", f"{_plain(title)} \\- {_inline(what.rstrip('.'))}"]
        elif first.startswith("## "):
            lines.append(f'.SH "{_inline(first[3:].upper())}"')
        elif first.startswith("- `"):
            term, _, said = " ".join(each.strip() for each in block)[2:].partition("`: ")
            lines += [".TP", _inline(f"{term}`"), _line(_inline(said) or "\\&")]
        elif first.startswith("- "):
            said = " ".join(each.strip() for each in block)[2:]
            lines += [".IP \\(bu 2", _line(_inline(said))]
        elif first.startswith("|"):
            lines += _table(block)
        elif first.startswith("    "):
            synopsis = lines[-2] == ".SH NAME"
            lines += [".SH SYNOPSIS"] * synopsis
            lines += [".nf", *(_line(f"\\fB{_code(each[4:])}\\fR") for each in block), ".fi"]
            lines += [".SH DESCRIPTION"] * synopsis
        else:
            lines += [".PP", *(_line(_inline(each.strip())) for each in block)]
    return "\n".join(lines) + "\n"


def _table(rows: list[str]) -> Iterator[str]:
    """An item for each row: beside the first column what the others say, by their headings."""
    heads, _, *cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    for term, *others in cells:
        yield ".TP"
        yield _line(f"\\fB{_inline(term, 'B')}\\fR")
        if len(others) == 1:
            yield _line(_inline(others[0]))
        else:
            said = [f"{head}: {cell}" for head, cell in zip(heads[1:], others) if cell]
            yield "\n.br\n".join(_line(_inline(each)) for each in said)


def _blocks(text: str) -> Iterator[list[str]]:
    """Headings, items of lists, runs of indented lines, paragraphs."""
    block: list[str] = []
    for line in text.splitlines():
        ends = not line.strip() or line.startswith(("#", "- "))
        if block and (ends or line.startswith("    ") != block[0].startswith("    ")):
            yield block
            block = []
        if line.strip():
            block.append(line)
    if block:
        yield block


def _inline(text: str, font: str = "R") -> str:
    """Text of `font`, with what stands in it as code, bold or italic."""
    parts, at = [], 0
    for span in _SPAN.finditer(text):
        parts.append(_referring(text[at : span.start()], font))
        at = span.end()
        if span["code"]:
            parts.append(f"\\fB{_code(span['code'])}\\f{font}")
        elif span["bold"]:
            parts.append(f"\\fB{_inline(span['bold'], 'B')}\\f{font}")
        else:
            parts.append(f"\\fI{_plain(span['italic'])}\\f{font}")
    return "".join([*parts, _referring(text[at:], font)])


def _referring(text: str, font: str) -> str:
    return re.sub(r"((?:[\w.]|\\-)+)(\([1578]\))", rf"\\fB\1\\f{font}\2", _plain(text))


def _code(text: str) -> str:
    return re.sub(r"\b([A-Z]{2,}|N)\b", r"\\fI\1\\fB", _plain(text))


def _plain(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq").replace("'", "\\(aq")
    return re.sub(r"[^\x00-\x7f]", lambda found: f"\\[u{ord(found.group()):04X}]", text)


def _line(text: str) -> str:
    return f"\\&{text}" if text[:1] in (".", "'") else text


def main(argv: list[str]) -> int:
    directory = Path(argv[0])
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in pages(*argv[1:]).items():
        (directory / name).write_text(text, "ascii")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
