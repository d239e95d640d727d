"""Exact evaluation of retrieval models: metrics, evaluators, protocols, confidence intervals and reports."""

from hf_vitret.evaluation.metrics.retrieval import retrieval_metrics

__all__ = ["retrieval_metrics"]
