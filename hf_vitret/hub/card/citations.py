"""BibTeX entries of the method, the backbone and the data set of a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

METHOD = r"""@article{elnouby2021training,
  title   = {Training Vision Transformers for Image Retrieval},
  author  = {El-Nouby, Alaaeldin and Neverova, Natalia and Laptev, Ivan and J{\'e}gou, Herv{\'e}},
  journal = {arXiv preprint arXiv:2102.05644},
  year    = {2021}
}"""

# Beginning of the backbone's name on the Hub, in lower case and without the owner -> entry.
BACKBONES = {
    "deit": r"""@inproceedings{touvron2021training,
  title     = {Training data-efficient image transformers \& distillation through attention},
  author    = {Touvron, Hugo and Cord, Matthieu and Douze, Matthijs and Massa, Francisco and Sablayrolles, Alexandre
               and J{\'e}gou, Herv{\'e}},
  booktitle = {International Conference on Machine Learning},
  year      = {2021},
  note      = {arXiv:2012.12877}
}""",
    "dinov2": r"""@article{oquab2023dinov2,
  title   = {{DINOv2}: Learning Robust Visual Features without Supervision},
  author  = {Oquab, Maxime and Darcet, Timoth{\'e}e and Moutakanni, Th{\'e}o and others},
  journal = {arXiv preprint arXiv:2304.07193},
  year    = {2023}
}""",
    "vit-": r"""@inproceedings{dosovitskiy2021image,
  title     = {An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale},
  author    = {Dosovitskiy, Alexey and Beyer, Lucas and Kolesnikov, Alexander and others},
  booktitle = {International Conference on Learning Representations},
  year      = {2021},
  note      = {arXiv:2010.11929}
}""",
}

# Name of the data set in `hf_vitret.data.DATASETS` -> entry.
DATA = {
    "sop": r"""@inproceedings{song2016deep,
  title     = {Deep Metric Learning via Lifted Structured Feature Embedding},
  author    = {Song, Hyun Oh and Xiang, Yu and Jegelka, Stefanie and Savarese, Silvio},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition},
  year      = {2016},
  note      = {arXiv:1511.06452}
}""",
    "inshop": r"""@inproceedings{liu2016deepfashion,
  title     = {{DeepFashion}: Powering Robust Clothes Recognition and Retrieval with Rich Annotations},
  author    = {Liu, Ziwei and Luo, Ping and Qiu, Shi and Wang, Xiaogang and Tang, Xiaoou},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition},
  year      = {2016}
}""",
    "cub": r"""@techreport{wah2011caltech,
  title       = {The {Caltech-UCSD} {Birds-200-2011} Dataset},
  author      = {Wah, Catherine and Branson, Steve and Welinder, Peter and Perona, Pietro and Belongie, Serge},
  institution = {California Institute of Technology},
  number      = {CNS-TR-2011-001},
  year        = {2011}
}""",
    "cars": r"""@inproceedings{krause2013object,
  title     = {3D Object Representations for Fine-Grained Categorization},
  author    = {Krause, Jonathan and Stark, Michael and Deng, Jia and Fei-Fei, Li},
  booktitle = {IEEE International Conference on Computer Vision Workshops},
  year      = {2013}
}""",
    "inat2021": r"""@inproceedings{vanhorn2021benchmarking,
  title     = {Benchmarking Representation Learning for Natural World Image Collections},
  author    = {Van Horn, Grant and Cole, Elijah and Beery, Sara and Wilber, Kimberly and Belongie, Serge and
               Mac Aodha, Oisin},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition},
  year      = {2021},
  note      = {arXiv:2103.16483}
}""",
    "products10k": r"""@article{bai2020products,
  title   = {{Products-10K}: A Large-scale Product Recognition Dataset},
  author  = {Bai, Yalong and Chen, Yuxiang and Yu, Wei and Wang, Linfang and Zhang, Wei},
  journal = {arXiv preprint arXiv:2008.10545},
  year    = {2020}
}""",
    "gldv2": r"""@inproceedings{weyand2020google,
  title     = {{Google Landmarks Dataset v2}: A Large-Scale Benchmark for Instance-Level Recognition and Retrieval},
  author    = {Weyand, Tobias and Araujo, Andr{\'e} and Cao, Bingyi and Sim, Jack},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition},
  year      = {2020},
  note      = {arXiv:2004.01804}
}""",
    "met": r"""@inproceedings{ypsilantis2021met,
  title     = {The {Met} Dataset: Instance-level Recognition for Artworks},
  author    = {Ypsilantis, Nikolaos-Antonios and Garcia, Noa and Han, Guangxing and others},
  booktitle = {NeurIPS Datasets and Benchmarks Track},
  year      = {2021},
  note      = {arXiv:2202.01747}
}""",
    "sfm120k": r"""@article{radenovic2019finetuning,
  title   = {Fine-tuning {CNN} Image Retrieval with No Human Annotation},
  author  = {Radenovi{\'c}, Filip and Tolias, Giorgos and Chum, Ond{\v{r}}ej},
  journal = {IEEE Transactions on Pattern Analysis and Machine Intelligence},
  year    = {2019},
  note    = {arXiv:1711.02512}
}""",
    "inat2018": r"""@inproceedings{vanhorn2018inaturalist,
  title     = {The {iNaturalist} Species Classification and Detection Dataset},
  author    = {Van Horn, Grant and Mac Aodha, Oisin and Song, Yang and others},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition},
  year      = {2018},
  note      = {arXiv:1707.06642}
}""",
}


def citations(results: Mapping[str, Any]) -> str:
    """Collect the BibTeX entries of a run: the method, and the backbone and the data set if they have entries.

    Args:
        results: The content of the run's `results.json`. The backbone (`base_model`, else `backbone`) is looked up in
            `BACKBONES`, the data set (`results["data"]["name"]`) in `DATA`.

    Returns:
        The entries, separated by empty lines.

    Example:
        >>> found = citations({"base_model": "facebook/dinov2-small", "data": {"name": "cub"}})
        >>> [line for line in found.splitlines() if line.startswith("@")]
        ['@article{elnouby2021training,', '@article{oquab2023dinov2,', '@techreport{wah2011caltech,']
    """
    backbone = str(results.get("base_model") or results.get("backbone") or "").rsplit("/", 1)[-1].lower()
    of_backbone = [entry for start, entry in BACKBONES.items() if backbone.startswith(start)]
    of_data = DATA.get(results["data"].get("name") or "")
    return "\n\n".join([METHOD, *of_backbone, *([of_data] if of_data else [])])
