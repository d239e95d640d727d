"""The options of `hf-vitret train`: dataclasses, the settings of the data set's preset, and a file of settings."""

from __future__ import annotations

import os
from argparse import SUPPRESS
from dataclasses import dataclass, field, fields
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
from .train_checks import check_meaning

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Mapping, Sequence

# Settings of transformers that the help shows without --help_all.
COMMON = frozenset(
    {"output_dir", "max_steps", "num_train_epochs", "per_device_train_batch_size", "gradient_accumulation_steps"}
    | {"learning_rate", "weight_decay", "warmup_steps", "lr_scheduler_type", "bf16", "fp16", "seed", "torch_compile"}
    | {"eval_steps", "save_steps", "logging_steps", "report_to", "resume_from_checkpoint", "dataloader_num_workers"}
    | {"push_to_hub", "hub_model_id", "hub_private_repo"}
)
LENGTHS = ("max_steps", "num_train_epochs")  # of which one decides how long a run is
# Further names of options, the same as in the other commands.
ALIASES = {
    "output_dir": ("-o",),
    "per_device_train_batch_size": ("-b", "--batch_size"),
    "dataloader_num_workers": ("--num_workers",),
}
# What no run file and no printed command repeats.
NOT_REPEATED = frozenset(
    {"config", "data", "help_all", "num_processes", "accelerate_config", "overwrite", "resume_from_checkpoint"}
    | {"hub_token", "output_dir", "json", "quiet", "verbose"}
)


@dataclass
class RunOptions:
    """How a run reads its data and what its card says, beside the settings of data, model and training."""

    _argument_group_name = "run"

    overwrite: bool = field(default=False, metadata={"help": "replace the run that is in --output_dir"})
    device: str | None = field(
        default=None,
        metadata={"help": "where it trains, as cpu, cuda, cuda:1 or mps; default: a GPU where there is one"},
    )
    streaming: bool = field(
        default=False,
        metadata={
            "help": "Hub: read the data once as a stream, and keep small copies in --output_dir: for small disks"
        },
    )
    trusted_images: bool = field(
        default=False, metadata={"help": "do not decode each image once before the training starts"}
    )
    data_license: str = field(default="", metadata={"help": "licence of the images, for the model card"})
    benchmark_task: str | None = field(
        default=None, metadata={"help": "where the data are a benchmark of the Hub: the task that R@1 is a score of"}
    )
    model_license: str | None = field(
        default=None, metadata={"help": "licence of the trained weights as the Hub spells it, for the model card"}
    )
    model_license_name: str | None = field(default=None, metadata={"help": "what it is called, where that is 'other'"})
    model_license_link: str | None = field(default=None, metadata={"help": "where that one can be read"})


class TrainParser(CommandParser, HfArgumentParser):
    """A parser of dataclasses: see `CommandParser` and `transformers.HfArgumentParser`."""


@dataclass(frozen=True)
class TrainOptions:
    """What a command line of `hf-vitret train` says.

    Attributes:
        data: What the data are called.
        preset: The settings and texts of the data set.
        values: All options by name, as they were read: before a dataclass derives others from them.
        given: Those that differ from the preset's: what a printed command has to say.
        kept: Those that a file has to say that repeats the run, whatever the machine and the version have as presets:
            those that differ from the arguments' own defaults, and all that the preset sets.
    """

    data: str
    preset: Preset
    values: Namespace
    given: Mapping[str, Any]
    kept: Mapping[str, Any]

    @property
    def has_pairs(self) -> bool:
        """Whether the data are pairs of images: particular objects."""
        return self.data == PAIRS

    def build(self, kind: type) -> Any:
        """Make one of the dataclasses of options from the values."""
        return kind(**{one.name: getattr(self.values, one.name) for one in fields(kind) if one.init})

    def command(self, *more: str) -> list[str]:
        """Return the command that repeats the run, with as many processes.

        Args:
            *more: Further arguments.
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
    """Read a command line.

    Args:
        arguments: What follows the command.
        prog: The command, for messages.
        description: Shown by `--help`.
        add_more: Adds further options to a parser.
        data: The data, where the command line does not name them: a recipe's.
        settings: Defaults over the preset's: a recipe's.

    Raises:
        SystemExit: After `--help` (0), or where the command line is not understood (2).
        ValueError: The file of settings names no option, or is none.
        FileNotFoundError: There is no such file of settings.
    """
    # Which options there are depends on the data, so that the data are found first, by a parser that knows all options.
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
    if values.max_steps > 0:  # and so the epochs are not what decides
        kept.pop("num_train_epochs", None)
    return TrainOptions(named, preset, values, given, kept)


def own_parser(prog: str, description: str | None, add_more: Callable[[TrainParser], None]) -> TrainParser:
    """Return the parser of the options for images of one's own."""
    made = _parser(prog, description, [RetrievalTrainingArguments], True, add_more)
    made.set_defaults(**PRESETS[OWN].settings)
    return made


