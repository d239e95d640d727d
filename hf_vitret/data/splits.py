"""Split a labelled data set by class, so that no image of a test class is trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .schema import column_values

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict


def choose_test_classes(names: list[str], test_fraction: float = 0.5, seed: int = 0) -> list[str]:
    """Choose the classes of the test split by a fixed rule, so that two machines choose the same classes.

    The names are sorted by code point and permuted by `numpy.random.default_rng(seed)`. The first
    `int(len(names) * test_fraction)` of the permutation are the test classes. The default, half of the classes, is the
    share of the usual class-disjoint protocols (CUB-200: 100 of 200 classes; SOP: 11,316 of 22,634).

    Args:
        names: The class names, in any order.
        test_fraction: Share of the classes, in [0, 1). 0 chooses none.
        seed: Seed of the permutation.

    Returns:
        The names of the test classes, in the order of the permutation.

    Raises:
        ValueError: `test_fraction` is outside [0, 1); a name repeats; or a share above 0 would leave no test class or
            fewer than two training classes (one class alone has no negatives to learn from).

    Examples:
        >>> choose_test_classes(["cup", "fan", "mug", "sofa"])
        ['mug', 'cup']
    """
    if not 0 <= test_fraction < 1:
        raise ValueError(f"expected test_fraction in [0, 1), a share of the classes; got {test_fraction}")
    if len(set(names)) != len(names):
        raise ValueError("expected unique class names: pass each class once, not one name per image")
    if test_fraction == 0:
        return []
    num_test = int(len(names) * test_fraction)
    if num_test < 1 or len(names) - num_test < 2:
        raise ValueError(
            f"a class-disjoint split needs at least 2 classes to train on and 1 to test on; {len(names)} "
            f"classes at test_fraction={test_fraction} leave {len(names) - num_test} and {num_test}. Add "
            "classes, change test_fraction (0 trains on all classes), or give a test split of your own"
        )
    order = np.random.default_rng(seed).permutation(len(names))
    sorted_names = sorted(names)
    return [sorted_names[index] for index in order[:num_test]]


def split_by_class(dataset: Dataset, test_fraction: float = 0.5, seed: int = 0) -> DatasetDict:
    """Split one data set into class-disjoint `train` and `test` by the rule of `choose_test_classes`.

    With `test_fraction=0` there is no test split: all images are in `train`.

    Args:
        dataset: A data set whose `label` is a `ClassLabel`; both halves keep its names and ids.
        test_fraction: Share of the classes that have images, in [0, 1).
        seed: Seed of the choice.

    Returns:
        A `DatasetDict` with `train` and `test`, each in the order of `dataset`; with `test_fraction=0` with `train`
        alone.

    Raises:
        ValueError: `test_fraction` is outside [0, 1), or a share above 0 would leave no test class or fewer than two
            training classes.
    """
    from datasets import DatasetDict

    labels = np.asarray(column_values(dataset, "label"), dtype=np.int64)  # (num_images,)
    feature = dataset.features["label"]
    names = [feature.int2str(label) for label in np.unique(labels).tolist()]
    test_labels = [feature.str2int(name) for name in choose_test_classes(names, test_fraction, seed)]
    is_test = np.isin(labels, test_labels)  # (num_images,)
    if not test_labels:
        return DatasetDict(train=dataset)
    return DatasetDict(
        train=dataset.select(np.flatnonzero(~is_test)),
        test=dataset.select(np.flatnonzero(is_test)),
    )
