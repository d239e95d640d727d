"""`RevisitedEvaluator` scores what embedding and scoring gives, and reports the protocol with the scores."""

import numpy as np
import pytest
import torch
from datasets import Dataset, Features, Sequence, Value
from datasets import Image as ImageFeature
from PIL import Image

from hf_vitret import PCA
from hf_vitret.compression.whitening import LearnedWhitening
from hf_vitret.evaluation.reporting.report import ComparisonResult, EvaluationResult
from hf_vitret.evaluation.revisited.evaluator import RevisitedEvaluator
from hf_vitret.evaluation.revisited.metrics import means_of, revisited_query_metrics
from hf_vitret.inference.multi_scale import embed_multi_scale

NUM_GALLERY = 30


@pytest.fixture(scope="module")
def truth(make_truth):
    return make_truth(10, NUM_GALLERY, 5, seed=2)


@pytest.fixture(scope="module")
def images(truth) -> dict[str, list[Image.Image]]:
    """Draw query images, gallery images that contain them to different degrees, and distractors."""
    rng = np.random.default_rng(0)

    def noise(height: int, width: int) -> np.ndarray:
        return rng.integers(0, 256, (height, width, 3)).astype(np.float64)

    queries = [noise(24, 32) for _ in truth.query_ids]
    gallery = [noise(24, 32) for _ in truth.gallery_ids]
    for query, (easy, hard) in enumerate(zip(truth.easy, truth.hard, strict=True)):
        for row in easy:
            gallery[row] += 2 * queries[query]
        for row in hard:
            gallery[row] += queries[query]
    pixels = {"query": queries, "gallery": gallery, "distractors": [noise(28, 20) for _ in range(25)]}
    return {
        name: [Image.fromarray((255 * each / each.max()).astype(np.uint8)) for each in arrays]
        for name, arrays in pixels.items()
    }


@pytest.fixture(scope="module")
def datasets(truth, images) -> dict[str, Dataset]:
    features = Features(image=ImageFeature(), image_id=Value("string"), full_size=Sequence(Value("int64"), length=2))
    ids = {"query": truth.query_ids, "gallery": truth.gallery_ids}
    return {
        name: Dataset.from_dict(
            {"image": images[name], "image_id": list(ids[name]), "full_size": [[64, 48]] * len(ids[name])},
            features=features,
        )
        for name in ids
    }


def test_equals_embedding_and_scoring_by_hand(tiny_model, truth, images, datasets) -> None:
    settings = {"scales": (1.0, 1.5), "image_size": 40, "resize": "aspect", "batch_size": 2}
    evaluator = RevisitedEvaluator(
        datasets["query"],
        datasets["gallery"],
        truth,
        distractors=[{"image": image} for image in images["distractors"]],
        keep_scale=True,
        ks=(1, 3),
        **settings,
    )
    queries = embed_multi_scale(tiny_model, datasets["query"], keep_scale=True, progress=False, **settings)
    gallery, distractors = (
        embed_multi_scale(tiny_model, images[name], progress=False, **settings) for name in ("gallery", "distractors")
    )
    expected = revisited_query_metrics(queries, torch.cat([gallery, distractors]), truth, ks=(1, 3))
    values = evaluator.query_metrics(tiny_model)
    assert list(values) == list(expected)
    for name, scores in values.items():
        torch.testing.assert_close(scores, expected[name], equal_nan=True)
    alone = revisited_query_metrics(queries, gallery, truth, ks=(1, 3))
    assert not torch.equal(alone["medium_map"].nan_to_num(), expected["medium_map"].nan_to_num())
    metrics = evaluator(tiny_model)
    assert metrics == means_of(values)
    assert min(metrics["hard_map"], metrics["easy_map"]) > 0


def test_a_report_carries_protocol_and_intervals_and_compares(tiny_model, truth, datasets, tmp_path) -> None:
    features = embed_multi_scale(tiny_model, datasets["gallery"], normalize=False, progress=False)
    pairs = torch.arange(15), torch.arange(15, 30)
    projections = [(None, None), (PCA.fit(features), 4), (LearnedWhitening.fit(features, *pairs), None)]
    values, results = [], []
    for projection, dim in projections:
        evaluator = RevisitedEvaluator(datasets["query"], datasets["gallery"], truth, projection=projection, dim=dim)
        values.append(evaluator.query_metrics(tiny_model))
        results.append(evaluator.result("tiny", tiny_model, values[-1], num_resamples=200))
    described = [
        (result.protocol["projection"], result.protocol["embedding_dim"], "shrinkage" in result.protocol)
        for result in results
    ]
    assert described == [("the model's own", 32, False), ("PCA", 4, False), ("learned whitening", 32, True)]
    expected = {"image_size": 32, "resize_mode": "square", "scales": [1.0], "pooling": "cls", "dtype": "float32"}
    assert expected.items() <= results[0].protocol.items()
    for own, result in zip(values, results, strict=True):
        interval = result.intervals["medium_map"]
        assert interval.low <= result.metrics["medium_map"] <= interval.high
        assert interval.num_queries == result.metrics["num_medium_queries"]
        assert interval.num_left_out == own["medium_map"].isnan().sum() > 0
        assert EvaluationResult.load(result.save(tmp_path / "result.json")) == result
        assert "num_hard_queries" in result.table()
    shortened = PCA.fit(features).transform(features, 4)
    queries = embed_multi_scale(tiny_model, datasets["query"], normalize=False, progress=False)
    by_hand = revisited_query_metrics(PCA.fit(features).transform(queries, 4), shortened, truth)
    torch.testing.assert_close(values[1]["medium_map"], by_hand["medium_map"], equal_nan=True)
    comparison = ComparisonResult.of_queries(results[0], results[1], values[0], values[1], num_resamples=200)
    assert "Not the same: projection, the model's own for a and PCA for b" in comparison.table()


def test_a_stream_of_distractors_is_read_a_few_batches_at_a_time(tiny_model, truth, images, datasets) -> None:
    read, most = [], []

    def stream():
        for image in images["distractors"]:
            read.append(image)
            yield {"image": image}

    evaluator = RevisitedEvaluator(
        datasets["query"], datasets["gallery"], truth, distractors=stream(), batch_size=2, scales=(1.0,)
    )
    embed = evaluator.embed
    evaluator.embed = lambda *args, **options: (most.append(len(read)), embed(*args, **options))[1]
    evaluator(tiny_model)
    assert most == [0, 0, 8, 16, 24, 25]


def test_what_does_not_belong_together_is_refused(truth, datasets) -> None:
    query, gallery = datasets["query"], datasets["gallery"]
    with pytest.raises(ValueError, match=r"gallery must have the 30 images .* got 30, of which the first .* in row 4"):
        RevisitedEvaluator(query, gallery.select([*range(4), 5, 4, *range(6, 30)]), truth)
    with pytest.raises(ValueError, match=r"query must have the 10 images .* got 9"):
        RevisitedEvaluator(query.select(range(9)), gallery, truth)
    with pytest.raises(ValueError, match=r"dim must come with a projection, .* got dim 4 alone"):
        RevisitedEvaluator(query, gallery, truth, dim=4)
