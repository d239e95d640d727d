"""Rewrite the Python code in a model card so that it loads one fixed revision of one repository of the Hub.

Readers who copy the code then load exactly the model and the code that the card describes.
"""

from __future__ import annotations

import ast
import re
from typing import Any

HERE = "."  # the path by which the card loads the checkpoint in its own folder
# Functions that load from the Hub -> the name of the argument for the repository, if it may be passed by keyword.
LOADERS: dict[str, str | None] = {
    "from_pretrained": None,
    "SentenceTransformer": None,
    "load_model": None,
    "snapshot_download": "repo_id",
    "hf_hub_download": "repo_id",
    "pipeline": "model",
}
GRAPH_READER = "InferenceSession"  # onnxruntime's class, which reads a local file only
DOWNLOAD = "from huggingface_hub import hf_hub_download\n"
_BLOCK = re.compile(r"(?<=^```python\n).*?(?=^```)", re.MULTILINE | re.DOTALL)


def pin_snippets(card: str, repo_id: str, revision: str) -> str:
    r"""Make every Python block of a card load `revision` of `repo_id`.

    The path `"."`, the folder of the card, is replaced by the repository where it is the value of a variable or the
    argument of a function in `LOADERS`. Each call of such a function gets the argument `revision`, in place of any
    earlier one. A call that reads an ONNX graph from the folder is changed to download the graph first.

    Args:
        card: The card in Markdown.
        repo_id: Owner and name of the repository.
        revision: A tag, branch or commit.

    Returns:
        The card. Text outside Python blocks, and calls that load something else, are unchanged.

    Example:
        >>> card = '```python\nmodel = AutoModel.from_pretrained(".", trust_remote_code=True)\n```'
        >>> print(pin_snippets(card, "ada/birds", "v2"))
        ```python
        model = AutoModel.from_pretrained("ada/birds", trust_remote_code=True, revision="v2")
        ```
    """
    return _BLOCK.sub(lambda block: _pin(block[0], repo_id, revision), card)


def _pin(code: str, repo_id: str, revision: str) -> str:
    try:
        tree = ast.parse(code)
    except SyntaxError:  # a fragment that cannot be run
        return code
    checkpoint_names: set[str] = {  # variables whose value is the checkpoint's path or repository
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and _is_checkpoint(node.value, repo_id, set())
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    edits: list[tuple[int, int, str]] = []  # start and end in bytes, and the text that replaces this range
    offsets = [0]
    for line in code.encode().splitlines(keepends=True):
        offsets.append(offsets[-1] + len(line))

    def span(node: Any) -> tuple[int, int]:
        begin, end = offsets[node.lineno - 1] + node.col_offset, offsets[node.end_lineno - 1] + node.end_col_offset
        return begin, end

    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and node.value.value == HERE:
            edits.append((*span(node.value), f'"{repo_id}"'))
        if (graph := _graph_of(node)) is not None:
            begin, end = span(graph)
            edits += [(begin, begin, f'hf_hub_download("{repo_id}", '), (end, end, f', revision="{revision}")')]
            edits += [(0, 0, DOWNLOAD)] if DOWNLOAD not in code else []
        if not isinstance(node, ast.Call) or (source := _source_of(node)) is None:
            continue
        if not _is_checkpoint(source, repo_id, checkpoint_names):
            continue
        if isinstance(source, ast.Constant):
            edits.append((*span(source), f'"{repo_id}"'))
        given = next((keyword.value for keyword in node.keywords if keyword.arg == "revision"), None)
        if given is not None:
            edits.append((*span(given), f'"{revision}"'))
        else:
            last = max([*node.args, *(keyword.value for keyword in node.keywords)], key=span)
            edits.append((span(last)[1], span(last)[1], f', revision="{revision}"'))
    encoded = code.encode()
    # Applied from the end, so that earlier offsets stay valid.
    for begin, end, new in sorted(edits, reverse=True):
        encoded = encoded[:begin] + new.encode() + encoded[end:]
    return encoded.decode()


def _graph_of(node: ast.AST) -> ast.Constant | None:
    """Return the file name of the ONNX graph that a call reads; `None` for any other node."""
    if not isinstance(node, ast.Call) or getattr(node.func, "id", None) != GRAPH_READER or not node.args:
        return None
    return node.args[0] if isinstance(node.args[0], ast.Constant) else None


def _source_of(call: ast.Call) -> ast.expr | None:
    """Return the argument of a call in `LOADERS` that names what to load; `None` for any other call."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", None)
    if name not in LOADERS:
        return None
    keyword = LOADERS[name]
    named = next((argument.value for argument in call.keywords if keyword and argument.arg == keyword), None)
    if named is not None:
        return named
    return call.args[0] if call.args and name != "pipeline" else None


def _is_checkpoint(node: ast.expr, repo_id: str, checkpoint_names: set[str]) -> bool:
    if isinstance(node, ast.Name):
        return node.id in checkpoint_names
    return isinstance(node, ast.Constant) and node.value in (HERE, repo_id)
