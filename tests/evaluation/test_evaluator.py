"""`RetrievalEvaluator` scores what embedding the images and scoring them gives, for every form of the data."""

import json

import pytest
import torch
from datasets import Dataset, DatasetDict
from torch import nn

from hf_vitret import RetrievalEvaluator, embed_images, retrieval_metrics
from hf_vitret.evaluation.evaluator import score_queries
from tests.training.runs import shapes_dataset


@pytest.fixture(scope="module")
def test_split() -> Dataset:
    return shapes_dataset()["test"]


def labels_of(dataset: Dataset) -> torch.Tensor:
    return torch.tensor(dataset["label"][:])


def test_leave_one_out(tiny_model: nn.Module, test_split: Dataset) -> None:
    expected = retrieval_metrics(embed_images(tiny_model, test_split, progress=False), labels_of(test_split))
    assert expected["recall_at_1"] > 0
    assert expected["map_at_r"] < 1
    forms = (test_split, {"test": test_split}, DatasetDict(train=test_split.select([0]), test=test_split))
    for form in forms:
        assert RetrievalEvaluator(form, batch_size=3)(tiny_model) == expected


def test_query_and_gallery(tiny_model: nn.Module, test_split: Dataset) -> None:
    query, gallery = test_split.select(range(0, 20, 3)), test_split.select(range(1, 20, 3))
    expected = retrieval_metrics(
        embed_images(tiny_model, query, progress=False),
        labels_of(query),
        embed_images(tiny_model, gallery, progress=False),
        labels_of(gallery),
    )
    assert expected["num_queries"] == 7
    assert RetrievalEvaluator(query, gallery)(tiny_model) == expected
    assert RetrievalEvaluator(DatasetDict(query=query, gallery=gallery))(tiny_model) == expected


def test_an_image_in_both_sets_does_not_find_itself(tiny_model: nn.Module, test_split: Dataset) -> None:
    """A search in which the query set is its own gallery is leave-one-out."""
    alone = RetrievalEvaluator(test_split)(tiny_model)
    twice = RetrievalEvaluator(test_split, test_split)(tiny_model)
    assert twice == alone
    assert alone["recall_at_1"] < 1
    # In another order, only the ids identify an image.
    assert RetrievalEvaluator(test_split, test_split.select(range(19, -1, -1)))(tiny_model) == alone


def test_neighbours_are_the_best_of_the_others(tiny_model: nn.Module, test_split: Dataset) -> None:
    embeddings = embed_images(tiny_model, test_split, progress=False)
    scores = (embeddings.double() @ embeddings.double().T).fill_diagonal_(-torch.inf)
    rows = torch.tensor([3, 11])
    found = RetrievalEvaluator(test_split).neighbors(rows, 4, embeddings)
    assert torch.equal(found, scores[rows].argsort(dim=1, descending=True)[:, :4])
    # The searched part of the set has rows 3 and 11 as its rows 1 and 9.
    part = test_split.select(range(2, 14))
    found = RetrievalEvaluator(test_split, part).neighbors(rows, 13, embeddings, embeddings[2:14])
    expected = scores[rows, 2:14].argsort(dim=1, descending=True)[:, :11]
    assert torch.equal(found[:, :11], expected)
    assert (found[:, 11:] == -1).all()


def test_ids_are_compared_as_text(test_split: Dataset) -> None:
    """As numbers, 1e3 and 1000 would be one image, 9007199254740993 would equal its neighbour, and nan nothing."""
    names = ["1e3", "1000", "1000.0", "9007199254740993", "9007199254740992", "nan"]
    query = test_split.select(range(6)).remove_columns("image_id").add_column("image_id", names)
    gallery = test_split.select(range(6)).remove_columns("image_id").add_column("image_id", names[::-1])
    query_ids, gallery_ids = RetrievalEvaluator(query, gallery).shared_ids
    assert torch.equal(query_ids[:, None] == gallery_ids, torch.eye(6, dtype=torch.bool).flip(1))


def test_large_labels_stay_apart(test_split: Dataset) -> None:
    """Above 2**53, neighbouring integers are the same float."""
    labels = [2**53 + row for row in range(4)]
    dataset = test_split.select(range(4)).remove_columns("label").add_column("label", labels)
    assert RetrievalEvaluator(dataset).query_labels.tolist() == labels


def test_cut_offs_are_those_requested(tiny_model: nn.Module, test_split: Dataset) -> None:
    metrics = RetrievalEvaluator(test_split, ks=(2, 5))(tiny_model)
    assert [name for name in metrics if name.startswith("recall")] == ["recall_at_2", "recall_at_5"]


def test_metrics_and_ties_are_those_requested(tiny_model: nn.Module, test_split: Dataset) -> None:
    requested = {"ks": (1, 3), "metrics": ["mrr", "precision_at_k"]}
    evaluator = RetrievalEvaluator(test_split, **requested)
    embeddings = evaluator.embed(tiny_model, test_split)
    assert evaluator(tiny_model) == retrieval_metrics(embeddings, labels_of(test_split), **requested)
    collapsed = embeddings[:1].expand(20, -1)
    classes = labels_of(test_split)
    chance = (classes[:, None] == classes).sum(dim=1).sub(1).double().mean() / 19
    scores = RetrievalEvaluator(test_split, **requested, ties="expected").score(collapsed)
    assert scores["precision_at_1"] == pytest.approx(float(chance))
    assert evaluator.score(collapsed)["precision_at_1"] == 0


