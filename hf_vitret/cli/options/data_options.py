"""Where the data are: the same argument and options, with the same help and checks, in every command."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _ActionsContainer

    from datasets import DatasetDict

    from ...data.locating import DatasetLocation

DATA_HELP = (
    "a folder with a folder of images for each class; a CSV, TSV, Parquet or JSONL table; what hf-vitret prepare "
    "wrote; the id of a data set on the Hub, user/name; or sop, inshop, cub, inat2018, icons"
)


@dataclass
class DataOptions:
    """Which columns and splits of the data are meant."""

    _argument_group_name = "data"

    data_dir: str | None = field(
        default=None, metadata={"help": "where a data set given by its name is: its folder or its archives"}
    )
    dataset_config: str | None = field(default=None, metadata={"help": "Hub: its configuration, where it has several"})
    dataset_revision: str | None = field(
        default=None, metadata={"help": "Hub: branch, tag or commit; default: the newest commit"}
    )
    image_column: str | None = field(
        default=None, metadata={"help": "column of the images or of their paths; default: image"}
    )
    label_column: str | None = field(
        default=None, metadata={"help": "column of the classes, text or whole numbers; default: label"}
    )
    train_split: str | None = field(default=None, metadata={"help": "split to train on; default: train"})
    test_split: str | None = field(
        default=None, metadata={"help": "split to test on; default: test, or classes set aside (--test_fraction)"}
    )
    query_split: str | None = field(
        default=None, metadata={"help": "split of the queries, with --gallery_split, in the place of --test_split"}
    )
    gallery_split: str | None = field(default=None, metadata={"help": "split that the queries search"})
    test_fraction: float | None = field(
        default=None,
        metadata={
            "help": "share of the classes to set aside for testing where there is no test split; default: 0.5; "
            "0: train on all, and measure nothing"
        },
    )
    split_seed: int | None = field(default=None, metadata={"help": "seed of the choice of those classes; default: 0"})
    min_drawings: int | None = field(default=None, metadata={"help": "icons: fewest drawings of a concept"})
    drawing_size: int | None = field(
        default=None, metadata={"help": "icons: side of a drawing in pixels; default: 112"}
    )


# The loaders' own names for some of the options.
LOADER_NAMES = {"split_seed": "seed", "drawing_size": "size", "dataset_revision": "revision"}
HUB_OPTIONS = ("dataset_config", "dataset_revision")


def add_data_options(parser: ArgumentParser, *, positional: bool = True) -> None:
    """Add the argument that names the data, and the options on their columns and splits.

    Args:
        parser: Of a command.
        positional: Whether the data are what the command works on; else they are named by `--data`.
    """
    group = parser.add_argument_group("data")
    if positional:
        group.add_argument("data", metavar="DATA", help=DATA_HELP)
    else:
        group.add_argument("--data", help=DATA_HELP)
    add_fields(group, DataOptions)


def add_fields(group: _ActionsContainer, options: type) -> None:
    """Add the fields of a dataclass as options: those whose values are text or numbers, and `None` by default."""
    hints = get_type_hints(options)
    for one in fields(options):
        kind = next(each for each in get_args(hints[one.name]) if each is not type(None))
        group.add_argument(f"--{one.name}", type=kind, default=one.default, help=one.metadata["help"])


@dataclass(frozen=True)
class ChosenData:
    """A data set that is found, and how it is loaded.

    Attributes:
        location: Where it is.
        options: Of its loader, those that were given.
    """

    location: DatasetLocation
    options: dict[str, Any]

    @property
    def name(self) -> str:
        """Of the loader, as for `load_retrieval_dataset`."""
        return self.location.name

    @property
    def title(self) -> str:
        """What a person calls it."""
        return self.location.title

    def load(self, **further: Any) -> DatasetDict:
        """Load it.

        Args:
            **further: Options of the loader.

        Raises:
            ValueError: As for `load_retrieval_dataset`.
            OSError: It is not where it should be.
        """
        from ...data.loading import load_retrieval_dataset

        options = {**self.options, **further}
        if self.location.hub_id is not None:
            options["dataset_name"] = self.location.hub_id
        return load_retrieval_dataset(self.name, data_dir=self.location.data_dir, **options)


def choose_data(options: Namespace | DataOptions, data: str) -> ChosenData:
    """Find the data that are named, and check that each option means something for them.

    Args:
        options: As read: the fields of `DataOptions`.
        data: What the user calls the data.

    Raises:
        FileNotFoundError: The name stands for nothing.
        ValueError: An option means nothing for these data; the message names it.
    """
    from ...data.loading import DATASETS
    from ...data.locating import locate_dataset

    location = locate_dataset(data, options.data_dir)
    if location.name not in DATASETS:
        raise ValueError(f"expected images with a class each; {location.name} has pairs: hf-vitret train takes it")
    names = [one.name for one in fields(DataOptions) if one.name != "data_dir"]
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    parameters = inspect.signature(DATASETS[location.name]).parameters
    for name in given:
        known = LOADER_NAMES.get(name, name)
        is_for_hub = name in HUB_OPTIONS
        if (is_for_hub and location.hub_id is None) or (not is_for_hub and known not in parameters):
            kind = "a data set of the Hub" if is_for_hub else _takers(known)
            raise ValueError(f"expected --{name} with {kind} only; got it with {data}: leave it out")
    if given.get("test_fraction") is not None and any(f"{split}_split" in given for split in ("test", "query")):
        raise ValueError("expected --test_fraction or the name of a test split; got both: leave one out")
    return ChosenData(location, {LOADER_NAMES.get(name, name): value for name, value in given.items()})


def _takers(parameter: str) -> str:
    """Name the data sets whose loader takes an option."""
    from ...data.loading import DATASETS
    from ...data.locating import OWN

    takers = [name for name, loader in DATASETS.items() if parameter in inspect.signature(loader).parameters]
    return " or ".join("images of your own" if name == OWN else name for name in takers) or "no data set"


def data_arguments(data: str, options: Namespace | DataOptions) -> list[str]:
    """Return the arguments that name the same data again, the data themselves first."""
    line = [data]
    for one in fields(DataOptions):
        value = getattr(options, one.name)
        if value is not None:
            line += [f"--{one.name}", str(value)]
    return line
