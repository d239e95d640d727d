"""Search by images gives what embedding them and multiplying with every vector of the index gives."""

import numpy as np
import pytest
import torch
from PIL import Image

from hf_vitret import (
    EmbeddingFolder,
    EmbeddingMap,
    ImageIndex,
    ModelIdentity,
    embed_images,
    search_by_image,
    with_projection,
)
from hf_vitret.embedding.write_embeddings import write_embeddings
from hf_vitret.indexing.refined_search import expanded_search, reranked_search
from hf_vitret.indexing.search_by_image import search_by_embedding
from tests.embedding.photographs import noise, write_photos

COUNT = 12


@pytest.fixture
def gallery(tiny_model, tmp_path):
    """Write twelve photographs, five in each of the folders 0 and 1 and two in 2, and embed and index them."""
    write_photos(tmp_path / "photos", COUNT)
    write_embeddings(tiny_model, tmp_path / "photos", tmp_path / "E", dtype="float32", progress=False)
    return tmp_path / "photos"


@pytest.fixture
def index(gallery):
    return ImageIndex.build_from(gallery.parent / "E", progress=False)


def naive(model, queries, allowed=lambda number: True):
    """Embed everything and sort the float64 dot products; return `(id, score)` for each query, best first."""
    vectors = [embed_images(model, images, progress=False).double() for images in (queries, photos())]
    ids = [f"{number // 5}/{number:02d}.png" for number in range(COUNT)]
    found = []
    for query in vectors[0]:
        scores = [(float(query @ vector), ids[number]) for number, vector in enumerate(vectors[1]) if allowed(number)]
        found.append([(image_id, score) for score, image_id in sorted(scores, reverse=True)])
    return found


def photos():
    return [noise(number) for number in range(COUNT)]


def assert_same(answers, expected, k):
    assert len(answers) == len(expected)
    for answer, wanted in zip(answers, expected):
        assert [hit.image_id for hit in answer.hits] == [image_id for image_id, _ in wanted[:k]]
        assert [hit.rank for hit in answer.hits] == list(range(1, len(answer.hits) + 1))
        np.testing.assert_allclose([hit.score for hit in answer.hits], [score for _, score in wanted[:k]], atol=1e-5)


@pytest.mark.parametrize("k", [1, 4, COUNT, COUNT + 3])
def test_equals_the_loop_over_all_images(index, tiny_model, k):
    queries = [noise(3), noise(101), noise(102)]
    answers = search_by_image(index, tiny_model, queries, k)
    assert_same(answers, naive(tiny_model, queries), k)
    assert answers[0].hits[0].image_id == "0/03.png"
    assert answers[0].hits[0].score == pytest.approx(1, abs=1e-5)


def test_queries_are_paths_bytes_or_pictures(index, tiny_model, gallery):
    path = gallery / "1" / "07.png"
    picture = Image.open(path)
    answers = search_by_image(index, tiny_model, [path, str(path), path.read_bytes(), picture], 3)
    assert [answer.query for answer in answers] == [str(path), str(path), "image 2", "image 3"]
    assert_same(answers, naive(tiny_model, [noise(7)]) * 4, 3)
    assert picture.size == noise(7).size  # the caller's picture stays as it is
    named = search_by_image(index, tiny_model, [path], 1, names=["mine"])
    assert named[0].query == "mine"


def test_pictures_of_any_mode_and_turned_ones_are_seen_upright(index, tiny_model):
    upright = noise(5)
    turned = upright.rotate(90, expand=True).convert("RGBA")
    turned.getexif()[0x0112] = 6  # to be turned by 90 degrees clockwise
    answers = search_by_image(index, tiny_model, [upright, turned], COUNT)
    assert [hit.image_id for hit in answers[0].hits] == [hit.image_id for hit in answers[1].hits]
    assert answers[1].hits[0].image_id == "1/05.png"
    assert answers[1].hits[0].score == pytest.approx(1, abs=1e-4)


def test_hits_have_paths_metadata_and_positions(index, tiny_model):
    (answer,) = search_by_image(index, tiny_model, [noise(11)], COUNT)
    for hit in answer.hits:
        assert hit.path == hit.image_id
        assert hit.metadata == {"label": hit.image_id.split("/")[0]}
        assert index.ids[hit.position] == hit.image_id


