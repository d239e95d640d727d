"""Two and four real processes (gloo) have the loss, gradient and memory of one process."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from hf_vitret import RetrievalLoss
from hf_vitret.training.distributed.gathering import gather_batch
from tests.training.distributed.forked import Run, free_port, launch

DIM, STEPS, GLOBAL_BATCH, MEMORY = 6, 5, 8, 20  # the memory wraps within the fourth step


def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(step)
    return torch.randn(GLOBAL_BATCH, 4, generator=generator), torch.randint(0, 3, (GLOBAL_BATCH,), generator=generator)


def run(folder: str) -> None:
    world, rank = (int(os.environ.get(name, default)) for name, default in (("WORLD_SIZE", 1), ("RANK", 0)))
    if world == 1:  # a process group of one, so that gathering works in it too
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    dist.init_process_group("gloo", rank=rank, world_size=world)
    torch.manual_seed(0)
    model = torch.nn.Linear(4, DIM)
    loss = RetrievalLoss(margin=0.2, koleo_weight=0.7, memory_size=MEMORY, embedding_dim=DIM)
    seen = []
    for step in range(STEPS):
        inputs, labels = (part.chunk(world)[rank] for part in batch(step))
        embeddings = torch.nn.functional.normalize(model(inputs), dim=1)
        gathered, gathered_labels, self_index = gather_batch(embeddings, labels)
        value = loss(embeddings, labels, gathered, gathered_labels, self_index=self_index)["loss"]
        gradient = torch.autograd.grad(value, model.weight)[0]
        for tensor in (gradient, mean := value.detach().clone()):
            dist.all_reduce(tensor)  # as DDP averages gradients, and Trainer the logged loss
        seen.append({"gradient": (gradient / world).tolist(), "loss": (mean / world).item()})
    memory = [tensor.tolist() for tensor in loss.state_dict().values()]
    (Path(folder) / f"{rank}.json").write_text(json.dumps({"steps": seen, "memory": memory}))
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[dict[str, Any]]]:
    """Return the results of each process of 1, 2 and 4."""
    folder = tmp_path_factory.mktemp("losses")
    worlds = (1, 2, 4)
    launch(*[Run(f"{__name__}:run", [str(folder / str(world))], world) for world in worlds])
    return {
        world: [json.loads((folder / str(world) / f"{rank}.json").read_text()) for rank in range(world)]
        for world in worlds
    }


@pytest.mark.parametrize("world", [2, 4])
def test_many_processes_equal_one(world: int, seen: dict[int, list[dict[str, Any]]]) -> None:
    [alone], ranks = seen[1], seen[world]
    for rank in ranks:
        assert rank["memory"] == ranks[0]["memory"]
        for ours, expected in zip(rank["steps"], alone["steps"]):
            torch.testing.assert_close(
                torch.tensor(ours["gradient"]), torch.tensor(expected["gradient"]), rtol=1e-5, atol=1e-6
            )
            assert ours["loss"] == pytest.approx(expected["loss"], rel=1e-6)
    for ours, expected in zip(ranks[0]["memory"], alone["memory"]):
        torch.testing.assert_close(torch.tensor(ours), torch.tensor(expected), rtol=1e-6, atol=1e-6)
