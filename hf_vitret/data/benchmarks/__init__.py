"""Public benchmarks whose images have a class label: SOP, In-Shop, CUB-200-2011, Cars-196 and iNaturalist 2018."""