@pytest.mark.parametrize(
    ("where", "allowed"),
    [
        ("label=1", lambda number: number // 5 == 1),
        (["label=1"], lambda number: number // 5 == 1),
        (["label!=1"], lambda number: number // 5 != 1),
        (["label>=1", "label<2"], lambda number: number // 5 == 1),
        (["label=9"], lambda number: False),
    ],
)
def test_conditions_leave_images_out(index, tiny_model, where, allowed):
    queries = [noise(0), noise(103)]
    answers = search_by_image(index, tiny_model, queries, COUNT, where=where)
    assert_same(answers, naive(tiny_model, queries, allowed), COUNT)


def test_images_below_the_lowest_score_are_no_matches(index, tiny_model):
    queries = [noise(0), noise(104)]
    expected = naive(tiny_model, queries)
    lowest = (expected[0][2][1] + expected[0][3][1]) / 2
    matches = [[pair for pair in row if pair[1] >= lowest] for row in expected]
    assert_same(search_by_image(index, tiny_model, queries, COUNT, min_score=lowest), matches, COUNT)
    assert [answer.hits for answer in search_by_image(index, tiny_model, queries, min_score=1.1)] == [(), ()]


def test_batches_do_not_change_the_answers(index, tiny_model):
    queries = photos()
    expected = search_by_image(index, tiny_model, queries, 3)
    for batch_size in (1, 5):
        received = search_by_image(index, tiny_model, queries, 3, batch_size=batch_size)
        assert [[hit.image_id for hit in answer.hits] for answer in received] == [
            [hit.image_id for hit in answer.hits] for answer in expected
        ]


@pytest.mark.parametrize(("options", "search"), [({"expand": 4}, expanded_search), ({"rerank": True}, reranked_search)])
def test_the_searches_in_two_steps_are_those_of_the_index(index, tiny_model, options, search):
    queries = [noise(0), noise(105)]
    settings = {"num_neighbors": 4} if "expand" in options else {}
    expected = search(index, embed_images(tiny_model, queries, progress=False), 5, where=["label!=2"], **settings)
    answers = search_by_image(index, tiny_model, queries, 5, where=["label!=2"], **options)
    np.testing.assert_allclose([[hit.score for hit in answer.hits] for answer in answers], expected[0], atol=1e-5)
    assert [[hit.position for hit in answer.hits] for answer in answers] == expected[1].tolist()


def reversed_model(model):
    """Return a model whose embeddings have the entries of the model's in reverse order."""
    return with_projection(model, torch.zeros(32), torch.eye(32).flip(0))


def test_a_newer_model_searches_through_a_map(index, tiny_model):
    newer = reversed_model(tiny_model)
    images = [noise(number) for number in range(200, 260)]
    old, new = (embed_images(model, images, progress=False) for model in (tiny_model, newer))
    identities = {"old_model": ModelIdentity.of(tiny_model), "new_model": ModelIdentity.of(newer)}
    fitted = EmbeddingMap.fit(old, new, method="orthogonal", **identities)
    answers = search_by_image(index, newer, [noise(2), noise(106)], 5, embedding_map=fitted)
    expected = naive(tiny_model, [noise(2), noise(106)])
    for answer, wanted in zip(answers, expected):
        assert [hit.image_id for hit in answer.hits] == [image_id for image_id, _ in wanted[:5]]
        np.testing.assert_allclose([hit.score for hit in answer.hits], [score for _, score in wanted[:5]], atol=1e-3)
    with pytest.raises(ValueError, match="embeddings of the map's new model"):
        search_by_image(index, tiny_model, [noise(2)], embedding_map=fitted)


def test_another_model_is_refused(index, tiny_model):
    with pytest.raises(ValueError, match="embeddings of the model that made the index"):
        search_by_image(index, reversed_model(tiny_model), [noise(0)])
    with torch.no_grad():
        next(tiny_model.parameters()).add_(0.1)
    with pytest.raises(ValueError, match="other weights"):
        search_by_image(index, tiny_model, [noise(0)])


def test_a_known_identity_is_not_computed_again(index, tiny_model, monkeypatch):
    identity = ModelIdentity.of(tiny_model)
    monkeypatch.setattr(ModelIdentity, "of", None)
    assert search_by_image(index, tiny_model, [noise(0)], 1, identity=identity)[0].hits


def test_queries_that_cannot_be_searched_are_named(index, tiny_model, tmp_path):
    (tmp_path / "text.jpg").write_text("no image")
    with pytest.raises(FileNotFoundError, match=r"there is no file .*nowhere\.png"):
        search_by_image(index, tiny_model, [noise(0), tmp_path / "nowhere.png"])
    with pytest.raises(ValueError, match=r"expected an image in .*text\.jpg; it cannot be read"):
        search_by_image(index, tiny_model, [str(tmp_path / "text.jpg")])
    with pytest.raises(ValueError, match="empty file"):
        search_by_image(index, tiny_model, [b""])
    with pytest.raises(TypeError, match="got int"):
        search_by_image(index, tiny_model, [3])
    with pytest.raises(ValueError, match=r"expected k.* to be at least 1; got 0"):
        search_by_image(index, tiny_model, [noise(0)], 0)
    with pytest.raises(ValueError, match="expected at least one image to embed; got none"):
        search_by_image(index, tiny_model, [])
    with pytest.raises(ValueError, match="expected a column of image_id, path, label"):
        search_by_image(index, tiny_model, [noise(0)], where=["color=red"])


@pytest.mark.parametrize(
    "options", [{"expand": 2, "rerank": True}, {"min_score": 0.1, "rerank": True}, {"min_score": 0.1, "expand": 2}]
)
def test_options_that_exclude_each_other_are_refused(index, tiny_model, options):
    with pytest.raises(ValueError, match="leave one out"):
        search_by_image(index, tiny_model, [noise(0)], **options)


def test_embeddings_are_searched_as_images_are(index, tiny_model, gallery):
    (vectors,) = (shard.embeddings for shard in EmbeddingFolder(gallery.parent / "E").shards())
    names = [f"row {number}" for number in range(COUNT)]
    answers = search_by_embedding(index, vectors, 4, names=names)
    assert [answer.query for answer in answers] == names
    assert_same(answers, naive(tiny_model, photos()), 4)
