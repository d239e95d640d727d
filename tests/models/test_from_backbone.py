"""`ViTRetModel.from_backbone` on checkpoints as transformers itself saves them."""

import json
import logging

import pytest
import torch
from torch.nn.functional import normalize
from transformers import (
    BitImageProcessor,
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPVisionConfig,
    ConvNextImageProcessor,
    DeiTConfig,
    DeiTForImageClassificationWithTeacher,
    SiglipConfig,
    SiglipModel,
    SiglipTextConfig,
    SiglipVisionConfig,
    ViTConfig,
    ViTImageProcessor,
    ViTModel,
)

from hf_vitret import ViTRetModel

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
VISION = {**SIZES, "image_size": 32, "patch_size": 8}
TEXT = {**SIZES, "vocab_size": 20, "max_position_embeddings": 8}


@pytest.fixture
def pixels():
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def vit(tmp_path):
    """Give a saved ViT, with its pooler, and its folder."""
    torch.manual_seed(0)
    model = ViTModel(ViTConfig(**VISION)).eval()
    model.save_pretrained(tmp_path / "vit")
    return model, tmp_path / "vit"


@torch.no_grad()
def test_pretrained_weights_are_inside(vit, pixels):
    backbone, folder = vit
    model = ViTRetModel.from_backbone(folder)
    assert not model.training
    theirs = backbone.state_dict()
    for name, weight in model.backbone.state_dict().items():
        assert torch.equal(weight, theirs[name]), name
    expected = normalize(backbone(pixels).last_hidden_state[:, 0], dim=1)
    torch.testing.assert_close(model(pixels).embeddings, expected)


@torch.no_grad()
def test_classifier_with_teacher_gives_its_body(tmp_path, pixels):
    torch.manual_seed(0)
    classifier = DeiTForImageClassificationWithTeacher(DeiTConfig(**VISION, num_labels=3)).eval()
    classifier.save_pretrained(tmp_path)
    model = ViTRetModel.from_backbone(str(tmp_path))
    theirs = classifier.deit.state_dict()
    assert model.backbone.state_dict().keys() == theirs.keys()
    for name, weight in model.backbone.state_dict().items():
        assert torch.equal(weight, theirs[name]), name
    expected = normalize(classifier.deit(pixels).last_hidden_state[:, 0], dim=1)
    torch.testing.assert_close(model(pixels).embeddings, expected)


@torch.no_grad()
def test_clip_gives_its_vision_half(tmp_path, pixels):
    torch.manual_seed(0)
    clip = CLIPModel(CLIPConfig(text_config=TEXT, vision_config=VISION)).eval()
    clip.save_pretrained(tmp_path)
    model = ViTRetModel.from_backbone(tmp_path)
    assert isinstance(model.config.backbone_config, CLIPVisionConfig)
    expected = normalize(clip.vision_model(pixels).pooler_output, dim=1)
    torch.testing.assert_close(model(pixels).embeddings, expected)
    assert isinstance(clip.config.text_config, CLIPTextConfig)
    assert not [name for name, _ in model.named_parameters() if "text" in name]


@torch.no_grad()
def test_siglip_gives_its_vision_half_without_the_head(tmp_path, pixels):
    torch.manual_seed(0)
    siglip = SiglipModel(
        SiglipConfig(
            text_config=SiglipTextConfig(**TEXT, bos_token_id=1, eos_token_id=2, pad_token_id=0).to_dict(),
            vision_config=SiglipVisionConfig(**VISION).to_dict(),
        )
    ).eval()
    siglip.save_pretrained(tmp_path)
    model = ViTRetModel.from_backbone(tmp_path, pooling="mean")
    assert not [name for name, _ in model.named_parameters() if ".head." in name]
    expected = normalize(siglip.vision_model(pixels).last_hidden_state.mean(dim=1), dim=1)
    torch.testing.assert_close(model(pixels).embeddings, expected)


def test_checkpoint_that_lacks_weights_is_refused(vit):
    _, folder = vit
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(ValueError, match=r"every weight of a vit backbone.*\d+ are missing.*layers\.2"):
        ViTRetModel.from_backbone(folder)


def test_unknown_name_is_an_os_error(tmp_path):
    with pytest.raises(OSError, match="find them in the cached files"):
        ViTRetModel.from_backbone("no-such-owner/no-such-model")
    with pytest.raises(ValueError, match="Unrecognized model"):
        ViTRetModel.from_backbone(tmp_path)


