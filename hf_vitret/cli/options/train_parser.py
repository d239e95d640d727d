"""The options of `hf-vitret train`, from dataclasses; their defaults from a preset, their values also from a file."""

from __future__ import annotations

import os
from argparse import SUPPRESS
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, NoReturn

from transformers import HfArgumentParser, TrainingArguments

from ...data.locating import OWN, PAIRS
from ...training.training_args import RetrievalTrainingArguments
from ...training.tuples.arguments import TupleTrainingArguments
from ...workflows.finetune.arguments import ModelArguments
from ...workflows.finetune.landmarks import LandmarkOptions
from ...workflows.finetune.presets import PRESETS, SCENES, Preset
from .config_file import read_config
from .data_options import DATA_HELP, DataOptions
from .launch_options import OPTIONS as LAUNCHES
from .launch_options import add_launch_options
from .parser import CommandParser, hide
from .run_options import RunOptions
from .train_checks import check_meaning

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Mapping, Sequence

# Settings of transformers that --help shows; --help_all shows the others too.
COMMON = frozenset(
    {"output_dir", "max_steps", "num_train_epochs", "per_device_train_batch_size", "gradient_accumulation_steps"}
    | {"learning_rate", "weight_decay", "warmup_steps", "lr_scheduler_type", "bf16", "fp16", "seed", "torch_compile"}
    | {"eval_steps", "save_steps", "logging_steps", "report_to", "resume_from_checkpoint", "dataloader_num_workers"}
    | {"push_to_hub", "hub_model_id", "hub_private_repo"}
)
LENGTHS = ("max_steps", "num_train_epochs")  # one of them decides the length of a run
# Further names of options, as the other commands have them.
ALIASES = {
    "output_dir": ("-o",),
    "per_device_train_batch_size": ("-b", "--batch_size"),
    "dataloader_num_workers": ("--num_workers",),
}
# Options that are neither in the file nor in the command that repeats a run.
NOT_REPEATED = frozenset(
    {"config", "data", "help_all", "num_processes", "accelerate_config", "overwrite", "resume_from_checkpoint"}
    | {"hub_token", "output_dir", "json", "quiet", "verbose"}
)


class TrainParser(CommandParser, HfArgumentParser):
    """A parser of dataclasses: see `CommandParser` and `transformers.HfArgumentParser`."""


@dataclass(frozen=True)
class TrainOptions:
    """The parsed command line of `hf-vitret train`.

    Attributes:
        data: Name or path of the data.
        preset: Preset of the data set.
        values: Value of each option, as parsed.
        given: Options that differ from the preset, for the command that repeats the run.
        kept: Options that differ from the defaults of the arguments, and all options of the preset, for the file that
            repeats the run. The presets of another machine or version may differ.
    """

    data: str
    preset: Preset
    values: Namespace
    given: Mapping[str, Any]
    kept: Mapping[str, Any]

    @property
    def has_pairs(self) -> bool:
        """Whether the data are pairs of images, not images with a class each."""
        return self.data == PAIRS

    def build(self, kind: type) -> Any:
        """Make an instance of a dataclass of options from the values."""
        return kind(**{one.name: getattr(self.values, one.name) for one in fields(kind) if one.init})

    def command(self, *more: str) -> list[str]:
        """Return the command that repeats the run with the same number of processes.

        Args:
            *more: Further arguments of the command.
        """
        several = arguments_of({"num_processes": num_processes()} if num_processes() > 1 else {})
        return ["hf-vitret", "train", self.data, *arguments_of(self.given), *several, *more]


