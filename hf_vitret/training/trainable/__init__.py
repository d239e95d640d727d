"""Which weights are trained and at which rates: freezing, LoRA, drop-path, parameter groups and starts of proxies."""
