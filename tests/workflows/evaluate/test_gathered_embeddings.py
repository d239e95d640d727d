"""Two and three real processes (gloo) get the embeddings of one process, bit for bit and in its order."""

import os
from pathlib import Path

import torch
import torch.distributed as dist
from datasets import Dataset

from hf_vitret import RetrievalEvaluator
from hf_vitret.training.distributed.gathering import rank_and_world
from hf_vitret.workflows.evaluate.gathered_embeddings import all_rows, gathered_embeddings
from tests.training.distributed.forked import Run, launch
from tests.training.distributed.test_sharded_evaluation import spread_vit
from tests.training.runs import shapes_dataset

CPU = torch.device("cpu")
# Images, images of the gallery (0: none), batch size: numbers that no number of processes divides, and fewer batches
# than processes.
CASES = {"leave one out": (11, 0, 2), "query and gallery": (5, 7, 3), "one image": (1, 0, 4), "one batch": (3, 2, 8)}


def evaluator(num_images: int, num_gallery: int, batch_size: int) -> RetrievalEvaluator:
    images: Dataset = shapes_dataset(num_test=6)["test"]
    gallery = images.select(range(20 - num_gallery, 20)) if num_gallery else None
    return RetrievalEvaluator(images.select(range(num_images)), gallery, batch_size=batch_size)


def embed(folder: str) -> None:
    """Embed each case in this process, alone or as one of several, and save what it has."""
    if "WORLD_SIZE" in os.environ:
        dist.init_process_group("gloo")
    model = spread_vit().eval()
    found = {name: gathered_embeddings(model, evaluator(*case), CPU) for name, case in CASES.items()}
    torch.save(found, Path(folder) / f"{rank_and_world()[0]}.pt")
    if dist.is_initialized():
        dist.destroy_process_group()


def test_every_process_has_what_one_process_has(tmp_path: Path) -> None:
    worlds = [1, 2, 3]
    launch(*(Run(f"{__name__}:embed", [str(tmp_path / str(world))], world) for world in worlds))
    alone = torch.load(tmp_path / "1" / "0.pt")
    for name, (num_images, num_gallery, _) in CASES.items():
        query, gallery = alone[name]
        assert len(query) == num_images
        assert num_gallery == (0 if gallery is None else len(gallery))
        for world in worlds[1:]:
            for rank in range(world):
                found = torch.load(tmp_path / str(world) / f"{rank}.pt")[name]
                assert torch.equal(found[0], query)
                assert found[1] is None if gallery is None else torch.equal(found[1], gallery)


def test_a_single_process_keeps_its_rows() -> None:
    rows = torch.randn(3, 2)
    assert torch.equal(all_rows(rows, 3, 2, CPU), rows)
