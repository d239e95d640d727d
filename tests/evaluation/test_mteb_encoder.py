"""`MtebEncoder` by itself, and run by mteb if mteb is installed."""

import importlib.util

import pytest
import torch
from datasets import Dataset, Features, Image, Value
from PIL import Image as Pillow

from hf_vitret import embed_images, retrieval_metrics
from hf_vitret.evaluation.mteb_encoder import MtebEncoder
from tests.training.runs import draw, tiny_vit

NEEDS_MTEB = "mteb is not installed, so mteb itself does not run the encoder. Install it with: pip install mteb"
QUERIES = [(class_id, 0) for class_id in range(10)]
GALLERY = [(class_id, image) for class_id in range(10) for image in (1, 2)]


def _draw(class_id, image):
    """Draw an image of a class blended with another class, so that the model makes some mistakes."""
    return Pillow.blend(draw(class_id, image), draw(100 + 10 * class_id + image, 0), 0.3)


def _loader(pictures, batch_size=4):
    return [{"image": pictures[start : start + batch_size]} for start in range(0, len(pictures), batch_size)]


def _encode(encoder, loader):
    return encoder.encode(loader, task_metadata=None, hf_split="test", hf_subset="default", show_progress_bar=False)


@pytest.fixture
def model():
    model = tiny_vit()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    return model.eval()


def test_images_are_embedded_as_the_package_does(model):
    pictures = [draw(*each).convert("L" if each[0] % 2 else "RGBA") for each in GALLERY]
    received = _encode(MtebEncoder(model, "user/model"), _loader(pictures))
    torch.testing.assert_close(received, embed_images(model, pictures, progress=False))
    half = _encode(MtebEncoder(model, "user/model", dtype=torch.bfloat16), _loader(pictures))
    assert not half.equal(received)


def test_similarity_is_the_cosine(model):
    encoder = MtebEncoder(model, "user/model")
    rows = torch.nn.functional.normalize(torch.randn(5, 16, generator=torch.Generator().manual_seed(0)), dim=1)
    expected = torch.nn.functional.cosine_similarity(rows[:, None], rows[None], dim=2)
    torch.testing.assert_close(encoder.similarity(rows, rows.numpy()), expected)
    torch.testing.assert_close(encoder.similarity(rows[0], rows), expected[:1])
    torch.testing.assert_close(encoder.similarity_pairwise(rows, rows.flip(0)), expected.flip(1).diagonal())


@pytest.mark.parametrize("batch", [{"text": ["a"]}, {"text": ["a"], "image": [draw(0, 0)]}])
def test_what_is_no_image_is_refused(batch, model):
    with pytest.raises(ValueError, match=r"embeds images alone; the task .* has text"):
        _encode(MtebEncoder(model, "user/model"), [batch])
    with pytest.raises(ValueError, match="at least one image"):
        _encode(MtebEncoder(model, "user/model"), [])


def test_the_name_has_the_form_of_a_hub_id(model):
    with pytest.raises(ValueError, match="user/model, as mteb files its results; got 'final'"):
        MtebEncoder(model, "final")


@pytest.mark.skipif(importlib.util.find_spec("mteb") is not None, reason="mteb is installed")
def test_without_mteb_the_error_says_what_to_install(model):
    with pytest.raises(ImportError, match="pip install mteb"):
        MtebEncoder(model, "user/model").mteb_model_meta  # noqa: B018


@pytest.mark.skipif(importlib.util.find_spec("mteb") is None, reason=NEEDS_MTEB)
@pytest.mark.filterwarnings("default")  # warnings of mteb
def test_mteb_finds_what_the_package_finds(model):
    import mteb
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData
    from mteb.mocks.mock_tasks.retrieval import general_args
    from mteb.models.models_protocols import EncoderProtocol

    features = Features({"id": Value("string"), "image": Image()})

    def split(rows):
        ids = [f"{class_id}-{image}" for class_id, image in rows]
        return Dataset.from_dict({"id": ids, "image": [_draw(*each) for each in rows]}, features=features)

    class Shapes(AbsTaskRetrieval):
        metadata = mteb.TaskMetadata(
            type="Any2AnyRetrieval",
            name="Shapes",
            main_score="hit_rate_at_1",
            **{**general_args, "modalities": ["image"], "category": "i2i"},
        )

        def load_data(self, num_proc=None, **kwargs):
            relevant = {f"{c}-{i}": {f"{d}-{j}": 1 for d, j in GALLERY if d == c} for c, i in QUERIES}
            data = RetrievalSplitData(
                queries=split(QUERIES), corpus=split(GALLERY), relevant_docs=relevant, top_ranked=None
            )
            self.dataset = {"default": {"test": data}}
            self.data_loaded = True

    encoder = MtebEncoder(model, "user/model", revision="abc")
    assert isinstance(encoder, EncoderProtocol)
    assert encoder.mteb_model_meta.name == "user/model"
    assert encoder.mteb_model_meta.n_parameters == model.num_parameters()
    results = mteb.evaluate(encoder, Shapes(), cache=None, show_progress_bar=False, co2_tracker=False)
    [scores] = results.task_results[0].scores["test"]

    embeddings = [embed_images(model, [_draw(*each) for each in rows], progress=False) for rows in (QUERIES, GALLERY)]
    labels = [[class_id for class_id, _ in rows] for rows in (QUERIES, GALLERY)]
    expected = retrieval_metrics(embeddings[0], labels[0], embeddings[1], labels[1], ks=[1, 3])
    assert 0 < expected["recall_at_1"] < 1
    assert scores["hit_rate_at_1"] == pytest.approx(expected["recall_at_1"], abs=1e-5)
    assert scores["hit_rate_at_3"] == pytest.approx(expected["recall_at_3"], abs=1e-5)
