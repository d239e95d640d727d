"""Untrusted pickles: allowed content comes back complete, and hostile content is never run."""

import codecs
import collections
import copyreg
import io
import os
import pickle
import pickletools
from pathlib import Path

import numpy as np
import pytest
from numpy.testing._private.utils import runstring

from hf_vitret.data.untrusted.unpickling import load_pickle

HONEST = {
    "cids": ["a", "b\u00e9"],
    "cluster": [1, 2**70, -3],
    "pair": (1.5, None, True, b"", b"\x00\xff"),
    "set": {1, 2},
    "frozen": frozenset({"x"}),
    "nested": {"list": [[], {}, ()]},
}
ARRAYS = [
    np.arange(6, dtype=np.int64).reshape(2, 3),
    np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
    np.zeros((0, 4), dtype=">i2"),
    np.arange(3, dtype=">i4"),
    np.arange(24.0).reshape(2, 3, 4).transpose(1, 2, 0),
    np.array(["ab", "c"]),
    np.array([1, "two", [3]], dtype=object),
    np.array([(1, 2.0)], dtype=[("row", "i4"), ("score", "f8")]),
]


def write(folder: Path, content: object, protocol: int = 4) -> Path:
    path = folder / "file.pkl"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", range(6))
def test_containers_come_back(tmp_path: Path, protocol: int) -> None:
    assert load_pickle(write(tmp_path, HONEST, protocol)) == HONEST


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}")
def test_arrays_come_back(tmp_path: Path, protocol: int, array: np.ndarray) -> None:
    path = write(tmp_path, {"easy": [array]}, protocol)
    found, trusted = load_pickle(path)["easy"][0], pickle.loads(path.read_bytes())["easy"][0]
    assert (found.dtype, found.shape) == (trusted.dtype, trusted.shape)
    assert found.tolist() == array.tolist()


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("scalar", [np.float32(1.5), np.int64(-7), np.bool_(True), np.str_("ab")], ids=repr)
def test_scalars_come_back(tmp_path: Path, protocol: int, scalar: np.generic) -> None:
    found = load_pickle(write(tmp_path, scalar, protocol))
    assert found == scalar
    assert found.dtype == scalar.dtype


def test_both_spellings_of_numpys_modules(tmp_path: Path) -> None:
    content = pickle.dumps(ARRAYS[0], protocol=0)
    for old, new in ((b"numpy._core", b"numpy.core"), (b"numpy.core", b"numpy._core")):
        (tmp_path / "file.pkl").write_bytes(content.replace(old, new))
        assert load_pickle(tmp_path / "file.pkl").tolist() == ARRAYS[0].tolist()


def test_a_file_of_python_2(tmp_path: Path) -> None:
    # As Python 2 wrote it: text without a coding, and a long number.
    (tmp_path / "old.pkl").write_bytes(b"(dp0\nS'cid'\np1\nS'caf\\xe9'\np2\nsS'n'\np3\nL3L\ns.")
    assert load_pickle(tmp_path / "old.pkl") == {"cid": "caf\u00e9", "n": 3}


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.call


def attacks(target: Path) -> dict[str, object]:
    run = f"open({str(target)!r}, 'w').close()"
    return {
        "os.system": Calls(os.system, f"touch {target}"),
        "builtins.eval": Calls(eval, run),
        "builtins.exec": Calls(exec, run),
        "builtins.getattr": Calls(getattr, "text", "format"),
        "builtins.open": Calls(open, str(target), "w"),
        "io.open_code": Calls(io.open_code, str(target)),
        "numpy.load": Calls(np.load, str(target), None, True),
        "numpy.fromfile": Calls(np.fromfile, str(target)),
        "collections.OrderedDict": collections.OrderedDict(a=1),
        "numpy.memmap": Calls(np.memmap, str(target), "u1", "w+", 0, (4,)),
        "numpy.testing._private.utils.runstring": Calls(runstring, run, {}),
        "copyreg.add_extension": Calls(copyreg.add_extension, "os", "system", 7),
        "copyreg._reconstructor": Calls(copyreg._reconstructor, object, object, None),
    }


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", attacks(Path("x")))
def test_attacks_are_refused_by_name_and_do_not_run(tmp_path: Path, name: str, protocol: int) -> None:
    target = tmp_path / "was here"
    path = write(tmp_path, {"cids": [attacks(target)[name]]}, protocol)
    with pytest.raises(ValueError, match=r"asks for [\w.]+, which is no built-in container .* nothing was run"):
        load_pickle(path)
    assert not target.exists()


