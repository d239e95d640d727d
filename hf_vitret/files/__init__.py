"""Files and folders that are whole or not there, JSON values, and dataclasses of tensors as files."""