def arguments_of(settings: Mapping[str, Any]) -> list[str]:
    """Write settings as arguments of a command line."""
    line: list[str] = []
    for name, value in settings.items():
        values = value if isinstance(value, (list, tuple)) else [value]
        line += [f"--{name}", *(str(_plain(each)) for each in values)]
    return line


def plain_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as a file has them: whole numbers without a decimal point, and none that are not set."""
    return {
        name: value if isinstance(value, bool) else _plain(value)
        for name, value in settings.items()
        if value is not None
    }


def num_processes() -> int:
    """Return how many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def _plain(value: Any) -> Any:
    """Return a value as a person writes it: `true`, and `2` for 2.0, which is read as the same number."""
    if isinstance(value, bool):
        return str(value).lower()
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _parse_both(parser: TrainParser, from_file: Sequence[str], arguments: Sequence[str]) -> tuple[Namespace, list[str]]:
    """Read a file's arguments, and over them those of the command line; return what is not understood too."""
    values, unknown = parser.parse_known_args(from_file)
    values, more = parser.parse_known_args(arguments, values)
    return values, [*unknown, *more]


def _read_file(found: Namespace, first: TrainParser, data: str | None) -> tuple[str | None, list[str]]:
    """Read the file of settings; return the name of the data, and arguments without what the command line decides."""
    arguments, positional = read_config(found.config, first, ["data"])
    if data is not None and positional.get("data", data) != data:
        raise ValueError(f"expected the settings of a run on {data}; {found.config} has data: {positional['data']}")
    named = data or found.data or positional.get("data")
    dropped: list[str] = []
    if any(getattr(found, name) is not None for name in LENGTHS):
        dropped += LENGTHS
    if "LOCAL_RANK" in os.environ:  # the processes that the file asks for are there
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
    parser = TrainParser(prog, description=description, dataclass_types=types, **settings)
    parser._optionals.title = "training"
    for name, others in ALIASES.items():
        action = parser._option_string_actions[f"--{name}"]
        action.option_strings[:0] = others  # type: ignore[index]
        parser._option_string_actions |= dict.fromkeys(others, action)
    if has_data:
        parser.add_argument("data", metavar="DATA", nargs="?", help=f"{DATA_HELP}; or {PAIRS}, pairs of images")
    parser.add_argument("-c", "--config", metavar="FILE", help="settings as YAML or JSON; options given here win")
    parser.add_argument("--help_all", action="store_true", help="show the rarer settings of transformers' Trainer too")
    add_launch_options(parser)
    add_more(parser)
    return parser


def _hide_rare(parser: TrainParser) -> None:
    """Leave the settings out of the help that few change: transformers has more than a hundred."""
    rare = {one.name for one in fields(TrainingArguments)} - COMMON
    hide(parser, [action.dest for action in parser._actions if action.dest not in rare and action.help != SUPPRESS])


def _defaults(parser: TrainParser) -> dict[str, Any]:
    """Return what each option is where it is not given, converted as one that is given."""
    return vars(parser.parse_known_args([])[0])


def _refuse(unknown: Sequence[str], parser: TrainParser, first: TrainParser, data: str | None) -> NoReturn:
    """End with a message about arguments that are no options for these data."""
    for text in unknown:
        option = text.partition("=")[0]
        if option.startswith("--") and option in first._option_string_actions:
            raise ValueError(f"expected {option} with {PAIRS} only; got it with {data}: leave it out")
    parser.error(parser.describe_unknown(unknown))


def _choose_length(values: Namespace, sources: Sequence[Mapping[str, Any]]) -> None:
    """Let epochs decide where they are asked for: the arguments' own default is a number of steps, which would win.

    Args:
        values: All options; changed.
        sources: What was asked for, the first source that says anything wins.
    """
    for source in sources:
        steps, epochs = (source.get(name) for name in LENGTHS)
        if epochs is not None:
            if steps is not None and steps > 0:
                raise ValueError("expected --max_steps or --num_train_epochs; got both: leave one of them out")
            values.max_steps = -1
        if (steps, epochs) != (None, None):
            return
