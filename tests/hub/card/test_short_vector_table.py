"""The tables of short vectors have each score in its row and column."""

import doctest
import json
import re
from dataclasses import asdict

import pytest
import torch

from hf_vitret import short_vectors
from hf_vitret.hub.card import short_vector_table
from hf_vitret.hub.card.short_vector_table import short_vector_tables


def test_examples() -> None:
    result = doctest.testmod(short_vector_table)
    assert result.attempted > 0
    assert result.failed == 0


def test_each_score_stands_where_it_belongs() -> None:
    features = torch.randn(60, 8, generator=torch.Generator().manual_seed(0))
    features[:, 7] = 0  # makes whitening to 8 dimensions impossible
    table = short_vectors(features, features, [row // 3 for row in range(60)], dims=[8, 4], progress=False)
    assert table.omitted == ((8, "pca_whitened"),)
    found = short_vector_tables(json.loads(json.dumps(asdict(table))))
    assert list(found) == ["PCA", "Whitened PCA", "The first dimensions"]
    titles = {"PCA": "pca", "Whitened PCA": "pca_whitened", "The first dimensions": "first_d"}
    num_seen = 0
    for title, (head, *rows) in found.items():
        assert head == ["dimensions", "float32", "float16", "int8", "binary", "binary, rescored"]
        assert [row[0] for row in rows] == ["8", "4"]
        for row in rows:
            for name, cell in zip(head[1:], row[1:]):
                key = (int(row[0]), titles[title], name.replace(", ", "_"))
                (score,) = [each for each in table.scores if (each.dim, each.reduction, each.precision) == key] or [
                    None
                ]
                if score is None:
                    assert cell == "-"
                    continue
                percent, num_bytes = re.fullmatch(r"(\d+\.\d) \((\d+) B\)", cell).groups()
                assert float(percent) == pytest.approx(100 * score.recall_at_1, abs=0.05 + 1e-9)
                assert int(num_bytes) == score.bytes_per_vector
                num_seen += 1
    assert num_seen == len(table.scores) == 25


def test_nothing_measured_is_no_table() -> None:
    assert short_vector_tables(None) == short_vector_tables({"scores": []}) == {}
