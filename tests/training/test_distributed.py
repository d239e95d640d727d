"""Two and four real processes (gloo) against one: the same loss, gradient and memory."""

import json
import os
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from hf_vitret import RetrievalLoss
from hf_vitret.training.distributed import gather_batch

DIM, STEPS, GLOBAL_BATCH, MEMORY = 6, 5, 8, 20  # the memory wraps within the fourth step


def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(step)
    return torch.randn(GLOBAL_BATCH, 4, generator=generator), torch.randint(0, 3, (GLOBAL_BATCH,), generator=generator)


def run(rank: int, world: int, folder: Path) -> None:
    os.environ |= {"OMP_NUM_THREADS": "1"}
    dist.init_process_group("gloo", init_method=f"file://{folder / f'store-{world}'}", rank=rank, world_size=world)
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
            dist.all_reduce(tensor)  # what DDP does with gradients, and Trainer with the logged loss
        seen.append({"gradient": (gradient / world).tolist(), "loss": (mean / world).item()})
    memory = [tensor.tolist() for tensor in loss.state_dict().values()]
    (folder / f"{world}-{rank}.json").write_text(json.dumps({"steps": seen, "memory": memory}))
    dist.destroy_process_group()


@pytest.mark.parametrize("world", [2, 4])
def test_many_processes_equal_one(world: int, tmp_path: Path) -> None:
    for processes in (1, world):
        mp.spawn(run, (processes, tmp_path), nprocs=processes)
    alone = json.loads((tmp_path / "1-0.json").read_text())
    ranks = [json.loads((tmp_path / f"{world}-{rank}.json").read_text()) for rank in range(world)]
    for rank in ranks:
        assert rank["memory"] == ranks[0]["memory"]
        for ours, expected in zip(rank["steps"], alone["steps"]):
            torch.testing.assert_close(
                torch.tensor(ours["gradient"]), torch.tensor(expected["gradient"]), rtol=1e-5, atol=1e-6
            )
            assert ours["loss"] == pytest.approx(expected["loss"], rel=1e-6)
    for ours, expected in zip(ranks[0]["memory"], alone["memory"]):
        torch.testing.assert_close(torch.tensor(ours), torch.tensor(expected), rtol=1e-6, atol=1e-6)
