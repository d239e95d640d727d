"""mAP and mP@k of ROxford5k and RParis6k, by the rules of their authors."""
