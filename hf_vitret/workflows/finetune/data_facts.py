"""`DataFacts`: names, licences and links for the model card, which a run cannot find out by itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class DataFacts:
    """Facts about the data and the model that the caller of a run states for the model card.

    Attributes:
        name: Name of the data set for people, such as "Stanford Online Products".
        license: Licence of the images, in Markdown; empty if it is not known.
        command: The command that repeats the run, without local paths, because the card is published.
        base_model: Hub id of the backbone, if it has one.
        model_license: Licence of the trained weights as the Hub spells it, such as "mit"; `None` states none.
        model_license_name: Name of the licence if `model_license` is `"other"`.
        model_license_link: Address of its text if `model_license` is `"other"`.
        dataset: Name of a benchmark, a key of `DATASETS`, which selects the figures of its paper and the citation.
        dataset_id: Id of the data set on the Hub, if it is there.
        revision: Branch, tag or commit of the data set on the Hub, if one was chosen.
        left_out_files: The files of the data that are not used, by reason, from `LeftOut.to_json`.
        benchmark: Benchmark of the Hub that the scores belong to, as `write_eval_results` takes it.

    Raises:
        ValueError: `model_license` is "other" without a name and a link, or has them and is not "other".
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
    left_out_files: Sequence[Mapping[str, Any]] = ()

    def __post_init__(self) -> None:
        """Check the licence of the weights as the Hub does, which would refuse the card after the training."""
        named = (self.model_license_name, self.model_license_link)
        if (self.model_license == "other") != all(named) or any(named) != all(named):
            raise ValueError(
                "expected model_license_name and model_license_link both where model_license is 'other', and neither "
                f"elsewhere; got {self.model_license!r}, {self.model_license_name!r}, {self.model_license_link!r}"
            )
