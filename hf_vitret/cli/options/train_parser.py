"""The options of `hf-vitret train`: dataclasses, the settings of the data set's preset, and a file of settings."""

from __future__ import annotations

from argparse import SUPPRESS
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from transformers import HfArgumentParser, TrainingArguments

from ...data.locating import OWN, PAIRS
from ...training.training_args import RetrievalTrainingArguments
from ...training.tuples.arguments import TupleTrainingArguments
from ...workflows.finetune.arguments import ModelArguments
from ...workflows.finetune.landmarks import LandmarkOptions
from ...workflows.finetune.presets import PRESETS, SCENES, Preset
from .config_file import read_config
from .data_options import DATA_HELP, DataOptions
from .launch_options import add_launch_options
from .parser import CommandParser, hide

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
        given: Those that differ from the preset's.
        changed: Those that differ from the arguments' own defaults: the preset's too.
    """

    data: str
    preset: Preset
    values: Namespace
    given: Mapping[str, Any]
    changed: Mapping[str, Any]

    @property
    def has_pairs(self) -> bool:
        """Whether the data are pairs of images: particular objects."""
        return self.data == PAIRS

    def build(self, kind: type) -> Any:
        """Make one of the dataclasses of options from the values."""
        return kind(**{one.name: getattr(self.values, one.name) for one in fields(kind) if one.init})

    def command(self, *more: str, data: str | None = None, without: Sequence[str] = ()) -> list[str]:
        """Return the command that repeats the run.

        Args:
            *more: Further arguments.
            data: In the place of the data.
            without: Options to leave out.
        """
        kept = {name: value for name, value in self.given.items() if name not in without}
        return ["hf-vitret", "train", self.data if data is None else data, *arguments_of(kept), *more]


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
        settings: Defaults in the place of the preset's: a recipe's.

    Raises:
        SystemExit: After `--help` (0), or where the command line is not understood (2).
        ValueError: The file of settings names no option, or is none.
        FileNotFoundError: There is no such file of settings.
    """
    # Which options there are depends on the data, so that the data are found first, by a parser that knows all options.
    first = _parser(prog, None, [TupleTrainingArguments, LandmarkOptions], data is None, add_more, add_help=False)
    found, _ = first.parse_known_args(arguments)
    from_file: list[str] = []
    if found.config is not None:
        from_file, positional = read_config(found.config, first, ["data"])
        found.data = getattr(found, "data", None) or positional.get("data")
    named = data or getattr(found, "data", None)
    has_pairs = named == PAIRS
    is_demo = has_pairs and found.demo
    preset = SCENES if is_demo else PRESETS[named if named in PRESETS else OWN]
    kinds = [TupleTrainingArguments, LandmarkOptions] if has_pairs else [RetrievalTrainingArguments]
    parser = _parser(prog, description, kinds, data is None, add_more)
    own = _defaults(parser)
    parser.set_defaults(**(preset.settings if settings is None else settings))
    if "--help_all" not in arguments:
        _hide_rare(parser, kinds[0])
    values = parser.parse_args([*from_file, *arguments])
    values.data = values.data if getattr(values, "data", None) is not None else named
    if values.help_all:
        parser.print_help()
        raise SystemExit(0)
    if values.data is None:
        parser.error(f"expected what to train on: {DATA_HELP}")
    if values.num_train_epochs != own["num_train_epochs"] and not has_pairs:
        if values.max_steps != parser.get_default("max_steps"):
            parser.error("expected --max_steps or --num_train_epochs; got both, and one decides the length of a run")
        values.max_steps = -1
    given, changed = (_differing(values, defaults) for defaults in (_defaults(parser), own))
    return TrainOptions(values.data, preset, values, given, changed)


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
        line += [f"--{name}", *(str(each).lower() if isinstance(each, bool) else str(each) for each in values)]
    return line


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
    parser._option_string_actions["-o"] = parser._option_string_actions["--output_dir"]
    parser._option_string_actions["--output_dir"].option_strings.insert(0, "-o")  # type: ignore[attr-defined]
    if has_data:
        parser.add_argument("data", metavar="DATA", nargs="?", help=f"{DATA_HELP}, sfm120k")
    parser.add_argument("-c", "--config", metavar="FILE", help="settings as YAML or JSON; options given here win")
    parser.add_argument("--help_all", action="store_true", help="show the rarer settings of transformers' Trainer too")
    add_launch_options(parser)
    add_more(parser)
    return parser


def _hide_rare(parser: TrainParser, kind: type) -> None:
    """Leave the settings out of the help that few change: transformers has more than a hundred."""
    inherited = {one.name for one in fields(TrainingArguments)}
    rare = inherited - COMMON
    hide(parser, [action.dest for action in parser._actions if action.dest not in rare and action.help != SUPPRESS])


def _defaults(parser: TrainParser) -> dict[str, Any]:
    """Return what each option is where it is not given, converted as one that is given."""
    return vars(parser.parse_known_args([])[0])


def _differing(values: Namespace, defaults: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(values).items()
        if name not in NOT_REPEATED and name in defaults and value != defaults[name]
    }
