"""Particular objects: mAP and mP@k of ROxford5k and RParis6k, as their authors measure them."""
