"""`hf-vitret upgrade`: a map from two folders or two models, what is said of it, and the old index searched by it."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from hf_vitret import ViTRetConfig, ViTRetModel, embed_images
from hf_vitret.cli.main import main
from hf_vitret.embedding import write_embeddings as writing
from hf_vitret.embedding.model_identity import ModelIdentity
from hf_vitret.indexing.migration.embedding_map import EmbeddingMap
from tests.indexing.vectors import MODEL, brute_force, unit_rows, write_folder

NEW_MODEL = ModelIdentity("user/newer", "b" * 40, "4" * 64, "2" * 64, "3" * 64)
LABELS = np.repeat(np.arange(60), 5)


def of_classes(seed=0):
    rows = unit_rows(60, dim=8, seed=seed)[LABELS] + 0.5 * unit_rows(300, dim=8, seed=seed + 1)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Old embeddings, and new ones that are turned and blurred, of most of the images, in another order."""
    monkeypatch.chdir(tmp_path)
    old = of_classes()
    turn = np.linalg.qr(np.random.default_rng(3).standard_normal((10, 10)))[0][:8].astype(np.float32)
    new = old @ turn + 0.1 * unit_rows(300, dim=10, seed=7)
    new /= np.linalg.norm(new, axis=1, keepdims=True)
    order = np.random.default_rng(4).permutation(300)[:280]
    ids = np.array([f"{row:03d}.png" for row in range(300)])
    write_folder(tmp_path / "old", old, ids)
    columns = {"kind": [f"kind {label}" for label in LABELS[order]]}
    write_folder(tmp_path / "new", new[order], ids[order], columns, model=NEW_MODEL, num_shards=2)
    return old, new, order


