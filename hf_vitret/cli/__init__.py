"""The command `hf-vitret`: one file a command, thin over the functions of the package."""
