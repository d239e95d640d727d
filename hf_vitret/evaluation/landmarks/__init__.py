"""Metrics of instance-level recognition: mAP@100 of Google Landmarks v2, and global average precision."""
