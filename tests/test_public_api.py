"""The public names change only on purpose, each can be had, and having none of them costs nothing."""

import ast
import inspect
import re
import subprocess
import sys
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import pytest

import hf_vitret

NAMES = [
    "ClassBalancedSampler",
    "ComparisonResult",
    "ContrastiveLoss",
    "CrossBatchMemory",
    "Diffusion",
    "Embedder",
    "EmbeddingFolder",
    "EmbeddingMap",
    "EvaluationResult",
    "ExternalLoss",
    "GradedPairs",
    "ImageIndex",
    "KoLeoLoss",
    "LearnedWhitening",
    "ModelIdentity",
    "MtebEncoder",
    "NormalizedSoftmaxLoss",
    "OnnxEncoder",
    "PCA",
    "RetrievalEvaluator",
    "RetrievalLoss",
    "RetrievalProtocol",
    "RetrievalTrainer",
    "RetrievalTrainingArguments",
    "RevisitedEvaluator",
    "SharedLabels",
    "SmoothRecallLoss",
    "SupConLoss",
    "TupleContrastiveLoss",
    "TupleTrainer",
    "TupleTrainingArguments",
    "ViTRetConfig",
    "ViTRetModel",
    "attach_index",
    "augment_database",
    "bootstrap_interval",
    "choose_index",
    "compare",
    "draw_spread",
    "embed_images",
    "embed_multi_scale",
    "evaluate_module",
    "examine",
    "expand_queries",
    "expanded_search",
    "export_onnx",
    "gldv2_metrics",
    "gldv2_metrics_of_rankings",
    "graded_metrics",
    "load_model",
    "load_retrieval_dataset",
    "match_rates",
    "measure_spread",
    "met_metrics",
    "mixed_recall",
    "nearest_neighbors",
    "prepare_dataset",
    "publish_checkpoint",
    "query_metrics",
    "ranked_list_metrics",
    "rerank_reciprocal",
    "reranked_search",
    "retrieval_metrics",
    "revisited_metrics",
    "revisited_metrics_of_ranking",
    "score_change",
    "search_by_image",
    "short_vectors",
    "to_lancedb",
    "to_milvus",
    "to_qdrant",
    "with_projection",
    "write_embeddings",
    "write_endpoint_handler",
    "write_sentence_transformers",
    "write_space",
]
HEAVY = ["torch", "torchvision", "transformers", "datasets", "faiss", "matplotlib", "numpy", "PIL", "gradio"]


def test_public_names():
    assert hf_vitret.__all__ == NAMES
    assert set(NAMES) <= set(dir(hf_vitret))


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_there_and_documented(name):
    value = getattr(hf_vitret, name)
    assert value.__name__ == name
    assert value.__module__.startswith("hf_vitret.")
    assert inspect.getdoc(value)


REFERS_TO_ANOTHER = re.compile(r"\bAs (?:there|for|above)\b|\bas for `")


def docstrings(value):
    """Return the docstrings of a public function or class and of the public members that this package defines."""
    found = {value.__name__: inspect.getdoc(value)}
    if isinstance(value, type):
        for each in value.__mro__:
            for name, member in vars(each).items() if each.__module__.startswith("hf_vitret.") else ():
                is_public = name == "__call__" or not name.startswith("_")
                if is_public and (inspect.isroutine(member) or isinstance(member, (property, cached_property))):
                    found[f"{value.__name__}.{name}"] = inspect.getdoc(getattr(value, name))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_help_does_not_refer_to_the_arguments_of_another_function(name):
    """`help` shows one function at a time, so "As for `other`." leaves its reader without an answer."""
    lines = {where: (text or "").splitlines() for where, text in docstrings(getattr(hf_vitret, name)).items()}
    referring = [
        f"{where}: {line.strip()}" for where in lines for line in lines[where] if REFERS_TO_ANOTHER.search(line)
    ]
    assert not referring, "\n".join(referring)


@pytest.mark.parametrize("name", [name for name in NAMES if name.islower()])
def test_every_parameter_of_a_public_function_is_in_its_args_section(name):
    function = getattr(hf_vitret, name)
    assert inspect.isfunction(function)
    section = re.search(r"^Args:\n((?:(?: .*)?\n)*)", inspect.getdoc(function) + "\n", re.MULTILINE)
    entries = re.findall(r"^    \*{0,2}(\w+):", section[1] if section else "", re.MULTILINE)
    assert entries == list(inspect.signature(function).parameters)


def test_each_name_stands_once_where_it_is_defined():
    stub = ast.parse(Path(hf_vitret.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    imports = [(alias, node.module) for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert all(alias.name == alias.asname for alias, _ in imports)  # so that type checkers take it for public
    assert sorted(alias.name for alias, _ in imports) == NAMES
    for alias, module in imports:
        assert getattr(hf_vitret, alias.name).__module__ == f"hf_vitret.{module}"


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="No hf_vitret attribute Embedding"):
        hf_vitret.Embedding  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'Embedding'"):
        from hf_vitret import Embedding  # noqa: F401


def test_version_is_that_of_the_installed_package():
    assert hf_vitret.__version__ == version("hf_vitret")


def test_importing_the_package_imports_nothing_heavy():
    process = subprocess.run(
        [sys.executable, "-c", "import sys, hf_vitret; print(*sys.modules)"], capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    loaded = set(process.stdout.split())
    assert "hf_vitret" in loaded
    assert not loaded & set(HEAVY)
