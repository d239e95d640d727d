"""Fine-tune any Hugging Face vision backbone into an image-retrieval model, evaluate it and search with it.

Public names are loaded when they are first used: `import hf_vitret` itself costs a few milliseconds.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import _auto_registration

__version__ = "0.1.0"

_MODULES = {
    "ClassBalancedSampler": "training.sampler",
    "ContrastiveLoss": "losses.contrastive",
    "CrossBatchMemory": "losses.cross_batch_memory",
    "Diffusion": "search.diffusion",
    "ExternalLoss": "losses.external",
    "KoLeoLoss": "losses.koleo",
    "NormalizedSoftmaxLoss": "losses.normalized_softmax",
    "RetrievalEvaluator": "evaluation.evaluator",
    "RetrievalLoss": "losses.retrieval",
    "RetrievalTrainer": "training.trainer",
    "RetrievalTrainingArguments": "training.training_args",
    "SmoothRecallLoss": "losses.smooth_recall",
    "SupConLoss": "losses.supcon",
    "ViTRetConfig": "models.configuration_vitret",
    "ViTRetModel": "models.modeling_vitret",
    "augment_database": "search.query_expansion",
    "embed_images": "search.embed",
    "expand_queries": "search.query_expansion",
    "load_retrieval_dataset": "data.loading",
    "nearest_neighbors": "search.neighbors",
    "rerank_reciprocal": "search.reciprocal_reranking",
    "retrieval_metrics": "evaluation.metrics",
}
__all__ = sorted(_MODULES)

if TYPE_CHECKING:
    from .data.loading import load_retrieval_dataset as load_retrieval_dataset
    from .evaluation.evaluator import RetrievalEvaluator as RetrievalEvaluator
    from .evaluation.metrics import retrieval_metrics as retrieval_metrics
    from .losses.contrastive import ContrastiveLoss as ContrastiveLoss
    from .losses.cross_batch_memory import CrossBatchMemory as CrossBatchMemory
    from .losses.external import ExternalLoss as ExternalLoss
    from .losses.koleo import KoLeoLoss as KoLeoLoss
    from .losses.normalized_softmax import NormalizedSoftmaxLoss as NormalizedSoftmaxLoss
    from .losses.retrieval import RetrievalLoss as RetrievalLoss
    from .losses.smooth_recall import SmoothRecallLoss as SmoothRecallLoss
    from .losses.supcon import SupConLoss as SupConLoss
    from .models.configuration_vitret import ViTRetConfig as ViTRetConfig
    from .models.modeling_vitret import ViTRetModel as ViTRetModel
    from .search.diffusion import Diffusion as Diffusion
    from .search.embed import embed_images as embed_images
    from .search.neighbors import nearest_neighbors as nearest_neighbors
    from .search.query_expansion import augment_database as augment_database
    from .search.query_expansion import expand_queries as expand_queries
    from .search.reciprocal_reranking import rerank_reciprocal as rerank_reciprocal
    from .training.sampler import ClassBalancedSampler as ClassBalancedSampler
    from .training.trainer import RetrievalTrainer as RetrievalTrainer
    from .training.training_args import RetrievalTrainingArguments as RetrievalTrainingArguments


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


_auto_registration.install()
