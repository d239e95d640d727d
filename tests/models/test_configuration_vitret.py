import json

import pytest
from transformers import Aimv2VisionConfig, AutoConfig, DeiTConfig, SiglipVisionConfig, TimmWrapperConfig, ViTConfig

from hf_vitret import ViTRetConfig

# Words that each message must hold: the invariant, what came, and, where there is a choice, the way out.
BAD_FIELDS = [
    ({"pooling": "avg"}, ["pooling", "cls, mean, max, gem", "'avg'"]),
    ({"resize_mode": "pad"}, ["resize_mode", "shortest_edge, square", "'pad'"]),
    ({"embedding_dim": 0}, ["embedding_dim", "at least 1", "None for the backbone's own width", "got 0"]),
    ({"embedding_dim": -3}, ["embedding_dim", "got -3"]),
    ({"gem_p": 0}, ["gem_p", "above 0", "got 0"]),
    ({"gem_p": -1.0}, ["gem_p", "got -1.0"]),
    ({"gem_p": float("nan")}, ["gem_p", "got nan"]),
    ({"image_size": 0}, ["image_size", "at least 1 pixel", "got 0"]),
    ({"resize_size": 200}, ["resize_size", "at least image_size (224)", "got 200"]),
    ({"image_mean": (0.5,)}, ["image_mean", "R, G and B", "[0.5]"]),
    ({"image_std": (1, 1, 1, 1)}, ["image_std", "R, G and B", "[1, 1, 1, 1]"]),
    ({"image_std": (0.2, 0.0, 0.2)}, ["image_std", "above 0", "[0.2, 0.0, 0.2]"]),
    ({"backbone_config": {"hidden_size": 8}}, ["model_type", "'vit'", "['hidden_size']"]),
]


@pytest.mark.parametrize(("fields", "words"), BAD_FIELDS)
def test_field_outside_its_domain_is_named_with_value_and_domain(fields, words):
    with pytest.raises(ValueError, match=words[0]) as error:
        ViTRetConfig(**fields)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_unknown_backbone_type_is_refused_by_name():
    with pytest.raises(ValueError, match="no_such_backbone"):
        ViTRetConfig({"model_type": "no_such_backbone"})


def test_default_is_the_papers_deit_small():
    config = ViTRetConfig()
    assert isinstance(config.backbone_config, DeiTConfig)
    assert (config.pooling, config.hidden_size, config.output_dim) == ("cls", 384, 384)
    assert (config.image_size, config.resize_size) == (224, 256)
    backbone = config.backbone_config
    assert (backbone.num_hidden_layers, backbone.num_attention_heads, backbone.patch_size) == (12, 6, 16)


@pytest.mark.parametrize(("image_size", "resize_size"), [(224, 256), (384, 439), (56, 64), (1, 1)])
def test_resize_keeps_the_papers_ratio(image_size, resize_size):
    assert ViTRetConfig(image_size=image_size).resize_size == resize_size


@pytest.mark.parametrize("kind", ["swin", "convnext", "dinov2", "siglip_vision_model"])
def test_width_is_that_of_the_backbones_output(kind, make_model, images):
    model = make_model(kind, pooling="mean")
    hidden = model(images).last_hidden_state
    assert model.config.hidden_size == model.config.output_dim == hidden.shape[1 if hidden.dim() == 4 else 2]


def test_output_dim_is_the_projections():
    config = ViTRetConfig(embedding_dim=128)
    assert config.output_dim == config.projection_dim == 128


def test_backbone_without_a_width_is_refused():
    config = ViTRetConfig(TimmWrapperConfig(architecture="vit_tiny_patch16_224"))
    with pytest.raises(
        ValueError, match=r"expected hidden_size.*timm_wrapper has neither: choose a backbone that transformers itself"
    ):
        config.output_dim  # noqa: B018


def test_dict_and_object_describe_the_same_backbone(backbone_fields):
    fields = backbone_fields("vit")
    from_dict = ViTRetConfig(fields)
    assert "model_type" in fields, "the caller's dict was changed"
    fields.pop("model_type")
    assert from_dict.to_dict() == ViTRetConfig(ViTConfig(**fields)).to_dict()


@pytest.mark.parametrize(
    ("backbone", "switch"), [(SiglipVisionConfig(), "vision_use_head"), (Aimv2VisionConfig(), "use_head")]
)
def test_pooling_head_is_switched_off_and_the_callers_configuration_left_alone(backbone, switch):
    config = ViTRetConfig(backbone)
    assert getattr(config.backbone_config, switch) is False
    assert getattr(backbone, switch) is True


def test_json_round_trip_keeps_every_field(tmp_path, backbone_fields):
    config = ViTRetConfig(
        backbone_fields("dinov2_with_registers"),
        pooling="gem",
        embedding_dim=7,
        gem_p=2.5,
        gem_learnable=True,
        image_size=98,
        resize_size=100,
        resize_mode="square",
        image_mean=(0.1, 0.2, 0.3),
        image_std=(0.4, 0.5, 0.6),
    )
    config.save_pretrained(tmp_path)
    for loaded in (ViTRetConfig.from_pretrained(tmp_path), AutoConfig.from_pretrained(tmp_path)):
        assert type(loaded) is ViTRetConfig
        assert loaded.to_dict() == {**config.to_dict(), "_name_or_path": loaded._name_or_path}
        assert loaded.backbone_config.num_register_tokens == 3


def test_json_names_the_type_and_the_code_that_reads_it(tmp_path):
    ViTRetConfig(embedding_dim=64).save_pretrained(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    assert written["model_type"] == "vitret"
    assert written["embedding_dim"] == 64
    assert written["backbone_config"]["model_type"] == "deit"
    assert written["auto_map"] == {"AutoConfig": "configuration_vitret.ViTRetConfig"}


@pytest.mark.parametrize(
    ("resize_mode", "size"),
    [("shortest_edge", {"shortest_edge": 40}), ("square", {"height": 40, "width": 40})],
)
def test_image_processor_fields_follow_the_configuration(resize_mode, size):
    fields = ViTRetConfig(image_size=32, resize_size=40, resize_mode=resize_mode).image_processor_fields
    assert fields["size"] == size
    assert fields["crop_size"] == {"height": 32, "width": 32}
    assert fields["image_mean"] == [0.485, 0.456, 0.406]
