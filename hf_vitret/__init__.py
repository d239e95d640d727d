"""Fine-tune any Hugging Face vision backbone into an image-retrieval model, evaluate it and search with it.

Public names are loaded when they are first used: `import hf_vitret` itself costs a few milliseconds.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import _auto_registration

__version__ = "0.1.0"

_MODULES = {
    "ClassBalancedSampler": "training.sampler",
    "ComparisonResult": "evaluation.reporting.report",
    "ContrastiveLoss": "losses.contrastive",
    "CrossBatchMemory": "losses.cross_batch_memory",
    "Diffusion": "search.diffusion",
    "Embedder": "embedding.embedder",
    "EmbeddingFolder": "embedding.shards",
    "EmbeddingMap": "indexing.embedding_map",
    "EvaluationResult": "evaluation.reporting.report",
    "ExternalLoss": "losses.external",
    "GradedPairs": "evaluation.metrics.relevance",
    "ImageIndex": "indexing.image_index",
    "KoLeoLoss": "losses.koleo",
    "LearnedWhitening": "search.whitening",
    "ModelIdentity": "embedding.model_identity",
    "MtebEncoder": "evaluation.mteb_encoder",
    "NormalizedSoftmaxLoss": "losses.normalized_softmax",
    "OnnxEncoder": "hub.export.onnx_encoder",
    "PCA": "search.pca",
    "RetrievalEvaluator": "evaluation.evaluator",
    "RetrievalLoss": "losses.retrieval",
    "RetrievalProtocol": "evaluation.protocols",
    "RetrievalTrainer": "training.trainer",
    "RetrievalTrainingArguments": "training.training_args",
    "RevisitedEvaluator": "evaluation.revisited.evaluator",
    "SharedLabels": "evaluation.metrics.relevance",
    "SmoothRecallLoss": "losses.smooth_recall",
    "SupConLoss": "losses.supcon",
    "TupleContrastiveLoss": "losses.tuple_contrastive",
    "TupleTrainer": "training.tuples.trainer",
    "TupleTrainingArguments": "training.tuples.arguments",
    "ViTRetConfig": "models.configuration_vitret",
    "ViTRetModel": "models.modeling_vitret",
    "attach_index": "indexing.dataset_bridge",
    "augment_database": "search.query_expansion",
    "bootstrap_interval": "evaluation.reporting.bootstrap",
    "choose_index": "indexing.index_choice",
    "compare": "evaluation.reporting.bootstrap",
    "draw_spread": "evaluation.spread_figures",
    "embed_images": "search.embed",
    "embed_multi_scale": "search.multi_scale",
    "evaluate_module": "evaluation.modules",
    "expand_queries": "search.query_expansion",
    "expanded_search": "indexing.refined_search",
    "export_onnx": "hub.export.onnx_graph",
    "graded_metrics": "evaluation.metrics.graded",
    "load_model": "search.load_model",
    "load_retrieval_dataset": "data.loading",
    "match_rates": "evaluation.match_rates",
    "measure_spread": "evaluation.spread",
    "mixed_recall": "indexing.mixed_recall",
    "nearest_neighbors": "search.neighbors",
    "publish_checkpoint": "hub.publish",
    "query_metrics": "evaluation.metrics.retrieval",
    "ranked_list_metrics": "evaluation.metrics.ranked_lists",
    "rerank_reciprocal": "search.reciprocal_reranking",
    "reranked_search": "indexing.refined_search",
    "retrieval_metrics": "evaluation.metrics.retrieval",
    "revisited_metrics": "evaluation.revisited.metrics",
    "revisited_metrics_of_ranking": "evaluation.revisited.metrics",
    "score_change": "hub.export.onnx_encoder",
    "short_vectors": "evaluation.short_vectors.sweep",
    "to_lancedb": "indexing.engines.lance",
    "to_milvus": "indexing.engines.milvus",
    "to_qdrant": "indexing.engines.qdrant",
    "with_projection": "search.projection",
    "write_embeddings": "embedding.write_embeddings",
    "write_endpoint_handler": "hub.export.endpoint",
    "write_sentence_transformers": "hub.export.sentence_transformers_files",
    "write_space": "hub.export.space",
}
__all__ = sorted(_MODULES)

if TYPE_CHECKING:
    from .data.loading import load_retrieval_dataset as load_retrieval_dataset
    from .embedding.embedder import Embedder as Embedder
    from .embedding.model_identity import ModelIdentity as ModelIdentity
    from .embedding.shards import EmbeddingFolder as EmbeddingFolder
    from .embedding.write_embeddings import write_embeddings as write_embeddings
    from .evaluation.evaluator import RetrievalEvaluator as RetrievalEvaluator
    from .evaluation.match_rates import match_rates as match_rates
    from .evaluation.metrics.graded import graded_metrics as graded_metrics
    from .evaluation.metrics.ranked_lists import ranked_list_metrics as ranked_list_metrics
    from .evaluation.metrics.relevance import GradedPairs as GradedPairs
    from .evaluation.metrics.relevance import SharedLabels as SharedLabels
    from .evaluation.metrics.retrieval import query_metrics as query_metrics
    from .evaluation.metrics.retrieval import retrieval_metrics as retrieval_metrics
    from .evaluation.modules import evaluate_module as evaluate_module
    from .evaluation.mteb_encoder import MtebEncoder as MtebEncoder
    from .evaluation.protocols import RetrievalProtocol as RetrievalProtocol
    from .evaluation.reporting.bootstrap import bootstrap_interval as bootstrap_interval
    from .evaluation.reporting.bootstrap import compare as compare
    from .evaluation.reporting.report import ComparisonResult as ComparisonResult
    from .evaluation.reporting.report import EvaluationResult as EvaluationResult
    from .evaluation.revisited.evaluator import RevisitedEvaluator as RevisitedEvaluator
    from .evaluation.revisited.metrics import revisited_metrics as revisited_metrics
    from .evaluation.revisited.metrics import revisited_metrics_of_ranking as revisited_metrics_of_ranking
    from .evaluation.short_vectors.sweep import short_vectors as short_vectors
    from .evaluation.spread import measure_spread as measure_spread
    from .evaluation.spread_figures import draw_spread as draw_spread
    from .hub.export.endpoint import write_endpoint_handler as write_endpoint_handler
    from .hub.export.onnx_encoder import OnnxEncoder as OnnxEncoder
    from .hub.export.onnx_encoder import score_change as score_change
    from .hub.export.onnx_graph import export_onnx as export_onnx
    from .hub.export.sentence_transformers_files import write_sentence_transformers as write_sentence_transformers
    from .hub.export.space import write_space as write_space
    from .hub.publish import publish_checkpoint as publish_checkpoint
    from .indexing.dataset_bridge import attach_index as attach_index
    from .indexing.embedding_map import EmbeddingMap as EmbeddingMap
    from .indexing.engines.lance import to_lancedb as to_lancedb
    from .indexing.engines.milvus import to_milvus as to_milvus
    from .indexing.engines.qdrant import to_qdrant as to_qdrant
    from .indexing.image_index import ImageIndex as ImageIndex
    from .indexing.index_choice import choose_index as choose_index
    from .indexing.mixed_recall import mixed_recall as mixed_recall
    from .indexing.refined_search import expanded_search as expanded_search
    from .indexing.refined_search import reranked_search as reranked_search
    from .losses.contrastive import ContrastiveLoss as ContrastiveLoss
    from .losses.cross_batch_memory import CrossBatchMemory as CrossBatchMemory
    from .losses.external import ExternalLoss as ExternalLoss
    from .losses.koleo import KoLeoLoss as KoLeoLoss
    from .losses.normalized_softmax import NormalizedSoftmaxLoss as NormalizedSoftmaxLoss
    from .losses.retrieval import RetrievalLoss as RetrievalLoss
    from .losses.smooth_recall import SmoothRecallLoss as SmoothRecallLoss
    from .losses.supcon import SupConLoss as SupConLoss
    from .losses.tuple_contrastive import TupleContrastiveLoss as TupleContrastiveLoss
    from .models.configuration_vitret import ViTRetConfig as ViTRetConfig
    from .models.modeling_vitret import ViTRetModel as ViTRetModel
    from .search.diffusion import Diffusion as Diffusion
    from .search.embed import embed_images as embed_images
    from .search.load_model import load_model as load_model
    from .search.multi_scale import embed_multi_scale as embed_multi_scale
    from .search.neighbors import nearest_neighbors as nearest_neighbors
    from .search.pca import PCA as PCA
    from .search.projection import with_projection as with_projection
    from .search.query_expansion import augment_database as augment_database
    from .search.query_expansion import expand_queries as expand_queries
    from .search.reciprocal_reranking import rerank_reciprocal as rerank_reciprocal
    from .search.whitening import LearnedWhitening as LearnedWhitening
    from .training.sampler import ClassBalancedSampler as ClassBalancedSampler
    from .training.trainer import RetrievalTrainer as RetrievalTrainer
    from .training.training_args import RetrievalTrainingArguments as RetrievalTrainingArguments
    from .training.tuples.arguments import TupleTrainingArguments as TupleTrainingArguments
    from .training.tuples.trainer import TupleTrainer as TupleTrainer


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


_auto_registration.install()
