"""Two and four real processes (gloo) find the metrics of one process to the last bit, and the same neighbours."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from datasets import Dataset
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from hf_vitret import RetrievalEvaluator, ViTRetConfig, ViTRetModel
from hf_vitret.evaluation.metrics.metric_choice import METRICS
from hf_vitret.evaluation.ranking import ranked_block, sharded_ranks
from hf_vitret.evaluation.reporting.retrieval_strip import drawn_queries
from hf_vitret.training.distributed import sharded_evaluation
from hf_vitret.training.distributed.sharded_evaluation import Shares, embed_shares
from tests.training.distributed.forked import Run, launch
from tests.training.runs import shapes_dataset

WORLDS = [2, 4]
NUM_DRAWN, NUM_NEIGHBORS = 6, 5


def spread_vit() -> ViTRetModel:
    """Build a ViT that separates images without training: at the usual range 0.02 all embeddings are nearly equal."""
    backbone = {
        "model_type": "vit",
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "image_size": 32,
        "patch_size": 8,
        "initializer_range": 0.2,
    }
    torch.manual_seed(0)
    return ViTRetModel(ViTRetConfig(backbone, image_size=32))


def evaluators() -> dict[str, RetrievalEvaluator]:
    """Return sets whose size no number of processes divides, and sets with fewer images than processes."""
    images: Dataset = shapes_dataset(num_test=6)["test"].select(range(23))
    query, gallery = (
        images.select(range(0, 23, 3)),
        images.select(range(1, 23)),
    )  # some images are in both, others in one of them
    return {
        "leave one out": RetrievalEvaluator(images, batch_size=3, ks=(1, 2, 5, 100)),
        "one batch": RetrievalEvaluator(images, batch_size=64),
        "two images": RetrievalEvaluator(images.select(range(2)), batch_size=1),
        "three images": RetrievalEvaluator(images.select(range(3)), batch_size=2),
        "query and gallery": RetrievalEvaluator(query, gallery, batch_size=2),
        "every metric": RetrievalEvaluator(images, batch_size=4, ks=(1, 3, 9), metrics=METRICS),
        "expected values": RetrievalEvaluator(images, batch_size=4, ks=(1, 3, 9), metrics=METRICS, ties="expected"),
        "small gallery": RetrievalEvaluator(images, gallery.select(range(3)), batch_size=2),
        "nothing to find": RetrievalEvaluator(images.select(range(0, 23, 4)), batch_size=1),
    }


def evaluate(folder: str, is_sharded: bool = False) -> None:
    """Evaluate every set in this process, alone or as one of several, and write the results.

    The weights may be sharded (FSDP2); every call of the model then waits for a call in each other process.
    """
    rank = 0
    if "WORLD_SIZE" in os.environ:
        dist.init_process_group("gloo")
        rank = dist.get_rank()
    sharded_ranks._MAX_ROUND_THRESHOLDS = ranked_block._MAX_THRESHOLDS = (
        20  # so that the ranks need different numbers of rounds
    )
    model, device = spread_vit(), torch.device("cpu")
    if is_sharded:
        fully_shard(model, mesh=init_device_mesh("cpu", (dist.get_world_size(),)))
    num_calls, shard_sizes = 0, []

    def count(*_: Any) -> None:
        nonlocal num_calls
        num_calls += 1

    def spy(rows: torch.Tensor, source: int) -> torch.Tensor:
        shard_sizes.append(len(rows))
        return broadcast(rows, source)

    model.register_forward_hook(count)
    broadcast, sharded_evaluation.broadcast_rows = sharded_evaluation.broadcast_rows, spy
    seen = {}
    for name, evaluator in evaluators().items():
        num_calls = 0
        state = torch.get_rng_state()
        embeddings = embed_shares(model, evaluator, device)
        assert torch.equal(
            torch.get_rng_state(), state
        )  # an evaluation must not change the random numbers of the training
        rows = drawn_queries(evaluator, NUM_DRAWN)
        metrics = embeddings.metrics()
        shard_sizes.clear()
        seen[name] = {
            "metrics": metrics,
            "metrics by shares": embeddings._metrics_by_shares()
            if dist.is_initialized() and not evaluator.choice.is_expected
            else metrics,
            "query values": {key: scores.tolist() for key, scores in embeddings.query_values.items()},
            "neighbors": embeddings.neighbors(rows, NUM_NEIGHBORS).tolist(),
            "query": embeddings.query.tolist(),
            "gallery": None if embeddings.gallery is None else embeddings.gallery.tolist(),
            "num_calls": num_calls,
            "shard_sizes": list(shard_sizes),
        }
    if dist.is_initialized():
        images = evaluators()["leave one out"].query
        expected = RetrievalEvaluator(images, images, batch_size=3, ties="expected")
        with pytest.raises(ValueError, match=r"ties must be pessimistic where \d processes share a gallery; got"):
            embed_shares(model, expected, device).metrics()
    (Path(folder) / f"{rank}.json").write_text(json.dumps(seen))
    if dist.is_initialized():
        dist.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[int | str, list[dict[str, Any]]]:
    """Return the results of each process of 1, 2 and 4, and of each of 2 with sharded weights."""
    folder = tmp_path_factory.mktemp("evaluations")
    function, worlds = f"{__name__}:evaluate", [1, *WORLDS]
    runs = {world: Run(function, [str(folder / str(world))], world) for world in worlds}
    runs["sharded"] = Run(function, [str(folder / "sharded"), True], 2)
    launch(*runs.values())
    return {
        name: [json.loads((folder / str(name) / f"{rank}.json").read_text()) for rank in range(run.processes)]
        for name, run in runs.items()
    }


def text(value: Any) -> str:
    """Write floats with all their digits, so that every bit is compared and nan equals nan."""
    return json.dumps(value)


@pytest.mark.parametrize("world", [*WORLDS, "sharded"])
@pytest.mark.parametrize("name", list(evaluators()))
def test_every_process_finds_what_one_alone_finds(
    found: dict[int | str, list[dict[str, Any]]], name: str, world: int | str
) -> None:
    [alone] = found[1]
    for rank in found[world]:
        assert text(rank[name]["metrics"]) == text(alone[name]["metrics"])
        assert text(rank[name]["metrics by shares"]) == text(alone[name]["metrics"])
        assert rank[name]["neighbors"] == alone[name]["neighbors"]
        # With a gallery, no process knows the values of the other processes' queries.
        assert text(rank[name]["query values"]) in (text(alone[name]["query values"]), "{}")
        assert (text(rank[name]["query values"]) == "{}") == (evaluators()[name].gallery is not None)


@pytest.mark.parametrize("name", list(evaluators()))
def test_one_process_finds_what_the_evaluator_finds(found: dict[int | str, list[dict[str, Any]]], name: str) -> None:
    model, evaluator = spread_vit(), evaluators()[name]
    [alone] = found[1]
    assert text(alone[name]["metrics"]) == text(evaluator(model))
    embedded = [evaluator.embed(model, part) for part in (evaluator.query, evaluator.gallery) if part is not None]
    values = {key: scores.tolist() for key, scores in evaluator.query_metrics(*embedded).items()}
    assert text(alone[name]["query values"]) == text(values)
    rows = drawn_queries(evaluator, NUM_DRAWN)
    assert alone[name]["neighbors"] == evaluator.neighbors(rows, NUM_NEIGHBORS, *embedded).tolist()


def test_the_sets_are_worth_comparing(found: dict[int | str, list[dict[str, Any]]]) -> None:
    metrics = {name: seen["metrics"] for name, seen in found[1][0].items()}
    assert 0 < metrics["leave one out"]["map_at_r"] < 1
    assert 0 < metrics["query and gallery"]["map_at_r"] < 1
    assert metrics["nothing to find"]["num_queries_without_positive"] == 6
    assert any(-1 in row for row in found[1][0]["small gallery"]["neighbors"])


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("name", list(evaluators()))
def test_each_process_holds_its_share_of_the_same_embeddings(
    found: dict[int | str, list[dict[str, Any]]], name: str, world: int
) -> None:
    [alone] = found[1]
    for part in ("query", "gallery"):
        if alone[name][part] is not None:
            shares = [rank[name][part] for rank in found[world]]
            assert [row for share in shares for row in share] == alone[name][part]
            num_rows, batch_size = len(alone[name][part]), evaluators()[name].batch_size
            assert max(map(len, shares)) <= -(-num_rows // (batch_size * world)) * batch_size


@pytest.mark.parametrize("world", WORLDS)
def test_shares_are_broadcast_one_at_a_time_if_not_all_embeddings_fit(
    found: dict[int | str, list[dict[str, Any]]], world: int
) -> None:
    sizes = [rank["leave one out"]["shard_sizes"] for rank in found[world]]
    assert len({tuple(each) for each in sizes}) == 1  # the same on all ranks, though some need more rounds
    assert max(sizes[0]) == {2: 12, 4: 6}[world]
    assert sum(sizes[0]) % (2 * 23) == 0
    assert sum(sizes[0]) > 2 * 23


@pytest.mark.parametrize("world", WORLDS)
def test_every_process_runs_the_model_equally_often(found: dict[int | str, list[dict[str, Any]]], world: int) -> None:
    for name in evaluators():
        assert len({rank[name]["num_calls"] for rank in found[world]}) == 1, name
    assert found[world][0]["leave one out"]["num_calls"] == {2: 4, 4: 2}[world]  # eight batches of three


@pytest.mark.parametrize("num_images", [1, 7, 64, 100])
@pytest.mark.parametrize("batch_size", [1, 3, 64])
@pytest.mark.parametrize("world", [1, 2, 3, 8])
def test_shares_are_whole_batches_and_cover_the_images_once(num_images: int, batch_size: int, world: int) -> None:
    shares = Shares(num_images, batch_size, world)
    bounds = [shares.bounds(rank) for rank in range(world)]
    assert [row for start, stop in bounds for row in range(start, stop)] == list(range(num_images))
    assert all(start % batch_size == 0 or start == num_images for start, _ in bounds)
    assert max(-(-(stop - start) // batch_size) for start, stop in bounds) == shares.num_batches