def program(*opcodes: bytes) -> bytes:
    content = b"".join(opcodes) + b"."
    pickletools.dis(content, out=io.StringIO())  # it is well formed
    return content


@pytest.mark.parametrize(
    "content",
    [
        program(b"cnumpy\nndarray\n", b"(I1000000000000000\ntR"),  # an array of a petabyte
        program(b"cnumpy.core.multiarray\n_reconstruct\n", b"(cnumpy\nndarray\n(I1000000000000000\ntS'b'\ntR"),
        program(b"cnumpy.core.multiarray\n_reconstruct\n", b"(c__builtin__\nset\n(I0\ntS'b'\ntR"),
        program(b"cnumpy.core.multiarray\nscalar\n", b"(cnumpy\ndtype\n(S'O8'\ntRS'AAAAAAAA'\ntR"),  # bytes as address
        program(b"cnumpy.core.numeric\n_frombuffer\n", b"(S'AAAAAAAA'\nS'O'\n(I1\ntS'C'\ntR"),
        program(b"c__builtin__\nbytes\n", b"(I1000000000000000\ntR"),
        program(b"c_codecs\nencode\n", b"(S'xx'\nS'rot13'\ntR"),
        program(b"cos\nsystem\n"),  # not even called
        program(b"Pan id of a persistent object\n"),
    ],
)
def test_misuse_of_what_is_allowed_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file.pkl").write_bytes(content)
    with pytest.raises(ValueError, match=r"file\.pkl (asks for|is no pickle)"):
        load_pickle(tmp_path / "file.pkl")


# What numpy's own pickles call; its modules moved between versions.
RECONSTRUCT = np.arange(1).__reduce__()[0]
SCALAR = np.int64(1).__reduce__()[0]
FROMBUFFER = np.arange(1).__reduce_ex__(5)[0]


class Built:
    """Pickles as a call whose result is then given a state."""

    def __init__(self, function: object, arguments: tuple[object, ...], state: object) -> None:
        self.steps = function, arguments, state

    def __reduce__(self) -> tuple[object, tuple[object, ...], object]:
        return self.steps


def record(name: str, offset: int, flags: int, size: int = 8) -> Built:
    return Built(np.dtype, ("V8", False, True), (3, "|", None, ("a",), {"a": (np.dtype(name), offset)}, size, 1, flags))


def dtype_of(name: str, size: int = -1, fields: dict[str, object] | None = None, version: int = 3) -> Built:
    state = (version, "<", None, tuple(fields) if fields else None, fields, size, -1, 0)
    return Built(np.dtype, (name, False, True), state + ({},) * (version - 3))


def array_of(dtype: object, content: object, shape: tuple[int, ...] = (1,)) -> Built:
    return Built(RECONSTRUCT, (np.ndarray, (0,), b"b"), (1, shape, dtype, False, content))


