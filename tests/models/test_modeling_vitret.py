import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import normalize
from transformers import AutoModel

from hf_vitret import ViTRetConfig
from hf_vitret.models.modeling_vitret import GeM, ViTRetOutput

# Tokens before the patches, counted by hand: class, distillation, registers.
PREFIX = {
    "deit": 2,
    "vit": 1,
    "dinov2": 1,
    "dinov2_with_registers": 1 + 3,
    "dinov3_vit": 1 + 5,
    "siglip_vision_model": 0,
    "clip_vision_model": 1,
    "swin": 0,
    "convnext": 0,
    "chinese_clip_vision_model": 1,
    "convnextv2": 0,
    "dinov3_convnext": 1,
    "mlcd_vision_model": 1,
}
WITHOUT_CLASS_TOKEN = [kind for kind, prefix in PREFIX.items() if prefix == 0]
POOLINGS_OF = [
    (kind, pooling)
    for kind in PREFIX
    for pooling in ("cls", "mean", "max", "gem")
    if pooling != "cls" or kind not in WITHOUT_CLASS_TOKEN
]
# Patches along one side of a 224 pixel image, from the patch sizes and strides of tests/models/conftest.py.
SIDE = dict.fromkeys(PREFIX, 14) | {
    "dinov2": 16,
    "dinov2_with_registers": 16,
    "swin": 28,
    "convnext": 28,
    "convnextv2": 28,
    "dinov3_convnext": 7,
}
# Families whose last norm comes after the pooling, and its name.
LATE_NORM = {
    "clip_vision_model": "post_layernorm",
    "chinese_clip_vision_model": "post_layernorm",
    "mlcd_vision_model": "post_layernorm",
    "convnext": "layernorm",
    "convnextv2": "layernorm",
}


def signed_gem(patches):
    powers = np.abs(patches.astype(np.float64)) ** 3
    return (np.sign(patches) * powers).mean(axis=1) / powers.mean(axis=1) ** (2 / 3)


NUMPY_POOLINGS = {
    "mean": lambda patches: patches.mean(axis=1),
    "max": lambda patches: patches.max(axis=1),
    "gem": signed_gem,
}


def one_number(embeddings):
    """Reduce embeddings by fixed random weights: their plain sum is constant after a LayerNorm."""
    weights = torch.randn(embeddings.shape, generator=torch.Generator().manual_seed(2))
    return (embeddings * weights).sum()


@pytest.mark.parametrize("embedding_dim", [None, 5])
@pytest.mark.parametrize(("kind", "pooling"), POOLINGS_OF)
@torch.no_grad()
def test_every_backbone_gives_unit_vectors_of_its_tokens(kind, pooling, embedding_dim, make_model, images):
    model = make_model(kind, pooling=pooling, embedding_dim=embedding_dim)
    output = model(images)
    assert isinstance(output, ViTRetOutput)
    assert output.embeddings.shape == (2, embedding_dim or model.config.hidden_size)
    assert output.embeddings.dtype == torch.float32
    torch.testing.assert_close(output.embeddings.norm(dim=1), torch.ones(2))

    hidden = model.backbone(images).last_hidden_state
    torch.testing.assert_close(output.last_hidden_state, hidden)
    tokens = hidden.numpy()
    if tokens.ndim == 4:
        tokens = tokens.reshape(*tokens.shape[:2], -1).swapaxes(1, 2)
    patches = tokens[:, PREFIX[kind] :]
    assert patches.shape[1] == SIDE[kind] ** 2
    pooled = tokens[:, 0] if pooling == "cls" else NUMPY_POOLINGS[pooling](patches)
    expected = torch.from_numpy(pooled.astype(np.float32))
    if kind in LATE_NORM:
        expected = getattr(model.backbone, LATE_NORM[kind])(expected)
    if embedding_dim is not None:
        expected = model.projection(expected)
    torch.testing.assert_close(output.embeddings, normalize(expected, dim=1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "pooling"),
    [
        ("clip_vision_model", "cls"),
        ("dinov2", "cls"),
        ("dinov2_with_registers", "cls"),
        ("dinov3_vit", "cls"),
        ("dinov3_convnext", "cls"),
        ("chinese_clip_vision_model", "cls"),
        ("mlcd_vision_model", "cls"),
        ("swin", "mean"),
        ("convnext", "mean"),
        ("convnextv2", "mean"),
    ],
)
@torch.no_grad()
def test_backbones_own_pooler_agrees_where_it_is_the_same_pooling(kind, pooling, make_model, images):
    model = make_model(kind, pooling=pooling)
    backbone = AutoModel.from_config(model.config.backbone_config).eval()
    backbone.load_state_dict(model.backbone.state_dict())
    torch.testing.assert_close(model(images).embeddings, normalize(backbone(images).pooler_output, dim=1))


