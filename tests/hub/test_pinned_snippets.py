"""In pinned code every call that loads from the Hub names the release, and everything else is unchanged."""

import ast
import doctest
import re

import pytest
from jinja2 import Template

from hf_vitret.hub import pinned_snippets as module
from hf_vitret.hub.model_card import TEMPLATE
from hf_vitret.hub.pinned_snippets import LOADERS, pin_snippets


def pinned(code: str) -> str:
    """Pin one block of Python between other text of a card."""
    before, after = "# Ünïcode\n\n```python\n", '```\n\nAutoModel.from_pretrained(".")\n```bash\nrun(".")\n```\n'
    card = pin_snippets(f"{before}{code}\n{after}", "ada/birds", "v2")
    assert card.startswith(before)
    assert card.endswith(after)
    return card.removeprefix(before).removesuffix("\n" + after)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ('A.from_pretrained(".")', 'A.from_pretrained("ada/birds", revision="v2")'),
        ('A.from_pretrained("ada/birds", revision="v1")', 'A.from_pretrained("ada/birds", revision="v2")'),
        ('path = "."\nA.from_pretrained(path)', 'path = "ada/birds"\nA.from_pretrained(path, revision="v2")'),
        ('é = "é"; x = load_model(".")', 'é = "é"; x = load_model("ada/birds", revision="v2")'),
        (
            'A.from_pretrained(\n    ".",\n    trust_remote_code=True,\n)',
            'A.from_pretrained(\n    "ada/birds",\n    trust_remote_code=True, revision="v2",\n)',
        ),
        (
            'pipeline("image-feature-extraction", model=".")',
            'pipeline("image-feature-extraction", model="ada/birds", revision="v2")',
        ),
        (
            'hf_hub_download(filename="a", repo_id=".")',
            'hf_hub_download(filename="a", repo_id="ada/birds", revision="v2")',
        ),
        (
            'InferenceSession("onnx/é.onnx")',
            "from huggingface_hub import hf_hub_download\n"
            'InferenceSession(hf_hub_download("ada/birds", "onnx/é.onnx", revision="v2"))',
        ),
        ('SentenceTransformer(".").encode(x)', 'SentenceTransformer("ada/birds", revision="v2").encode(x)'),
        ('A.from_pretrained("facebook/deit")', 'A.from_pretrained("facebook/deit")'),
        ('open(".")\nprint(A.from_pretrained)', 'open(".")\nprint(A.from_pretrained)'),
        ('A.from_pretrained(".', 'A.from_pretrained(".'),  # not valid Python
    ],
)
def test_code(code: str, expected: str) -> None:
    assert pinned(code) == expected
    assert pinned(expected) == expected


@pytest.mark.parametrize("needs_code", [False, True])
def test_each_call_of_our_own_card_is_pinned(needs_code: bool) -> None:
    names = {"formats": ["onnx", "sentence-transformers"], "needs_code": needs_code}
    use = TEMPLATE.read_text().partition("## Use")[2].partition("## Results")[0]
    template = Template(use).render(names, scores={"recall_at_1": 1})
    blocks = re.findall(r"```python\n(.*?)```", pin_snippets(template, "ada/birds", "v2"), re.DOTALL)
    calls = [node for block in blocks for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Call)]
    named = [call for call in calls if getattr(call.func, "attr", getattr(call.func, "id", None)) in LOADERS]
    assert len(named) >= 6
    assert '"."' not in "".join(blocks)
    assert "".join(blocks).count("trust_remote_code=True") == 1 + needs_code
    assert 'InferenceSession(hf_hub_download("ada/birds", "onnx/model.onnx", revision="v2"))' in "".join(blocks)
    for call in named:
        assert [ast.unparse(keyword.value) for keyword in call.keywords if keyword.arg == "revision"] == ["'v2'"]


def test_examples() -> None:
    assert doctest.testmod(module) == (0, 2)
