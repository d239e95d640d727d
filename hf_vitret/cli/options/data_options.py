"""The options that name a labelled data set, with the same help and checks in every command that reads one."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _ActionsContainer

    from datasets import DatasetDict

    from ...data.locating import DatasetLocation

DATA_HELP = (
    "images with labels: a folder with a folder of images for each class; a CSV, TSV, Parquet or JSONL table; a folder "
    "that hf-vitret prepare wrote; a data set on the Hub, user/name; or the name "
    "gldv2, met, "
    "sop, inshop, cub, cars, inat2018, inat2021, products10k or icons"
)


@dataclass
class DataOptions:
    """The columns, splits and other settings of a data set."""

    _argument_group_name = "data"

    data_dir: str | None = field(
        default=None, metadata={"help": "folder or archives of a data set that is given by name"}
    )
    dataset_config: str | None = field(
        default=None, metadata={"help": "configuration of a data set on the Hub that has several"}
    )
    dataset_revision: str | None = field(
        default=None, metadata={"help": "branch, tag or commit of a data set on the Hub; default: the newest commit"}
    )
    image_column: str | None = field(
        default=None, metadata={"help": "column with the images or their paths; default: image"}
    )
    label_column: str | None = field(
        default=None, metadata={"help": "column with the classes, as text or integers; default: label"}
    )
    image_dir: str | None = field(
        default=None, metadata={"help": "folder of the images of a table; default: the folder of the table"}
    )
    image_suffix: str | None = field(
        default=None, metadata={"help": "ending to add to the names or ids in a table, such as .jpg"}
    )
    on_missing_file: str | None = field(
        default=None,
        metadata={"help": "error or skip: what to do if a table names images that are not there; default: error"},
    )
    allow_outside: bool = field(
        default=False,
        metadata={
            "help": "read files outside the folder of a table, or outside a data set of the Hub, if it names them"
        },
    )
    class_level: int | None = field(
        default=None,
        metadata={
            "help": "folder of an image's path that is its class (folders of images only): 1, the first below the root "
            "or the split; -1, the one that holds the image; default: -1, with a warning or an error where folders of "
            "one name are in several others"
        },
    )
    train_split: str | None = field(
        default=None,
        metadata={"help": "split to train on, or its top folder, or its value of a column split; default: train"},
    )
    test_split: str | None = field(
        default=None,
        metadata={
            "help": "split, folder or value to test on; default: test or val if there is one, else classes set aside "
            "(--test_fraction)"
        },
    )
    query_split: str | None = field(
        default=None, metadata={"help": "split of the queries, with --gallery_split, instead of --test_split"}
    )
    gallery_split: str | None = field(default=None, metadata={"help": "split that is searched with the queries"})
    test_fraction: float | None = field(
        default=None,
        metadata={
            "help": "share of the classes to set aside for testing if there is no test split; default: 0.5, "
            "for gldv2 and met 0.01; 0 trains on all classes and measures nothing"
        },
    )
    split_seed: int | None = field(default=None, metadata={"help": "seed of the choice of these classes; default: 0"})
    min_drawings: int | None = field(
        default=None, metadata={"help": "smallest number of drawings of a concept (icons only)"}
    )
    drawing_size: int | None = field(
        default=None, metadata={"help": "side of a drawing in pixels (icons only); default: 112"}
    )


# The parameters of the loaders that have other names than their options.
LOADER_NAMES = {"split_seed": "seed", "drawing_size": "size", "dataset_revision": "revision"}
HUB_OPTIONS = ("dataset_config", "dataset_revision")


def add_data_options(parser: ArgumentParser, *, positional: bool = True) -> None:
    """Add the argument that names the data set, and the options for its columns and splits.

    Args:
        parser: The parser of a command.
        positional: Whether the data set is the positional argument `data`; otherwise it is the option `--data`.
    """
    group = parser.add_argument_group("data")
    if positional:
        group.add_argument("data", metavar="DATA", help=DATA_HELP)
    else:
        group.add_argument("--data", help=DATA_HELP)
    add_fields(group, DataOptions)


def add_fields(group: _ActionsContainer, options: type) -> None:
    """Add the fields of a dataclass as options. Each is text or a number, `None` by default, or a flag."""
    hints = get_type_hints(options)
    for one in fields(options):
        if hints[one.name] is bool:
            group.add_argument(f"--{one.name}", action="store_true", help=one.metadata["help"])
            continue
        kind = next(each for each in get_args(hints[one.name]) if each is not type(None))
        group.add_argument(f"--{one.name}", type=kind, default=one.default, help=one.metadata["help"])


def given_options(options: Namespace | DataOptions) -> dict[str, Any]:
    """Return the values of the fields of `DataOptions` that the user has given."""
    values = {one.name: getattr(options, one.name) for one in fields(DataOptions)}
    return {name: value for name, value in values.items() if value is not None and value is not False}


@dataclass(frozen=True)
class ChosenData:
    """A located data set with the options of its loader.

    Attributes:
        location: The location of the data set.
        options: The options of the loader that the user has given.
    """

    location: DatasetLocation
    options: dict[str, Any]

    @property
    def name(self) -> str:
        """Name of the loader: the first argument of `load_retrieval_dataset`."""
        return self.location.name

    @property
    def title(self) -> str:
        """Name of the data set for reports and cards."""
        return self.location.title

    def load(self, **further: Any) -> DatasetDict:
        """Load the data set, without decoding an image.

        Args:
            **further: Further options of the loader, which win over those of the user.

        Returns:
            The data set, with the columns `image`, `label` and `image_id`.

        Raises:
            ValueError: The data set breaks the schema, or an option has a wrong value.
            OSError: A file of the data set does not exist or cannot be read.
        """
        from ...data.loading import load_retrieval_dataset

        options = {**self.options, **further}
        if self.location.hub_id is not None:
            options["dataset_name"] = self.location.hub_id
        return load_retrieval_dataset(self.name, data_dir=self.location.data_dir, **options)


def choose_data(options: Namespace | DataOptions, data: str) -> ChosenData:
    """Locate a data set, and check that each given option applies to it.

    Args:
        options: Parsed options with the fields of `DataOptions`.
        data: The argument that names the data set: a path, an id on the Hub, or a name.

    Returns:
        The located data set with the options of its loader.

    Raises:
        FileNotFoundError: There is no such path, id or name.
        ValueError: An option does not apply to this data set; the message names the option.
    """
    from ...data.loading import DATASETS
    from ...data.locating import locate_dataset

    location = locate_dataset(data, options.data_dir)
    if location.name not in DATASETS:
        raise ValueError(f"expected images with a class each; {location.name} has pairs: hf-vitret train takes it")
    given = {name: value for name, value in given_options(options).items() if name != "data_dir"}
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
    """Describe the data sets whose loader has a parameter."""
    from ...data.loading import DATASETS
    from ...data.locating import OWN

    takers = [name for name, loader in DATASETS.items() if parameter in inspect.signature(loader).parameters]
    return " or ".join("images of your own" if name == OWN else name for name in takers) or "no data set"


def data_arguments(data: str, options: Namespace | DataOptions) -> list[str | Path]:
    """Return the arguments of a command line that name the same data set, with the data set first.

    Paths of this machine are `Path`s, which `Output.next` makes absolute.
    """
    from ...data.locating import NAMED, PAIRS

    is_path = data not in (*NAMED, PAIRS) and Path(data).expanduser().exists()
    line: list[str | Path] = [Path(data).expanduser() if is_path else data]
    for name, value in given_options(options).items():
        line.append(f"--{name}")
        if name in ("data_dir", "image_dir"):
            line.append(Path(value).expanduser())
        elif value is not True:
            line.append(f"{value:g}" if isinstance(value, float) else str(value))
    return line