@pytest.mark.parametrize("kind", WITHOUT_CLASS_TOKEN)
def test_cls_is_refused_where_there_is_no_class_token(kind, make_model):
    with pytest.raises(ValueError, match=f"class token.*{kind} has none: use 'mean', 'max' or 'gem'"):
        make_model(kind, pooling="cls")


def test_return_dict_false_gives_a_plain_tuple(make_model, images):
    model = make_model()
    embeddings, hidden = model(images, return_dict=False)
    output = model(images)
    assert torch.equal(embeddings, output.embeddings)
    assert torch.equal(hidden, output.last_hidden_state)


@pytest.mark.parametrize("backbone", [{"model_type": "bert"}, {"model_type": "clip"}])
def test_backbone_that_takes_no_images_alone_is_refused(backbone):
    with pytest.raises(ValueError, match=f"vision model.*{backbone['model_type']}"):
        AutoModel.from_config(ViTRetConfig({**backbone, "num_hidden_layers": 1}))


def test_gem_lies_between_mean_and_maximum():
    tokens = torch.rand(3, 10, 4, generator=torch.Generator().manual_seed(0)) + 0.1
    mean, maximum = tokens.mean(dim=1), tokens.amax(dim=1)
    torch.testing.assert_close(GeM(1.0, learnable=False)(tokens), mean)
    torch.testing.assert_close(GeM(300.0, learnable=False)(tokens.double()), maximum, rtol=0.01, atol=0)
    between = GeM(3.0, learnable=False)(tokens)
    assert (mean < between).all()
    assert (between < maximum).all()


@pytest.mark.parametrize("p", [1.0, 2.5, 3.0])
def test_gem_of_activations_that_are_not_negative_is_that_of_its_paper(p):
    tokens = torch.randn(3, 10, 4, generator=torch.Generator().manual_seed(0)).relu()
    expected = (tokens.double() ** p).mean(dim=1) ** (1 / p)
    torch.testing.assert_close(GeM(p, learnable=False)(tokens), expected.float())


def test_gem_keeps_signs():
    tokens = torch.randn(3, 10, 4, generator=torch.Generator().manual_seed(0))
    pool = GeM(3.0, learnable=False)
    torch.testing.assert_close(pool(-tokens), -pool(tokens))
    torch.testing.assert_close(pool(7.0 * tokens), 7.0 * pool(tokens))
    torch.testing.assert_close(GeM(1.0, learnable=False)(tokens), tokens.mean(dim=1))


@pytest.mark.parametrize("p", [1.0, 3.0, 20.0])
@pytest.mark.parametrize("values", [[-1.0, -1.0], [0.0, 0.0], [-1.0, 1.0], [0.0, 1e-3]])
def test_gem_stays_finite(values, p):
    tokens = torch.tensor(values)[None, :, None].requires_grad_()  # (1, 2, 1)
    pool = GeM(p, learnable=True)
    pooled = pool(tokens)
    pooled.sum().backward()
    assert pooled.isfinite().all()
    assert tokens.grad.isfinite().all()
    assert pool.p.grad.isfinite().all()


def test_every_token_moves_the_gem_of_both_signs():
    tokens = torch.randn(1, 10, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    GeM(3.0, learnable=False)(tokens).sum().backward()
    assert (tokens.grad != 0).all()


def test_gem_exponent_is_trained_only_on_request(make_model, images):
    fixed = make_model(pooling="gem", gem_p=2.5)
    assert not [name for name, _ in fixed.named_parameters() if name.startswith("gem")]
    learnable = make_model(pooling="gem", gem_p=2.5, gem_learnable=True)
    assert learnable.gem.p.item() == 2.5
    torch.testing.assert_close(learnable(images).embeddings, fixed(images).embeddings)

    def value_at(p):
        with torch.no_grad():
            learnable.gem.p.fill_(p)
            return one_number(learnable(images).embeddings.double()).item()

    one_number(learnable(images).embeddings).backward()
    slope = (value_at(2.6) - value_at(2.4)) / 0.2
    assert slope != 0
    assert learnable.gem.p.grad.item() == pytest.approx(slope, rel=0.05)


@pytest.mark.parametrize("kind", PREFIX)
@torch.no_grad()
def test_one_model_takes_other_image_sizes(kind, make_model, images):
    model = make_model(kind, pooling="mean", image_size=224)
    at_224 = model(images).embeddings
    for size in (56, 384):
        resized = torch.nn.functional.interpolate(images, size=(size, size), mode="bilinear")
        embeddings = model(resized).embeddings
        assert embeddings.shape == at_224.shape
        torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(2))
    patches = model(images[..., :112, :]).last_hidden_state  # not square either
    assert patches.isfinite().all()


@pytest.mark.parametrize("embedding_dim", [None, 5])
@pytest.mark.parametrize(("kind", "pooling"), POOLINGS_OF)
def test_every_trainable_parameter_gets_a_gradient(kind, pooling, embedding_dim, make_model, images):
    model = make_model(kind, pooling=pooling, embedding_dim=embedding_dim, gem_learnable=True).train()
    one_number(model(images[..., :112, :112]).embeddings).backward()
    trainable = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert [name for name, parameter in trainable.items() if parameter.grad is None] == []
    assert sum(bool(parameter.grad.any()) for parameter in trainable.values()) > 0.8 * len(trainable)
    assert trainable.keys() == dict(model.named_parameters()).keys(), "nothing is frozen unasked"


