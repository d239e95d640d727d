import json
import math
from dataclasses import asdict, replace

import pytest
import torch

from hf_vitret import match_rates
from hf_vitret.indexing.image_index import ImageIndex
from hf_vitret.indexing.match_threshold import load_match_rates, threshold_at
from tests.indexing.vectors import MODEL, unit_rows

ROWS = unit_rows(40, dim=4)
RATES = match_rates(torch.from_numpy(ROWS), [row // 4 for row in range(40)], false_match_rates=[0.01, 0.1, 1.0])

FINITE = replace(RATES, rates=RATES.rates[:2])


@pytest.mark.parametrize("wrap", [lambda rates: rates, lambda rates: {"model": "vit", "match_rates": rates}])
def test_rates_are_read_back(tmp_path, wrap):
    content = asdict(RATES)
    content["rates"] = [
        {**rate, "threshold": None if rate["threshold"] == -math.inf else rate["threshold"]}
        for rate in content["rates"]
    ]
    (tmp_path / "rates.json").write_text(json.dumps(wrap(content)))
    assert load_match_rates(tmp_path / "rates.json") == RATES
    assert threshold_at(RATES, 0.1) == RATES.rates[1].threshold


@pytest.mark.parametrize("content", ["{}", "[]", "no json", '{"rates": [{"threshold": 1}]}', '{"match_rates": 3}'])
def test_another_file_is_refused(tmp_path, content):
    (tmp_path / "rates.json").write_text(content)
    with pytest.raises(ValueError, match="expected the rates of match_rates"):
        load_match_rates(tmp_path / "rates.json")


def test_a_rate_that_was_not_measured_is_refused():
    with pytest.raises(ValueError, match=r"0\.01, 0\.1, 1; got 0\.5"):
        threshold_at(RATES, 0.5)


def test_rates_of_another_model_are_refused(tmp_path):
    (tmp_path / "rates.json").write_text(json.dumps({"model": asdict(MODEL), "match_rates": asdict(FINITE)}))
    assert load_match_rates(tmp_path / "rates.json", replace(MODEL, name="copy")) == FINITE
    assert load_match_rates(tmp_path / "rates.json") == FINITE
    with pytest.raises(ValueError, match=r"those of another one: .*other image processor"):
        load_match_rates(tmp_path / "rates.json", replace(MODEL, processor_sha256="0"))


def test_an_index_keeps_them(tmp_path):
    index = ImageIndex.build(ROWS, range(40), match_rates=RATES)
    index.save(tmp_path / "index")
    assert ImageIndex.load(tmp_path / "index").manifest.match_rates == RATES
