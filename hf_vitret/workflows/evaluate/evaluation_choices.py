"""The names of metrics, tie rules, re-rankings and others, for the command line; imports nothing heavy."""

# The names in evaluation/metrics/metric_choice.py, evaluation/post_processing.py and models/configuration_vitret.py,
# which import torch or transformers; a test compares.
KS = (1, 10, 100, 1000)
METRICS = ("recall_at_k", "precision_at_k", "map_at_k", "map_at_r", "r_precision", "map", "mrr")
DEFAULT_METRICS = ("recall_at_k", "map_at_r", "r_precision")
TIES = ("pessimistic", "expected")
RERANKINGS = ("query_expansion", "database_augmentation", "reciprocal", "diffusion")
POOLINGS = ("cls", "mean", "max", "gem")
RESIZE_MODES = ("shortest_edge", "square")
# The precisions that a model can compute in, by their names in torch.
DTYPES = ("float32", "bfloat16", "float16")
