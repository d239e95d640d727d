"""The evaluations of a run before and after its training."""

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
    """The scores of a run and the neighbours for its picture. Without test images nothing is measured.

    Args:
        trainer: The trainer of the run.
        say: Prints a line about the progress.

    Attributes:
        metrics: Title of an evaluation -> its scores, as `trainer.evaluate` returns them.
        values: Title of an evaluation -> name of a metric -> score of each query, `(num_queries,)`.
    """

    def __init__(self, trainer: RetrievalTrainer, say: Callable[[str], None]) -> None:
        self._trainer, self._say = trainer, say
        self.metrics: dict[str, dict[str, float]] = {}
        self.values: dict[str, Mapping[str, torch.Tensor]] = {}
        self._drawn: torch.Tensor | None = None
        self._neighbors: list[torch.Tensor] = []

    def evaluate(self, title: str) -> None:
        """Score the model in its present state; all processes take part.

        Args:
            title: Title of the evaluation.
        """
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
        """Check that at least one query has another image of its class to find.

        Otherwise every score is NaN, and no checkpoint is the best.

        Raises:
            ValueError: No query has one.
        """
        for metrics in self.metrics.values():
            if metrics["eval_num_queries_without_positive"] == metrics["eval_num_queries"]:
                raise ValueError(
                    "expected test images that have another one of their class to be found by; none of the "
                    f"{metrics['eval_num_queries']} has one: give a test split (or query and gallery) with two images "
                    "of a class"
                )

    def draw_strip(self) -> tuple[Image.Image, dict[str, int]]:
        """Draw queries and the images found for them before and after training.

        Returns:
            The picture, and how its queries were chosen, as from `run_pictures.draw_strip`.
        """
        assert self._trainer.evaluator is not None
        assert self._drawn is not None
        titles = [f"{title}: R@1 {100 * found['eval_recall_at_1']:.1f}" for title, found in self.metrics.items()]
        return draw_strip(self._trainer.evaluator, self._drawn, self._neighbors, titles)
