"""What is asked: for each question the ways that are compared, each with several seeds."""

import dataclasses
from collections.abc import Callable, Mapping

from .rivals import RIVALS
from .run import CONV, OURS, VIT, Run

LAMBDA = 0.7
# Steps.
LONG = {"emoji": 3_000, "icons": 2_000}
MIDDLE, SHORT = 1_500, 500
MARGINS, LAMBDAS = (0.1, 0.3, 0.5, 0.7, 0.9), (0.0, 0.3, 0.5, 0.7, 1.0)
IRT_O, IRT_L, IRT_R, NEGATIVES = "IRT_O", "IRT_L", "IRT_R", "IRT_R, negatives"
REGULARISERS = {
    IRT_L: {"koleo_weight": 0.0},
    IRT_R: {"koleo_weight": LAMBDA},
    NEGATIVES: {"koleo_weight": LAMBDA, "koleo_neighbors": "negatives"},
}


@dataclasses.dataclass(frozen=True)
class Study:
    """A question, and the runs that answer it.

    Attributes:
        question: In a few words.
        ways: For each way its runs, by seed.
        baseline: The way that the others are compared with.
        at: Steps at which they are compared.
        is_grid: Whether the ways are cells, named by row and column with a comma between.
    """

    question: str
    ways: Mapping[str, tuple[Run, ...]]
    baseline: str
    at: tuple[int, ...]
    is_grid: bool = False

    @property
    def runs(self) -> list[Run]:
        """All runs, seeds first: whoever stops early has one of each."""
        seeds = max(len(runs) for runs in self.ways.values())
        return [runs[seed] for seed in range(seeds) for runs in self.ways.values() if seed < len(runs)]


def _ways(base: Run, changes: Mapping[str, Mapping[str, object]], seeds: int) -> dict[str, tuple[Run, ...]]:
    return {
        way: tuple(dataclasses.replace(base, seed=seed, **change) for seed in range(seeds))
        for way, change in changes.items()
    }


def paper(data: str, seeds: int) -> Study:
    """Table 3: off the shelf, contrastive, with KoLeo; and how that turns with the length of the schedule."""
    ways = _ways(Run(data, LONG[data], analysed=True), REGULARISERS, seeds)
    at = tuple(steps for steps in (500, 1_000, 1_500, 2_000, 3_000) if steps <= LONG[data])
    return Study("the paper's table", {IRT_O: (Run(data, 0, analysed=True),), **ways}, IRT_L, at)


def _regularised(data: str, seeds: int) -> dict[str, tuple[Run, ...]]:
    """Give the runs of the paper's table that are trained: their scores on the way are those of shorter ones."""
    return {way: runs for way, runs in paper(data, seeds).ways.items() if way != IRT_O}


def margin_and_lambda(data: str, seeds: int) -> Study:
    """Table 5: margin x lambda; a seed of each, and those of the paper's table."""
    grid = {
        grid_cell(margin, weight): {"margin": margin, "koleo_weight": weight}
        for margin in MARGINS
        for weight in LAMBDAS
    }
    usual, regularised = Run(data, SHORT), _regularised(data, seeds)
    known = {grid_cell(usual.margin, 0.0): regularised[IRT_L], grid_cell(usual.margin, LAMBDA): regularised[IRT_R]}
    ways = {**_ways(usual, grid, 1), **known}
    return Study("margin and lambda", ways, grid_cell(usual.margin, 0.0), (SHORT,), is_grid=True)


def grid_cell(margin: float, weight: float) -> str:
    """Name a cell of margin x lambda, by its row and column."""
    return f"margin {margin}, lambda {weight}"


def pooling(data: str, seeds: int) -> Study:
    """Table 9: how the tokens become one vector."""
    changes = {name: {"pooling": name} for name in ("mean", "max", "gem")}
    ways = {"cls": _regularised(data, seeds)[IRT_L], **_ways(Run(data, SHORT), changes, seeds)}
    return Study("pooling", ways, "cls", (SHORT,))