def parse_train(
    arguments: Sequence[str],
    *,
    prog: str,
    description: str | None,
    add_more: Callable[[TrainParser], None],
    data: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> TrainOptions:
    """Parse the command line of `hf-vitret train`.

    Args:
        arguments: The arguments after the name of the command.
        prog: Name of the command, for messages.
        description: Text of `--help`.
        add_more: Adds further options to a parser.
        data: Data of a recipe; `None` if the command line names them.
        settings: Option -> default of a recipe, over the preset.

    Returns:
        The parsed options.

    Raises:
        SystemExit: After `--help` (status 0), or if an argument is not understood (status 2).
        ValueError: The file of settings is malformed or has an unknown setting, or an option has no effect.
        FileNotFoundError: The file of settings does not exist.
    """
    # The set of options depends on the data, so a first parser with all options finds the data.
    first = _parser(prog, None, [TupleTrainingArguments, LandmarkOptions], data is None, add_more, add_help=False)
    first.set_defaults(**dict.fromkeys(LENGTHS))
    found, _ = first.parse_known_args(arguments)
    from_file: list[str] = []
    if found.config is not None:
        named, from_file = _read_file(found, first, data)
        found, _ = _parse_both(first, from_file, arguments)
    else:
        named = data or found.data
    has_pairs = named == PAIRS
    preset = SCENES if has_pairs and found.demo else PRESETS[named if named in PRESETS else OWN]
    kinds = [TupleTrainingArguments, LandmarkOptions] if has_pairs else [RetrievalTrainingArguments]
    parser = _parser(prog, description, kinds, data is None, add_more)
    own = _defaults(parser)
    parser.set_defaults(**preset.settings)
    usual = _defaults(parser)
    parser.set_defaults(**(settings or {}))
    if "--help_all" not in arguments:
        _hide_rare(parser)
    values, unknown = _parse_both(parser, from_file, arguments)
    if unknown:
        _refuse(unknown, parser, first, named)
    if values.help_all:
        parser.print_help()
        raise SystemExit(0)
    if named is None:
        parser.error(f"expected what to train on: {DATA_HELP}")
    values.data = named
    _choose_length(values, [{name: getattr(found, name) for name in LENGTHS}, settings or {}])
    differing = {name: value for name, value in vars(values).items() if name in usual and value != usual[name]}
    check_meaning(values, differing, kinds[0])
    repeated = {name: value for name, value in vars(values).items() if name in own and name not in NOT_REPEATED}
    given = {name: value for name, value in repeated.items() if name in differing}
    kept = {name: value for name, value in repeated.items() if value != own[name] or name in preset.settings}
    if values.max_steps > 0:  # then the number of epochs has no effect
        kept.pop("num_train_epochs", None)
    return TrainOptions(named, preset, values, given, kept)


def own_parser(prog: str, description: str | None, add_more: Callable[[TrainParser], None]) -> TrainParser:
    """Return a parser with the options for the user's own images.

    Args:
        prog: Name of the command, for messages.
        description: Text of `--help`.
        add_more: Adds further options to a parser.
    """
    made = _parser(prog, description, [RetrievalTrainingArguments], True, add_more)
    made.set_defaults(**PRESETS[OWN].settings)
    return made


def arguments_of(settings: Mapping[str, Any]) -> list[str]:
    """Return settings as arguments of a command line."""
    line: list[str] = []
    for name, value in settings.items():
        values = value if isinstance(value, (list, tuple)) else [value]
        line += [f"--{name}", *(str(_plain(each)) for each in values)]
    return line


def plain_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings for a file: whole numbers without a decimal point, and without those that are `None`."""
    return {
        name: value if isinstance(value, bool) else _plain(value)
        for name, value in settings.items()
        if value is not None
    }


def num_processes() -> int:
    """Return the number of processes that train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def _plain(value: Any) -> Any:
    """Return a value as people write it: `true` for True, 2 for 2.0."""
    if isinstance(value, bool):
        return str(value).lower()
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _parse_both(parser: TrainParser, from_file: Sequence[str], arguments: Sequence[str]) -> tuple[Namespace, list[str]]:
    """Parse the arguments of a file, then those of the command line over them; return the unknown ones too."""
    values, unknown = parser.parse_known_args(from_file)
    values, more = parser.parse_known_args(arguments, values)
    return values, [*unknown, *more]


def _read_file(found: Namespace, first: TrainParser, data: str | None) -> tuple[str | None, list[str]]:
    """Read the file of settings; return the data, and the settings as arguments.

    Settings that the command line replaces by another option are left out.
    """
    arguments, positional = read_config(found.config, first, ["data"])
    if data is not None and positional.get("data", data) != data:
        raise ValueError(f"expected the settings of a run on {data}; {found.config} has data: {positional['data']}")
    named = data or found.data or positional.get("data")
    dropped: list[str] = []
    if any(getattr(found, name) is not None for name in LENGTHS):
        dropped += LENGTHS
    if "LOCAL_RANK" in os.environ:  # a launcher has started the processes
        dropped += LAUNCHES
    return named, [text for text in arguments if text.partition("=")[0].removeprefix("--") not in dropped]


def _parser(
    prog: str,
    description: str | None,
    kinds: Sequence[type],
    has_data: bool,
    add_more: Callable[[TrainParser], None],
    **settings: Any,
) -> TrainParser:
    types: Any = [DataOptions, ModelArguments, *kinds, RunOptions]
    usage = f"{prog} {'DATA ' if has_data else ''}[options]"  # in full it has sixty lines
    parser = TrainParser(prog, usage=usage, description=description, dataclass_types=types, **settings)
    parser._optionals.title = "training"
    for name, others in ALIASES.items():
        action = parser._option_string_actions[f"--{name}"]
        action.option_strings[:0] = others  # type: ignore[index]
        parser._option_string_actions |= dict.fromkeys(others, action)
    if has_data:
        parser.add_argument("data", metavar="DATA", nargs="?", help=f"{DATA_HELP}; or {PAIRS}, pairs of images")
    parser.add_argument(
        "-c",
        "--config",
        metavar="FILE",
        help="YAML or JSON file of settings; options on the command line take precedence",
    )
    parser.add_argument("--help_all", action="store_true", help="show all settings of the Trainer of transformers too")
    add_launch_options(parser)
    add_more(parser)
    return parser


def _hide_rare(parser: TrainParser) -> None:
    """Hide rarely used settings from the help, because transformers has more than a hundred."""
    rare = {one.name for one in fields(TrainingArguments)} - COMMON
    hide(parser, [action.dest for action in parser._actions if action.dest not in rare and action.help != SUPPRESS])


def _defaults(parser: TrainParser) -> dict[str, Any]:
    """Return the default of each option, converted like a given value."""
    return vars(parser.parse_known_args([])[0])


def _refuse(unknown: Sequence[str], parser: TrainParser, first: TrainParser, data: str | None) -> NoReturn:
    """Report arguments that are no options for these data."""
    for text in unknown:
        option = text.partition("=")[0]
        if option.startswith("--") and option in first._option_string_actions:
            raise ValueError(f"expected {option} with {PAIRS} only; got it with {data}: leave it out")
    parser.error(parser.describe_unknown(unknown))


def _choose_length(values: Namespace, sources: Sequence[Mapping[str, Any]]) -> None:
    """Set `max_steps` to -1 if the number of epochs is given, because a number of steps takes precedence in Trainer.

    Args:
        values: Value of each option; changed in place.
        sources: The given options of each source. The first source with one of the two decides.
    """
    for source in sources:
        steps, epochs = (source.get(name) for name in LENGTHS)
        if epochs is not None:
            if steps is not None and steps > 0:
                raise ValueError("expected --max_steps or --num_train_epochs; got both: leave one of them out")
            values.max_steps = -1
        if (steps, epochs) != (None, None):
            return
