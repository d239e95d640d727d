"""Embeddings and labels of many distributions, for the tests of ranks and metrics."""

import pytest
import torch


def _unit(rows):
    return torch.nn.functional.normalize(rows, dim=1)


def _clustered(generator, spread):
    labels = torch.randint(0, 40, (301,), generator=generator)  # class sizes around 7, some 0 and 1
    centres = torch.randn(40, 16, generator=generator)
    return _unit(centres[labels] + spread * torch.randn(301, 16, generator=generator)), labels


def _untrained(generator):
    return _clustered(generator, spread=6.0)


def _trained(generator):
    return _clustered(generator, spread=0.6)


def _separated(generator):
    return _clustered(generator, spread=0.02)


def _duplicates(generator):
    embeddings, labels = _clustered(generator, spread=1.0)
    embeddings[::3] = embeddings[torch.randint(0, 301, (101,), generator=generator)]
    return embeddings, labels


def _lattice(generator):
    """Draw rows with few distinct scores, all exact, so that positives and negatives tie everywhere."""
    labels = torch.randint(0, 30, (301,), generator=generator)
    return torch.randint(-2, 3, (301, 6), generator=generator) / 4.0, labels


def _collapsed(generator):
    return _unit(torch.ones(301, 16)), torch.randint(0, 30, (301,), generator=generator)


def _large_classes(generator):
    labels = torch.randint(0, 3, (301,), generator=generator)
    return _unit(torch.randn(3, 16, generator=generator)[labels] + torch.randn(301, 16, generator=generator)), labels


def _one_class(generator):
    return _unit(torch.randn(301, 16, generator=generator)), torch.zeros(301, dtype=torch.int64)


def _all_different(generator):
    return _unit(torch.randn(301, 16, generator=generator)), torch.randperm(301, generator=generator)


def _uneven(generator):
    """Draw rows with one class of 200, twenty of 5 and a singleton."""
    labels = torch.cat([torch.zeros(200), torch.arange(1, 21).repeat(5), torch.tensor([99])]).long()
    labels = labels[torch.randperm(301, generator=generator)]
    centres = torch.randn(100, 16, generator=generator)
    return _unit(centres[labels] + 2.0 * torch.randn(301, 16, generator=generator)), labels


DATASETS = {
    make.__name__.strip("_"): make
    for make in (
        _untrained,
        _trained,
        _separated,
        _duplicates,
        _lattice,
        _collapsed,
        _large_classes,
        _one_class,
        _all_different,
        _uneven,
    )
}


@pytest.fixture(params=list(DATASETS))
def dataset(request):
    """Return unit embeddings (301, dim) and labels (301,), for one distribution after another."""
    return DATASETS[request.param](torch.Generator().manual_seed(7))
