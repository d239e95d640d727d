import pytest
import torch

from hf_vitret.search.inner_products import inner_products


def _rows(seed):
    return torch.nn.functional.normalize(torch.randn(300, 384, generator=torch.Generator().manual_seed(seed)), dim=1)


@pytest.fixture
def restored_precision():
    backends = (torch.backends, torch.backends.cuda.matmul, torch.backends.mkldnn.matmul)
    if not hasattr(torch.backends, "fp32_precision"):
        pytest.skip("torch before 2.9 has no fp32_precision")
    before = [backend.fp32_precision for backend in backends]
    yield
    torch.set_float32_matmul_precision("highest")
    for backend, precision in zip(backends, before, strict=True):
        backend.fp32_precision = precision


@pytest.mark.usefixtures("restored_precision")
@pytest.mark.parametrize("setting", ["none", "medium", "everywhere", "autocast"])
def test_products_are_float32_under_every_setting_and_the_setting_stays(setting):
    if setting == "medium":
        torch.set_float32_matmul_precision("medium")
    elif setting == "everywhere":  # as transformers does for tf32=True
        torch.backends.fp32_precision = "tf32"
    queries, gallery = _rows(0), _rows(1)
    before = torch.backends.cuda.matmul.fp32_precision, torch.backends.mkldnn.matmul.fp32_precision
    with torch.autocast("cpu", enabled=setting == "autocast"):
        scores = inner_products(queries, gallery)
    assert scores.dtype == torch.float32
    assert (scores.double() - queries.double() @ gallery.double().T).abs().max() < 1e-6
    assert before == (torch.backends.cuda.matmul.fp32_precision, torch.backends.mkldnn.matmul.fp32_precision)
