"""What a run measures, before and after its training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...evaluation.reporting.retrieval_strip import drawn_queries
from .run_pictures import NUM_DRAWN, NUM_NEIGHBORS, draw_strip

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import torch
    from PIL import Image

    from ...training.trainer import RetrievalTrainer

BEFORE, AFTER = "off the shelf", "after training"


class Measurements:
    """The evaluations of a run, and what its pictures need of them; without test images there are none.

    Args:
        trainer: Of the run.
        say: Prints a line about what is going on.

    Attributes:
        metrics: For the title of each evaluation its scores, as `trainer.evaluate` returns them.
        values: For the title of each evaluation and the name of a metric what each query scored, `(num_queries,)`.
    """

    def __init__(self, trainer: RetrievalTrainer, say: Callable[[str], None]) -> None:
        self._trainer, self._say = trainer, say
        self.metrics: dict[str, dict[str, float]] = {}
        self.values: dict[str, Mapping[str, torch.Tensor]] = {}
        self._drawn: torch.Tensor | None = None
        self._neighbors: list[torch.Tensor] = []

    def evaluate(self, title: str) -> None:
        """Score the model as it is now, on every process."""
        trainer = self._trainer
        if trainer.evaluator is None:
            return
        self._say(f"Evaluating {title} ...")
        self.metrics[title] = trainer.evaluate()
        if self._drawn is None:
            self._drawn = drawn_queries(trainer.evaluator, NUM_DRAWN)
        self._neighbors.append(trainer.eval_embeddings.neighbors(self._drawn, NUM_NEIGHBORS))
        self.values[title] = trainer.eval_embeddings.query_values

    def check(self) -> None:
        """Check that a query has something to find: else every score is NaN, and no checkpoint the best."""
        for metrics in self.metrics.values():
            if metrics["eval_num_queries_without_positive"] == metrics["eval_num_queries"]:
                raise ValueError(
                    "expected test images that have another one of their class to be found by; none of the "
                    f"{metrics['eval_num_queries']} has one: give a test split (or query and gallery) with two images "
                    "of a class"
                )

    def draw_strip(self) -> tuple[Image.Image, dict[str, int]]:
        """Draw queries and what the model finds for them, before and after."""
        assert self._trainer.evaluator is not None
        assert self._drawn is not None
        titles = [f"{title}: R@1 {100 * found['eval_recall_at_1']:.1f}" for title, found in self.metrics.items()]
        return draw_strip(self._trainer.evaluator, self._drawn, self._neighbors, titles)