@torch.no_grad()
def test_half_precision_is_widened_and_stays_wide(tmp_path, pixels):
    torch.manual_seed(0)
    half = ViTModel(ViTConfig(**VISION)).half()
    half.save_pretrained(tmp_path / "half")
    model = ViTRetModel.from_backbone(tmp_path / "half", embedding_dim=8)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    weight = model.backbone.embeddings.patch_embeddings.projection.weight
    assert torch.equal(weight, half.embeddings.patch_embeddings.projection.weight.float())

    # A second model from the same configuration must not fall back to the type of the backbone's checkpoint.
    again = ViTRetModel(model.config)
    assert {parameter.dtype for parameter in again.parameters()} == {torch.float32}
    model.save_pretrained(tmp_path / "saved")
    loaded = ViTRetModel.from_pretrained(tmp_path / "saved")
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    assert torch.equal(loaded(pixels).embeddings, model(pixels).embeddings)


def test_other_type_on_request(vit, pixels):
    model = ViTRetModel.from_backbone(vit[1], embedding_dim=8, dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert model(pixels).embeddings.dtype == torch.float32


@pytest.mark.parametrize(
    ("processor", "image_size"),
    [
        (BitImageProcessor(size={"shortest_edge": 48}, crop_size={"height": 40, "width": 40}), 40),
        (ViTImageProcessor(size={"height": 24, "width": 24}), 24),
        (ConvNextImageProcessor(size={"shortest_edge": 56}), 56),
    ],
)
def test_pixels_are_those_of_the_backbones_image_processor(processor, image_size, vit):
    _, folder = vit
    processor.image_mean, processor.image_std = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]
    processor.save_pretrained(folder)
    model = ViTRetModel.from_backbone(folder)
    assert model.config.image_size == image_size
    assert model.config.resize_size == round(image_size * 256 / 224)
    assert (model.config.image_mean, model.config.image_std) == ([0.1, 0.2, 0.3], [0.4, 0.5, 0.6])
    assert model.image_processor.crop_size["height"] == image_size
    assert list(model.image_processor.image_mean) == [0.1, 0.2, 0.3]

    changed = ViTRetModel.from_backbone(folder, image_size=64, resize_size=64, image_mean=(0.5, 0.5, 0.5))
    assert (changed.config.image_size, changed.config.resize_size) == (64, 64)
    assert (changed.config.image_mean, changed.config.image_std) == ([0.5, 0.5, 0.5], [0.4, 0.5, 0.6])


def test_without_an_image_processor_imagenets_pixels_are_used_and_said(vit, caplog):
    logger = logging.getLogger("hf_vitret.models.modeling_vitret")
    logger.addHandler(caplog.handler)
    try:
        model = ViTRetModel.from_backbone(vit[1])
    finally:
        logger.removeHandler(caplog.handler)
    assert "has no image processor" in caplog.text
    assert (model.config.image_size, model.config.image_mean) == (224, [0.485, 0.456, 0.406])


def test_backbone_fields_are_overridden_by_name(vit):
    model = ViTRetModel.from_backbone(vit[1], backbone_overrides={"hidden_dropout_prob": 0.25})
    assert {module.p for module in model.backbone.modules() if isinstance(module, torch.nn.Dropout)} >= {0.25}
    with pytest.raises(ValueError, match="must be fields of ViTConfig; got 'droppath'"):
        ViTRetModel.from_backbone(vit[1], backbone_overrides={"droppath": 0.1})


def test_attention_is_the_one_asked_for(vit):
    assert ViTRetModel.from_backbone(vit[1]).backbone.config._attn_implementation == "sdpa"
    eager = ViTRetModel.from_backbone(vit[1], attn_implementation="eager")
    assert eager.backbone.config._attn_implementation == eager.config._attn_implementation == "eager"


def test_saved_configuration_names_no_folder_of_this_machine(vit, tmp_path):
    ViTRetModel.from_backbone(vit[1]).save_pretrained(tmp_path / "saved")
    assert str(tmp_path) not in (tmp_path / "saved" / "config.json").read_text()


def test_configuration_fields_pass_through(vit):
    model = ViTRetModel.from_backbone(vit[1], pooling="gem", embedding_dim=8, gem_p=2.0, gem_learnable=True)
    assert model.gem.p.item() == 2.0
    assert model.config.output_dim == 8
    with pytest.raises(ValueError, match="pooling must be one of"):
        ViTRetModel.from_backbone(vit[1], pooling="average")
