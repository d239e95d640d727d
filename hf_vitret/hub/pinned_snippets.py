"""A card's Python, made to load one release of one repository: whoever copies it runs the code that was looked at."""

from __future__ import annotations

import ast
import re
from typing import Any

HERE = "."  # what a card beside its checkpoint loads
# What loads from the Hub: name -> the argument that names the repository, where it may be given by name.
LOADERS: dict[str, str | None] = {
    "from_pretrained": None,
    "SentenceTransformer": None,
    "load_model": None,
    "snapshot_download": "repo_id",
    "hf_hub_download": "repo_id",
    "pipeline": "model",
}
GRAPH_READER = "InferenceSession"  # of onnxruntime: reads a file of this machine
DOWNLOAD = "from huggingface_hub import hf_hub_download\n"
_BLOCK = re.compile(r"(?<=^```python\n).*?(?=^```)", re.MULTILINE | re.DOTALL)


def pin_snippets(card: str, repo_id: str, revision: str) -> str:
    r"""Let every Python block of a card load `revision` of `repo_id`.

    `"."`, the folder that a card lies in, becomes the repository where it is a variable's value or a loader's argument,
    and each call of a loader gets `revision`, or another one than it had. A graph of ONNX in the folder is downloaded.

    Args:
        card: Markdown.
        repo_id: Owner and name.
        revision: Tag, branch or commit.

    Returns:
        The card; what is no Python, and calls that load something else, are as they were.

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
    except SyntaxError:  # a fragment: there is nothing in it to copy and run
        return code
    ours: set[str] = {  # variables that stand for the checkpoint
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and _is_checkpoint(node.value, repo_id, set())
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    edits: list[tuple[int, int, str]] = []  # byte offsets, and what comes in their place
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
        if not _is_checkpoint(source, repo_id, ours):
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
    # From the end, and at one place the insertion first.
    for begin, end, new in sorted(edits, reverse=True):
        encoded = encoded[:begin] + new.encode() + encoded[end:]
    return encoded.decode()


def _graph_of(node: ast.AST) -> ast.Constant | None:
    """Return the file name of a graph that a call reads; None where it is no such call."""
    if not isinstance(node, ast.Call) or getattr(node.func, "id", None) != GRAPH_READER or not node.args:
        return None
    return node.args[0] if isinstance(node.args[0], ast.Constant) else None


def _source_of(call: ast.Call) -> ast.expr | None:
    """Return the argument of a loader that names what to load; None where it is no loader."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", None)
    if name not in LOADERS:
        return None
    keyword = LOADERS[name]
    named = next((argument.value for argument in call.keywords if keyword and argument.arg == keyword), None)
    if named is not None:
        return named
    return call.args[0] if call.args and name != "pipeline" else None


def _is_checkpoint(node: ast.expr, repo_id: str, ours: set[str]) -> bool:
    if isinstance(node, ast.Name):
        return node.id in ours
    return isinstance(node, ast.Constant) and node.value in (HERE, repo_id)