MEMORY_ATTACKS = {
    # All of these numpy itself takes, and reads or frees foreign memory when the array is looked at.
    "objects that claim to be none": array_of(record("O", 0, flags=0), b"\x01" * 8),
    "a field beyond the end": array_of(record("i8", 10**6, flags=16), bytes(8)),
    "a record that grows": array_of(record("i8", 0, flags=16, size=10**6), bytes(8)),
    "text that grows": array_of(
        Built(np.dtype, ("S8", False, True), (3, "|", None, None, None, 10**6, 1, 0)), b"8" * 8
    ),
    "numbers with fields": Built(
        np.dtype, ("i8", False, True), (3, "<", None, ("a",), {"a": (np.dtype("O"), 0)}, 8, 1, 0)
    ),
    "rows beyond the content": array_of(np.dtype("i8"), bytes(8), (2,)),
    "rows of nothing": array_of(np.dtype("S0"), b"", (10**15,)),
    "a negative shape": array_of(np.dtype("i8"), bytes(8), (-1, -1)),
    "text in the place of objects": array_of(np.dtype("O"), b"12345678"),
    "too few objects": array_of(np.dtype("O"), [1], (2,)),
    "records of objects": np.zeros(1, dtype=[("a", "O")]),
    "a scalar of objects": Calls(SCALAR, np.dtype("O"), b"12345678"),
    "a scalar beyond its content": Calls(SCALAR, np.dtype("i8"), b"1234"),
    "an array over another one": Calls(FROMBUFFER, np.arange(3), np.dtype("i8"), (3,), "C"),
    "objects in a buffer": Calls(FROMBUFFER, b"12345678", np.dtype("O"), (1,), "C"),
    "metadata": dtype_of("i8", version=4),
    "a dtype of several": Calls(np.dtype, "i8,O"),
    "a dtype of a class": Calls(np.dtype, {"names": ["a"], "formats": ["O"]}),
}


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("name", MEMORY_ATTACKS)
def test_arrays_that_lie_about_their_memory_are_refused(tmp_path: Path, name: str, protocol: int) -> None:
    with pytest.raises(ValueError, match=r"(asks for (a )?numpy|asks for an? |is damaged)"):
        load_pickle(write(tmp_path, MEMORY_ATTACKS[name], protocol))


def test_an_array_is_given_its_content_once(tmp_path: Path) -> None:
    # The second BUILD would free the memory that the first one gave.
    content = pickle.dumps(np.arange(3), protocol=2)
    state = content[content.rindex(b"(K\x01") : content.rindex(b"b")]  # the mark of its state to before BUILD
    (tmp_path / "file.pkl").write_bytes(content[:-1] + state + b"b.")
    with pytest.raises(ValueError, match=r"asks for a numpy array of shape"):
        load_pickle(tmp_path / "file.pkl")


@pytest.mark.parametrize(
    "name", [b"numpy\ndtype", b"numpy.core.multiarray\nscalar", b"_codecs\nencode", b"builtins\nset"]
)
def test_what_is_allowed_cannot_be_changed(tmp_path: Path, name: bytes) -> None:
    content = program(b"c" + name + b"\n", b"(N}S'__defaults__'\n(I1\ntsS'x'\n0tb")
    (tmp_path / "file.pkl").write_bytes(content)
    with pytest.raises(ValueError, match=r"asks for a change of the state of (function|type)"):
        load_pickle(tmp_path / "file.pkl")


def test_extensions_of_the_process_are_out_of_reach(tmp_path: Path) -> None:
    copyreg.add_extension("os", "system", 243)
    try:
        content = program(b"\x80\x02", b"\x82\xf3")  # EXT1 243
        assert pickle.loads(content) is os.system  # which is now cached
        (tmp_path / "file.pkl").write_bytes(content)
        with pytest.raises(ValueError, match=r"asks for copyreg's extension 243"):
            load_pickle(tmp_path / "file.pkl")
    finally:
        copyreg.remove_extension("os", "system", 243)


def test_objects_in_arrays_go_through_the_same_gate(tmp_path: Path) -> None:
    target = tmp_path / "was here"
    hostile = np.array([1, Calls(os.system, f"touch {target}")], dtype=object)
    with pytest.raises(ValueError, match=r"asks for \w+\.system"):
        load_pickle(write(tmp_path, hostile))
    assert not target.exists()


@pytest.mark.parametrize("content", [b"", b"not a pickle", pickle.dumps(HONEST)[:-9], codecs.encode("x", "utf-16")])
def test_damage_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file.pkl").write_bytes(content)
    with pytest.raises(ValueError, match=r"file\.pkl is no pickle, or is damaged"):
        load_pickle(tmp_path / "file.pkl")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_pickle(tmp_path / "file.pkl")
