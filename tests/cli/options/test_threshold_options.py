"""From which score on an image is a match: what is given, what an index knows, and what does not go together."""

import json
import math
from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from pathlib import Path

import pytest

from hf_vitret.cli.options.threshold_options import add_threshold_options, lowest_score
from hf_vitret.evaluation.matching.match_rates import MatchRate, MatchRates
from hf_vitret.indexing.image_index import ImageIndex
from tests.indexing.vectors import unit_rows

RATES = MatchRates((MatchRate(0.01, 0.75, 0.9, 1), MatchRate(1.0, -math.inf, 1.0, 100)), 10, 100)


def index(rates: MatchRates | None = RATES) -> ImageIndex:
    return ImageIndex.build(unit_rows(9), range(9), match_rates=rates, backend="torch")


def read(*line: str, **others: object) -> Namespace:
    parser = ArgumentParser()
    add_threshold_options(parser).add_argument("--calibration")
    return Namespace(**{**vars(parser.parse_args(line)), **others})


@pytest.mark.parametrize(
    ("line", "score"),
    [
        ([], None),
        (["--min_score", "0.6"], 0.6),
        (["--min_score", "0"], 0.0),
        (["--false_match_rate", "0.01"], 0.75),
        (["--false_match_rate", "1"], -math.inf),
    ],
)
def test_a_score_is_given_or_measured(line: list[str], score: float | None) -> None:
    assert lowest_score(read(*line), index()) == score


def test_rates_of_a_file_win_over_those_of_the_index(tmp_path: Path) -> None:
    path = tmp_path / "rates.json"
    path.write_text(json.dumps(asdict(MatchRates((MatchRate(0.2, 0.5, 0.9, 1),), 10, 100))))
    for known in (RATES, None):
        options = read("--false_match_rate", "0.2", "--calibration", str(path))
        assert lowest_score(options, index(known)) == 0.5


@pytest.mark.parametrize(
    ("line", "others", "message"),
    [
        (["--min_score", "1", "--false_match_rate", "0.1"], {}, "expected --min_score or --false_match_rate; got both"),
        (["--calibration", "rates.json"], {}, "expected --false_match_rate with --calibration"),
        (["--false_match_rate", "0.5"], {}, "expected a false-match rate that was measured"),
        (["--min_score", "1"], {"expand": 3}, "expected no threshold with --expand or --rerank"),
        (["--false_match_rate", "0.01"], {"rerank": True}, "expected no threshold with --expand or --rerank"),
        (["--false_match_rate", "0.01"], {"map": "upgrade"}, "expected --min_score with --map"),
    ],
)
def test_what_does_not_go_together_is_refused(line: list[str], others: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        lowest_score(read(*line, **others), index())


def test_an_index_without_rates_says_how_it_gets_them() -> None:
    with pytest.raises(ValueError, match=r"expected an index with match rates.* --calibration .*--min_score"):
        lowest_score(read("--false_match_rate", "0.01"), index(None))


def test_a_score_goes_with_a_map() -> None:
    assert lowest_score(read("--min_score", "0.3", map="upgrade"), index()) == 0.3
