"""Score any model on any data set of the package, with confidence intervals, alone or against another model.

Paper:    the protocols of arXiv 2102.05644, tables 2 and 3
Command:  python recipes/evaluate.py --model outputs/icons/final --dataset icons --min_drawings 3
          python recipes/evaluate.py --model user/model --dataset sop --data_dir Stanford_Online_Products
          python recipes/evaluate.py --model facebook/dinov2-small --data_dir photos --compare outputs/catalogue/final
          python recipes/evaluate.py --model user/model --dataset_name user/photos --label_column category
Hardware: one GPU or a CPU; one process
Hours:    not yet measured: each model decodes and embeds every image once
Score:    R@1, R@K, MAP@R and R-precision of the model as it is; a plain backbone is the paper's IRT_O (off the shelf)

The same as `hf-vitret evaluate`.
"""

import argparse

from hf_vitret.cli import evaluate
from hf_vitret.cli.main import HelpFormatter
from hf_vitret.workflows.finetune.arguments import bad_input_as_message


def command_line() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    evaluate.add_arguments(parser)
    return parser


def main() -> None:
    """Score the model, and the other one, on the same images; print and write what came out."""
    options = command_line().parse_args()
    with bad_input_as_message():
        evaluate.run(options, ("python", "recipes/evaluate.py"))


if __name__ == "__main__":
    main()