def test_a_map_is_learned_from_what_both_have(folders, capsys):
    old, new, _ = folders
    assert main(["upgrade", "old", "new", "--output_dir", "maps", "--held_out", "0.25", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert [content[name] for name in ("num_common", "num_fitted", "num_held_out")] == [280, 210, 70]
    fitted = EmbeddingMap.load("maps/map.safetensors")
    assert (fitted.old_model, fitted.new_model) == (MODEL, NEW_MODEL)
    agreement = (fitted.to_new(torch.from_numpy(old)) * torch.from_numpy(new)).sum(dim=1)
    assert float(agreement.mean()) > 0.98  # rows that do not belong together would give next to nothing
    recalls = content["recalls"]
    assert recalls["new"] == {"overlap_at_1": 1, "overlap_at_10": 1}
    assert 0.5 < recalls["queries_mapped"]["overlap_at_10"] < 1


def test_labels_give_recall_on_classes_of_their_own(folders, capsys):
    assert main(["upgrade", "old", "new", "--output_dir", "my map", "--label_column", "kind", "--ks", "1", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Images       280 in common; ")
    assert lines[0].endswith(" held out, classes of their own, which search one another")
    assert lines[2].split() == ["R@1", "R@3"]
    assert [line.split()[0] for line in lines[3:8]] == ["old", "queries_mapped", "index_mapped", "mixed", "new"]
    assert lines[-2].endswith("ridge, 8 and 10 dimensions, user/model and user/newer")
    assert lines[-1] == "Then         hf-vitret search, with the old index, an image file and --map 'my map'"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["old", "old"], "both embeddings are those of user/model: no map is needed"),
        (["old", "others"], "share no image_id, such as 000.png and a"),
        (["old", "nowhere"], "nowhere is not a folder of embeddings"),
        (["old", "new", "--label_column", "color"], "column of the embeddings, kind; got 'color'"),
        (["old", "new", "--held_out", "1"], "above 0 and below 1; got 1.0"),
        (["old", "new", "--share_new", "3"], "share_new from 0 to 1"),
        (["old", "new", "--ridge", "-1"], "a ridge of 0 or more"),
        (["old", "new", "--ks", "0"], "--ks must be at least 1"),
        (["old", "new", "--ridge", "1", "--method", "orthogonal"], "expected --method ridge with --ridge; got"),
        (["old", "new", "--device", "cpu"], "expected --images with --device, which is a setting of it"),
        (["old", "new", "-b", "8"], "expected --images with --batch_size, which is a setting of it"),
        (["old", "new", "--images", "nowhere"], "'nowhere' is no folder, file or pattern on this machine"),
        (["old", "new", "--max_images", "1"], "--max_images must be at least 2"),
        (["old", "damaged"], "is not what it was when it was written"),
    ],
)
def test_bad_input_is_a_message(folders, tmp_path, capsys, options, message):
    write_folder(tmp_path / "others", unit_rows(3, dim=10), list("abc"), model=NEW_MODEL)
    write_folder(tmp_path / "damaged", unit_rows(9, dim=10), range(9), model=NEW_MODEL)
    path = tmp_path / "damaged" / "embeddings-00001.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert main(["upgrade", *options, "--output_dir", "upgrade"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert not (tmp_path / "upgrade").exists()


@pytest.fixture
def two_models(tmp_path, monkeypatch, tiny_model):
    """Two models with other weights, in folders, and forty photographs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for number in range(40):
        values = np.random.default_rng(number).integers(0, 256, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(values).resize((32, 32), Image.Resampling.NEAREST).save(tmp_path / f"photos/{number:02d}.png")
    with torch.random.fork_rng():
        torch.manual_seed(5)
        newer = ViTRetModel(ViTRetConfig(tiny_model.config.backbone_config, image_size=32)).eval()
    tiny_model.save_pretrained(tmp_path / "older")
    newer.save_pretrained(tmp_path / "newer")
    return tiny_model, newer


def test_an_old_index_is_searched_by_a_new_model(two_models, tmp_path, capsys):
    older, newer = two_models
    assert main(["upgrade", "older", "newer", "--images", "photos", "--output_dir", "upgrade"]) == 0
    assert {each.name for each in tmp_path.iterdir()} == {"photos", "older", "newer", "upgrade"}
    assert main(["embed", "photos", "--model", "older", "--output_dir", "E", "--dtype", "float32"]) == 0
    assert main(["index", "E", "--output_dir", "index"]) == 0
    capsys.readouterr()
    line = ["search", "index", "photos/07.png", "-k", "5", "--json"]
    assert main([*line, "--model", "newer", "--map", "upgrade"]) == 0
    images = [Image.open(path) for path in sorted((tmp_path / "photos").iterdir())]
    rows = embed_images(older, images, progress=False).numpy()
    mapped = EmbeddingMap.load("upgrade").to_old(embed_images(newer, [images[7]], progress=False))
    scores, expected = brute_force(mapped.numpy(), rows, 5)
    hits = json.loads(capsys.readouterr().out)["answers"][0]["hits"]
    assert [hit["image_id"] for hit in hits] == [f"{row:02d}.png" for row in expected[0]]
    np.testing.assert_allclose([hit["score"] for hit in hits], scores[0], atol=1e-4)

    assert main([*line, "--model", "newer"]) == 2
    assert "expected embeddings of the model that made the index, older; got those of newer" in capsys.readouterr().err
    assert main([*line, "--model", "older", "--map", "upgrade"]) == 2
    assert "expected embeddings of the map's new model, newer; got those of older" in capsys.readouterr().err
    assert main([*line, "--map", "upgrade"]) == 2
    assert "expected --model: the model of the map, newer, has no known folder" in capsys.readouterr().err
    options = ["--model", "newer", "--map", "upgrade", "--false_match_rate", "0.1"]
    assert main([*line, *options]) == 2
    assert "expected --min_score with --map: no threshold was measured" in capsys.readouterr().err
    assert main(["embed", "photos", "--model", "newer", "--output_dir", "F", "--dtype", "float32"]) == 0
    assert main(["index", "F", "--output_dir", "new-index"]) == 0
    line[1] = "new-index"
    assert main([*line, "--model", "newer", "--map", "upgrade"]) == 2
    assert "expected embeddings of the model that made the index, newer; got those of older" in capsys.readouterr().err


def test_an_interrupted_command_keeps_nothing_and_says_how_embeddings_are_kept(
    two_models, tmp_path, monkeypatch, capsys
):
    def interrupted_at_the_second_model(*arguments, **settings):
        written.append(arguments)
        if len(written) == 2:
            raise KeyboardInterrupt
        return write(*arguments, **settings)

    written, write = [], writing.write_embeddings
    monkeypatch.setattr(writing, "write_embeddings", interrupted_at_the_second_model)
    assert main(["upgrade", "older", "newer", "--images", "photos", "--output_dir", "upgrade"]) == 130
    assert capsys.readouterr().err == (
        "\ninterrupted: nothing is kept. hf-vitret embed keeps what it has embedded: run it with each of the models, "
        "then hf-vitret upgrade on the two folders\n"
    )
    assert list((tmp_path / "upgrade").iterdir()) == []
