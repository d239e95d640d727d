"""Every command that a docstring, a message or a page names exists, has the options it is named with, and parses."""

import ast
import functools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from hf_vitret.cli.command_table import COMMANDS, command_parser, load_command
from tests import ROOT

PAGES = [
    *("README.md", "CONTRIBUTING.md", "hf_vitret/hub/model_card_template.md", "hf_vitret/hub/dataset_card_template.md"),
    *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("model_cards/*/README.md")),
    *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/**/*.md")),
]
MODULES = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("hf_vitret/**/*.py"))

NAMED = re.compile(r"(?:hf-vitret|-m hf_vitret)\s+([a-z]\w*)")
OPTION = re.compile(r"(?<![\w`.\-/])(--?[a-zA-Z][\w-]*)")
END = re.compile(r"[,;:.)](?=\s|$)|`|\||\bhf-vitret\b|\n\s*\n|\n\s*curl\b")  # of a clause that names a command
# A line of a docstring, of a page or of a shell's script that is a command and nothing else.
EXAMPLE = re.compile(r"^ *(?:[A-Z_]+=\S+ )*hf-vitret (?P<line>[a-z]\w*(?: (?:[^\n\\]|\\\n|\\.)*)?)$", re.MULTILINE)
# The Hub's own program.
OTHER_PROGRAM = re.compile(r"(?:\b(?:hf upload|convmv)\b|--save_additional_columns)[^`\n]*")
# Words that follow the program's name in a sentence.
SENTENCE = frozenset({"is", "and", "prints", "with", "in"})


def texts(path: str) -> Iterator[str]:
    """Return the texts of a file: a page as it is, the strings of a module, with X for what an f-string fills in."""
    content = (ROOT / path).read_text()
    if not path.endswith(".py"):
        yield content
        return
    tree = ast.parse(content)
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.value


def built(path: str) -> Iterator[str]:
    """Return the commands that a module builds as lists of words, with X for what is no constant."""
    for node in ast.walk(ast.parse((ROOT / path).read_text())) if path.endswith(".py") else ():
        if isinstance(node, ast.List) and node.elts and getattr(node.elts[0], "value", None) == "hf-vitret":
            yield " ".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.elts)


def named(path: str) -> Iterator[tuple[str, str]]:
    """Return each command that a file names, and its options as one text."""
    for text in [*texts(path), *built(path)]:
        yield from clauses(text)


def clauses(text: str) -> Iterator[tuple[str, str]]:
    """Return each command that a text names, and what follows it in its clause."""
    for found in NAMED.finditer(text):
        yield found[1], END.split(text[found.end() :], maxsplit=1)[0]


@functools.cache
def options_of(name: str) -> frozenset[str]:
    """Return the options of a command, in each of their spellings."""
    parsers = [command_parser(name)]
    if name == "train":
        from hf_vitret.cli.options import train_parser

        kinds = [train_parser.TupleTrainingArguments, train_parser.LandmarkOptions]
        parsers.append(train_parser._parser("", None, kinds, True, lambda parser: None))
    for parser in parsers:
        parser._take_dashes()
    return frozenset(text for parser in parsers for text in parser._option_string_actions)


@pytest.mark.parametrize("path", [*PAGES, *MODULES])
def test_what_is_named_exists(path: str) -> None:
    for name, rest in named(path):
        assert name in COMMANDS or name in SENTENCE, f"hf-vitret {name}{rest}"
        if name in COMMANDS:
            for option in OPTION.findall(rest):
                assert option in options_of(name), f"hf-vitret {name} has no {option}: hf-vitret {name}{rest}"


@functools.cache
def options_of_any() -> frozenset[str]:
    """Return the options of all commands, and of the command line itself."""
    return frozenset().union(*(options_of(name) for name in COMMANDS), {"--help", "--version", "--print_completion"})


@pytest.mark.parametrize("path", MODULES)
def test_an_option_that_a_message_advises_is_there(path: str) -> None:
    """A command names its own options, and those of the commands that it names; another module those of any command."""
    own = Path(path).stem if Path(path).parent.name == "commands" else None
    for text in texts(path):
        if len(text.split()) < 2:
            continue  # a word of a command that is built word by word
        others = [options_of(found) for found in NAMED.findall(text) if found in COMMANDS]
        known = options_of(own).union(*others) if own in COMMANDS else options_of_any()
        for option in OPTION.findall(OTHER_PROGRAM.sub("", text)):
            assert option[:2] != "--" or option in known or option == "--X", f"{option} in: {text}"


def examples(path: str) -> list[str]:
    """Return the commands of a file that stand on lines of their own, without `hf-vitret`."""
    return [found["line"] for text in texts(path) for found in EXAMPLE.finditer(text)]


@pytest.mark.parametrize("path", [path for path in [*PAGES, *MODULES] if examples(path)])
def test_examples_parse(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    for line in examples(path):
        name, *arguments = shlex.split(line, comments=True)
        if name in SENTENCE:
            continue
        command = load_command(name)
        if "--config" in arguments:  # the file is the reader's
            place = arguments.index("--config")
            arguments[place : place + 2] = [] if "photos" in arguments else ["photos"]
        try:
            if hasattr(command, "parse"):
                command.parse(arguments, f"hf-vitret {name}")
            else:
                command_parser(name).parse_args(arguments)
        except SystemExit:
            pytest.fail(f"hf-vitret {line}: {capsys.readouterr().err}")


def test_each_command_has_examples() -> None:
    for name in set(COMMANDS) - {"env", "demo"}:
        lines = examples(f"hf_vitret/cli/commands/{name}.py")
        assert any(line.split()[0] == name for line in lines), name


def test_the_search_finds_what_it_should(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "Give --calibration, what `hf-vitret evaluate\n--false_match_rates 0.1` wrote, to hf-vitret index -o x; or "
        "give --min_score. hf-vitret is it.\n\n"
        "    hf-vitret embed a \\\n      --normalise\n    hf-vitret env  # --nothing\n"
    )
    found = [(name, OPTION.findall(rest)) for name, rest in named(str(page))]
    assert found == [
        ("evaluate", ["--false_match_rates"]),
        ("index", ["-o"]),
        ("is", []),
        ("embed", ["--normalise"]),
        ("env", ["--nothing"]),
    ]
    assert examples(str(page)) == ["embed a \\\n      --normalise", "env  # --nothing"]