def test_values_of_each_query(tiny_model: nn.Module, test_split: Dataset) -> None:
    query, gallery = test_split.select(range(0, 20, 3)), test_split.select(range(1, 20, 3))
    evaluator = RetrievalEvaluator(query, gallery, ks=(1, 2))
    sets = evaluator.embed(tiny_model, query), evaluator.embed(tiny_model, gallery)
    values, means = evaluator.query_metrics(*sets), evaluator.score(*sets)
    assert list(values) == ["recall_at_1", "recall_at_2", "map_at_r", "r_precision"]
    for name, each in values.items():
        assert each.shape == (7,)
        assert float(each.nanmean()) == pytest.approx(means[name])


def test_embeddings_must_be_of_the_sets_of_the_evaluator(test_split: Dataset) -> None:
    rows = torch.eye(20)
    with pytest.raises(ValueError, match="got its labels without its embeddings"):
        RetrievalEvaluator(test_split, test_split).score(rows)
    with pytest.raises(ValueError, match="got its embeddings without its labels"):
        RetrievalEvaluator(test_split).score(rows, rows)


def test_what_cannot_be_computed_is_refused_before_anything_is_embedded(test_split: Dataset) -> None:
    with pytest.raises(ValueError, match="metrics must be some of"):
        RetrievalEvaluator(test_split, metrics=["accuracy"])
    with pytest.raises(ValueError, match="ks must be integers"):
        RetrievalEvaluator(test_split, ks=(0,))


def test_the_protocol_says_all_that_a_score_depends_on(tiny_model: nn.Module, test_split: Dataset) -> None:
    config = tiny_model.config
    alone = RetrievalEvaluator(test_split, ks=(10, 1), dtype=torch.bfloat16).protocol(tiny_model)
    assert json.loads(json.dumps(alone)) == alone
    assert alone == {
        "search": "leave-one-out",
        "num_queries": 20,
        "num_gallery": 20,
        "relevance": "same label",
        "left_out_of_lists": "the query itself",
        "num_ignored_pairs": 0,
        "queries_without_positive": "left out of the means",
        "ks": [1, 10],
        "metrics": ["recall_at_k", "map_at_r", "r_precision"],
        "ties": "pessimistic",
        "tie_tolerance": 2e-6,
        "score": "cosine similarity",
        "image_size": config.image_size,
        "resize_size": config.resize_size,
        "resize_mode": "shortest_edge",
        "pooling": config.pooling,
        "embedding_dim": config.output_dim,
        "dtype": "bfloat16",
    }
    both = RetrievalEvaluator(test_split, test_split.select(range(5)), metrics=["map"], ties="expected")
    changed = {
        "search": "query against gallery",
        "num_gallery": 5,
        "left_out_of_lists": "images of the same id",
        "ks": [1, 10, 100, 1000],
        "metrics": ["map"],
        "ties": "expected",
        "dtype": "float32",
    }
    assert both.protocol(tiny_model) == alone | changed


def test_settings_reach_the_embedding(
    tiny_model: nn.Module, test_split: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {}

    def spy(model, dataset, **settings):
        seen.update(settings)
        return embed_images(model, dataset, progress=settings["progress"], dtype=settings["dtype"])

    monkeypatch.setattr("hf_vitret.evaluation.evaluator.embed_images", spy)
    RetrievalEvaluator(test_split, batch_size=5, num_workers=3, dtype=torch.bfloat16)(tiny_model)
    assert seen == {"batch_size": 5, "num_workers": 3, "dtype": torch.bfloat16, "progress": True}


@pytest.mark.parametrize("is_gallery", [False, True])
def test_missing_column(test_split: Dataset, is_gallery: bool) -> None:
    broken = test_split.rename_column("image_id", "file")
    sets = (test_split, broken) if is_gallery else (broken,)
    with pytest.raises(ValueError, match=r"image, label, image_id; got image, label, file\. load_retrieval_dataset"):
        RetrievalEvaluator(*sets)


@pytest.mark.parametrize("names", [("train",), ("train", "query"), ("gallery",)])
def test_missing_split(test_split: Dataset, names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=f"expected the splits test, or query and gallery; got {', '.join(names)}"):
        RetrievalEvaluator(dict.fromkeys(names, test_split))


@pytest.mark.parametrize("has_gallery", [False, True])
@pytest.mark.parametrize("device", ["cpu", "mps"])  # mps has no float64, and is not used
def test_each_query_is_scored_in_the_order_of_the_set(has_gallery: bool, device: str) -> None:
    split = shapes_dataset()["test"]
    gallery = shapes_dataset()["train"].select(range(8)) if has_gallery else None
    if gallery is not None:  # some of the classes of the queries
        gallery = gallery.remove_columns("label").add_column("label", [split[row]["label"] for row in range(8)])
    evaluator = RetrievalEvaluator(split, gallery, ks=[1])
    generator = torch.Generator().manual_seed(0)
    query = torch.nn.functional.normalize(torch.randn(len(split), 4, generator=generator), dim=1)
    searched = torch.nn.functional.normalize(torch.randn(8, 4, generator=generator), dim=1) if has_gallery else query
    found = score_queries(evaluator, query, searched if has_gallery else None, torch.device(device))["recall_at_1"]
    labels = [example["label"] for example in split]
    expected = []
    for row, label in enumerate(labels):
        others = [other for other in range(len(searched)) if has_gallery or other != row]
        nearest = max(others, key=lambda other: float(query[row] @ searched[other]))
        is_right = labels[nearest] == label
        has_right = any(labels[other] == label for other in others)
        expected.append(float(is_right) if has_right else float("nan"))
    assert found.device.type == "cpu"
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), equal_nan=True)