def losses(data: str, seeds: int) -> Study:
    """Table 4: what compares the images; without KoLeo."""
    changes = {name: {"loss": name} for name in ("supcon", "normalized_softmax", "smooth_recall")}
    ways = {"contrastive": _regularised(data, seeds)[IRT_L], **_ways(Run(data, SHORT), changes, seeds)}
    return Study("losses", ways, "contrastive", (SHORT,))


def backbones(data: str, seeds: int) -> Study:
    """Table 1 and 3: a transformer and a convolutional network of like cost, both from weights drawn at random."""
    start = {"learning_rate": 3e-4}
    ways = {
        name + suffix: {**start, "backbone": name, "pooling": pooled, "koleo_weight": weight}
        for name, pooled in ((VIT, "cls"), (CONV, "gem"))
        for suffix, weight in (("", 0.0), (", KoLeo", LAMBDA))
    }
    return Study("backbones", _ways(Run(data, 1_000), ways, seeds), VIT, (SHORT, 1_000))


def pairs(data: str, seeds: int) -> Study:
    """The open question: with two images of a class in a batch, and so one positive each."""
    return _worth_of_koleo(Run(data, MIDDLE, images_per_class=2), "32 x 2", seeds)


def random_batches(data: str, seeds: int) -> Study:
    """The open question: with images at random, which have next to no positive in their batch."""
    return _worth_of_koleo(Run(data, MIDDLE, images_per_class=1), "64 at random", seeds)


def memory(data: str, seeds: int) -> Study:
    """The open question: without a memory."""
    return _worth_of_koleo(Run(data, MIDDLE, with_memory=False), "no memory", seeds)


def class_counts(data: str, seeds: int) -> Study:
    """The open question: an eighth of the classes."""
    return _worth_of_koleo(Run(data, MIDDLE, train_classes=75), "75 classes", seeds)


def _worth_of_koleo(base: Run, where: str, seeds: int) -> Study:
    changes = {f"{way}, {where}": change for way, change in REGULARISERS.items()}
    return Study(f"KoLeo, {where}", _ways(base, changes, seeds), f"{IRT_L}, {where}", (SHORT, 1_000, MIDDLE))


def weights(data: str, seeds: int) -> Study:
    """The open question: how much KoLeo, and when."""
    changes = {
        "lambda 0.1": {"koleo_weight": 0.1},
        "lambda 0.3": {"koleo_weight": 0.3},
        "lambda 2.0": {"koleo_weight": 2.0},
        "lambda 0.7, negatives in the first half, then all": {
            "koleo_weight": LAMBDA,
            "koleo_schedule": "negatives first",
        },
        "lambda 0.7 in the second half": {"koleo_weight": LAMBDA, "koleo_schedule": "late"},
    }
    ways = {**_regularised(data, seeds), **_ways(Run(data, MIDDLE), changes, seeds)}
    return Study("lambda", ways, IRT_L, (SHORT, 1_000, MIDDLE))


def rivals(data: str, seeds: int) -> Study:
    """Beyond the paper: other libraries, same backbone, images, steps, learning rate and seeds."""
    changes = {
        f"{OURS}, supcon": {"loss": "supcon"},
        **{name: {"program": name} for name in RIVALS},
    }
    ours = f"{OURS}, contrastive"
    regularised = _regularised(data, seeds)
    ways = {
        ours: regularised[IRT_L],
        f"{ours}, KoLeo": regularised[IRT_R],
        f"{ours}, KoLeo among negatives": regularised[NEGATIVES],
        **_ways(Run(data, SHORT), changes, seeds),
    }
    return Study("rivals", ways, ours, (SHORT,))


STUDIES: dict[str, Callable[[str, int], Study]] = {
    study.__name__: study
    for study in (
        paper,
        rivals,
        margin_and_lambda,
        pooling,
        losses,
        backbones,
        pairs,
        random_batches,
        memory,
        class_counts,
        weights,
    )
}
