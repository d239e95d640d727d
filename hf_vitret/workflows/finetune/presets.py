"""The default settings of a run on each data set, and the licence of its images for the model card."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...data.demo.icon_fonts import ICON_FONT_LICENSES
from ...data.demo.scenes.photographs import PHOTOGRAPHS
from ...data.locating import OWN, PAIRS
from ...inference.fast_bf16 import has_fast_bf16

if TYPE_CHECKING:
    from collections.abc import Mapping

DEMO_BACKBONE = "facebook/dinov2-small"
_RESEARCH = "Photographs from Flickr, collected for research (Radenovic et al. 2019, arXiv 1711.02512)."


@dataclass(frozen=True)
class Preset:
    """Defaults of a run on one data set, and the texts of its model card.

    Attributes:
        title: Name of the data set for people; empty for the user's own images.
        license: Licence of the images, in Markdown; empty for the user's own images.
        settings: Option of `hf-vitret train` -> default, for each that differs from the default of the arguments.
        benchmark: Name of the benchmark, which selects the figures of its paper and the citation; `None` if the data
            set is no benchmark.
    """

    title: str = ""
    license: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    benchmark: str | None = None


# The defaults of the arguments are the settings of the paper for Stanford Online Products.
PRESETS: dict[str, Preset] = {
    OWN: Preset(
        settings={
            "model": DEMO_BACKBONE,
            "max_steps": 2000,
            "eval_steps": 500,
            "save_steps": 500,
            "bf16": has_fast_bf16(),
        }
    ),
    "sop": Preset(
        "Stanford Online Products",
        "Photographs from eBay, collected by Stanford for research (Song et al. 2016, arXiv 1511.06452).",
        benchmark="sop",
    ),
    "inshop": Preset(
        "In-Shop Clothes Retrieval",
        "Photographs from a shop, collected by the Chinese University of Hong Kong for research that is not commercial "
        "(DeepFashion, Liu et al. 2016).",
        {"eval_ks": [1, 10, 20, 30], "memory_size": 0.2, "memory_momentum": 0.999},
        benchmark="inshop",
    ),
    "cub": Preset(
        "CUB-200-2011",
        "Photographs from Flickr, collected by Caltech and UC San Diego (Wah et al. 2011) for research and education "
        "that are not commercial; the rights are the photographers'.",
        {"max_steps": 2000, "eval_steps": 200, "eval_ks": [1, 2, 4, 8, 10], "save_steps": 200},
        benchmark="cub",
    ),
    # The paper has no run on it, so these are its settings for CUB-200-2011, which is of the same kind and size.
    "cars": Preset(
        "Cars-196",
        "Photographs from the web, collected by Stanford (Krause et al. 2013) for research that is not commercial.",
        {"max_steps": 2000, "eval_steps": 200, "eval_ks": [1, 2, 4, 8, 10], "save_steps": 200},
        benchmark="cars",
    ),
    # The paper has no run on these, so they have the settings for Stanford Online Products.
    "inat2018": Preset(
        "iNaturalist 2018",
        "Photographs of the iNaturalist community, for research that is not commercial; each has a licence of its own.",
        {"eval_ks": [1, 4, 16, 32]},
        benchmark="inat2018",
    ),
    "inat2021": Preset(
        "iNaturalist 2021",
        "Photographs of the iNaturalist community, for research that is not commercial; each has a licence of its own.",
        {"eval_ks": [1, 4, 16, 32]},
        benchmark="inat2021",
    ),
    "products10k": Preset(
        "Products-10K",
        "Photographs from JD.com, collected by JD AI Research (Bai et al. 2020, arXiv 2008.10545) for research that is "
        "not commercial.",
        benchmark="products10k",
    ),
    # The paper has no run on these two either.
    "gldv2": Preset(
        "Google Landmarks v2",
        "Photographs from Wikimedia Commons with CC BY licences; `train_attribution.csv` of the data set names the "
        "author and the licence of each (Weyand et al. 2020, arXiv 2004.01804).",
        benchmark="gldv2",
    ),
    "met": Preset(
        "The Met",
        "Photographs of exhibits, from the open access collection of The Metropolitan Museum of Art (Ypsilantis et al. "
        "2021, arXiv 2202.01747).",
        benchmark="met",
    ),
    "icons": Preset(
        "icons",
        "The drawings are those of open icon fonts, rendered from the package qtawesome:\n\n"
        + "\n".join(f"- {family}: [{license}]({source})" for family, (license, source) in ICON_FONT_LICENSES.items()),
        {
            "model": DEMO_BACKBONE,
            "min_drawings": 3,  # 5.4 drawings of a concept on average, as many as Stanford Online Products has images
            "image_size": 56,
            "resize_size": 64,
            "max_steps": 400,
            "eval_steps": 100,  # for the curve; the one checkpoint is that of the end
            "save_steps": 400,
            "logging_steps": 25,
            "bf16": has_fast_bf16(),
            "koleo_weight": 0.0,  # 400 steps are too few for it: 0.7 ended at R@1 68.1 where 0 ended at 70.4
            "flip": 0.0,
        },
    ),
    PAIRS: Preset("SfM-120k", _RESEARCH, {"resize_mode": "square"}, benchmark="sfm120k"),
}

# `hf-vitret train sfm120k --demo`: fewer and larger steps, for a small set, and images that two cores can train on.
SCENES = Preset(
    "scenes",
    "Views of photographs that scikit-image and scikit-learn ship:\n\n"
    + "\n".join(f"- {name}: {photograph.terms}" for name, photograph in PHOTOGRAPHS.items()),
    {
        **PRESETS[PAIRS].settings,
        "model": DEMO_BACKBONE,
        "image_size": 98,
        "num_train_epochs": 4,
        "pairs_per_epoch": 50,
        "pool_size": 300,
        "learning_rate": 1e-5,
        "logging_steps": 5,
        "bf16": has_fast_bf16(),
        "rerank": "reciprocal",
        "rerank_neighbors": 10,
    },
)
