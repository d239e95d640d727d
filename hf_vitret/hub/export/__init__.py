"""Exports of a checkpoint: ONNX graphs, sentence-transformers files, an Inference Endpoint handler and a Space."""
