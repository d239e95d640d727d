"""Load data sets for image retrieval in one schema, and check them before training."""

from .demo.icon_fonts import ICON_FONT_LICENSES
from .image_checks import check_images, find_bad_images
from .images import read_image, to_rgb
from .landmarks.distractors import stream_distractors
from .landmarks.gldv2 import load_gldv2_ground_truth, load_gldv2_retrieval
from .landmarks.gldv2_lists import Gldv2GroundTruth
from .landmarks.met import load_met_queries
from .landmarks.revisited import load_revisited, load_revisited_ground_truth
from .landmarks.revisited_ground_truth import RevisitedGroundTruth
from .landmarks.sfm120k import load_sfm120k, load_sfm120k_pairs, load_sfm120k_whitening
from .loading import DATASETS, load_retrieval_dataset
from .schema import COLUMNS, SPLITS, check_schema, describe_split
from .splits import choose_test_classes, split_by_class

__all__ = [
    "COLUMNS",
    "DATASETS",
    "ICON_FONT_LICENSES",
    "SPLITS",
    "Gldv2GroundTruth",
    "RevisitedGroundTruth",
    "check_images",
    "check_schema",
    "choose_test_classes",
    "describe_split",
    "find_bad_images",
    "load_gldv2_ground_truth",
    "load_gldv2_retrieval",
    "load_met_queries",
    "load_retrieval_dataset",
    "load_revisited",
    "load_revisited_ground_truth",
    "load_sfm120k",
    "load_sfm120k_pairs",
    "load_sfm120k_whitening",
    "read_image",
    "split_by_class",
    "stream_distractors",
    "to_rgb",
]
