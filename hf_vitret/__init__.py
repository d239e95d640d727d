"""Fine-tune any Hugging Face vision backbone into an image-retrieval model, evaluate it and search with it.

The public names stand in `__init__.pyi`. Each is loaded when it is first used, so that `import hf_vitret` costs a few
milliseconds.
"""

import lazy_loader

from .inference import auto_registration

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

auto_registration.install()
