"""`python -m hf_vitret` is `hf-vitret`: accelerate launches it by this name."""

import sys

from .cli.main import main

sys.exit(main())