def test_projection_starts_orthogonal(make_model):
    weight = make_model(embedding_dim=5).projection.weight.detach()
    torch.testing.assert_close(weight @ weight.T, torch.eye(5), atol=1e-5, rtol=0)


def test_input_embeddings_are_the_backbones(make_model):
    model = make_model()
    assert model.get_input_embeddings() is model.backbone.get_input_embeddings()


@pytest.mark.parametrize("resize_mode", ["shortest_edge", "square"])
@torch.no_grad()
def test_raw_pixels_give_what_the_image_processor_gives(resize_mode, make_model):
    pixels = np.random.default_rng(0).integers(0, 256, (300, 200, 3), dtype=np.uint8)
    photos = [Image.fromarray(pixels), Image.fromarray(pixels[::-1].copy()).resize((90, 140))]
    mean, std = (0.1, 0.5, 0.7), (0.3, 0.2, 0.4)
    model = make_model(image_size=64, resize_mode=resize_mode, image_mean=mean, image_std=std)
    normalised = model.image_processor(photos, return_tensors="pt")["pixel_values"]
    raw = model.image_processor(photos, do_rescale=False, do_normalize=False, return_tensors="pt").pixel_values
    assert normalised.shape == raw.shape == (2, 3, 64, 64)
    assert raw.dtype == torch.uint8
    by_hand = (raw.numpy() / 255 - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))
    torch.testing.assert_close(normalised, torch.from_numpy(by_hand).float(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(model(raw).embeddings, model(normalised).embeddings, rtol=1e-5, atol=1e-6)


def test_image_processor_resizes_as_pillow_does(make_model):
    model = make_model(image_size=64, resize_size=80)
    noise = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    photo = Image.fromarray(noise).resize((300, 200), Image.Resampling.BICUBIC)
    raw = model.image_processor(photo, do_rescale=False, do_normalize=False, return_tensors="pt").pixel_values
    resized = np.asarray(photo.resize((120, 80), Image.Resampling.BICUBIC), dtype=np.int16)
    expected = resized[8:72, 28:92].transpose(2, 0, 1)  # the middle 64 x 64
    assert np.abs(raw[0].numpy().astype(np.int16) - expected).max() <= 1


def test_half_precision_weights_give_float32_embeddings(make_model, images):
    model = make_model(embedding_dim=8)
    expected = model(images).embeddings
    half = make_model(embedding_dim=8).to(torch.bfloat16)
    for pixels in (images, (images * 40 + 128).clamp(0, 255).to(torch.uint8)):
        assert half(pixels).embeddings.dtype == torch.float32
    embeddings = half(images).embeddings
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(2))
    assert (embeddings * expected).sum(dim=1).min() > 0.999
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model(images).embeddings.dtype == torch.float32


@pytest.mark.parametrize("embedding_dim", [None, 5])
@pytest.mark.parametrize(("kind", "pooling"), POOLINGS_OF)
@torch.no_grad()
def test_two_halves_make_the_whole(kind, pooling, embedding_dim, make_model, images):
    model = make_model(kind, pooling=pooling, embedding_dim=embedding_dim)
    whole = model(images)
    pooled, hidden = model.pool_images(images)
    assert pooled.shape == (2, model.config.hidden_size)
    assert torch.equal(hidden, whole.last_hidden_state)
    model.backbone.forward = None  # the second half must do without
    output = model(pooled=pooled)
    assert torch.equal(output.embeddings, whole.embeddings)
    assert output.last_hidden_state is None
    (embeddings,) = model(pooled=pooled, return_dict=False)
    assert torch.equal(embeddings, whole.embeddings)


def test_pooled_outputs_of_other_types_are_taken(make_model, images):
    model = make_model(embedding_dim=5)
    pooled = model.pool_images(images)[0].detach()
    expected = model(pooled=pooled).embeddings
    assert torch.nn.functional.cosine_similarity(model(pooled=pooled.bfloat16()).embeddings, expected).min() > 0.999
    assert model(pooled=pooled.double()).embeddings.dtype == torch.float32


def test_pixels_or_pooled_outputs_but_not_both(make_model, images):
    model = make_model()
    with pytest.raises(ValueError, match=r"pixel_values or, in their place, pooled .*; got neither"):
        model()
    with pytest.raises(ValueError, match=r"pixel_values or, in their place, pooled .*; got both"):
        model(images, pooled=torch.zeros(2, 32))
    for shape in ((2, 31), (32,), (2, 1, 32)):
        with pytest.raises(ValueError, match=r"of shape \(batch, 32\), from pool_images; got \(.*3"):
            model(pooled=torch.zeros(shape))
