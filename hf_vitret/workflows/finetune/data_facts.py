"""What a run cannot know of its data and its model, and whoever starts it tells."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class DataFacts:
    """What a model card says about the data and where the run came from.

    Attributes:
        name: Name of the data set, as a person would say it.
        license: Licence of the images, in Markdown; empty where it is not known.
        command: The command that repeats the run, without paths of this machine: the card shows it to everyone.
        base_model: Hub id of the backbone, where it has one.
        model_license: Licence of the trained weights, as the Hub spells it; `None` leaves it open.
        model_license_name: What the licence is called, where `model_license` is `"other"`.
        model_license_link: Where that one is to be read.
        dataset: Name of a data set of the field, as in `DATASETS`, by which its paper's figures and citation are found.
        dataset_id: The data set's id on the Hub, where it is from there.
        revision: Its branch, tag or commit, where one was asked for.
        benchmark: Where the scores belong, if it is a benchmark of the Hub; see `write_eval_results`.

    Raises:
        ValueError: A licence has a name or a link, and is one that the Hub knows.
    """

    name: str
    license: str
    command: str
    base_model: str | None = None
    model_license: str | None = None
    model_license_name: str | None = None
    model_license_link: str | None = None
    dataset: str | None = None
    dataset_id: str | None = None
    revision: str | None = None
    benchmark: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        """Check the licence of the weights as the Hub does: it would refuse the card after the training."""
        named = (self.model_license_name, self.model_license_link)
        if (self.model_license == "other") != all(named) or any(named) != all(named):
            raise ValueError(
                "expected model_license_name and model_license_link both where model_license is 'other', and neither "
                f"elsewhere; got {self.model_license!r}, {self.model_license_name!r}, {self.model_license_link!r}"
            )
