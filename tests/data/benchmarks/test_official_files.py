"""What the loaders of official data sets share: the lines of their lists."""

import pytest

from hf_vitret.data.benchmarks.official_files import numbered_fields


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])  # "-sig": with a byte order mark
def test_the_lines_of_a_list(tmp_path, encoding):
    (tmp_path / "list.txt").write_text("image_id class\n1 größe.jpg\n\n 2  b.jpg \r\n", encoding=encoding)
    assert list(numbered_fields(tmp_path / "list.txt")) == [
        (1, ["image_id", "class"]),
        (2, ["1", "größe.jpg"]),
        (4, ["2", "b.jpg"]),
    ]
    assert [number for number, _ in numbered_fields(tmp_path / "list.txt", first_line=2)] == [2, 4]


def test_a_list_that_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"list.txt is missing: is the folder whole"):
        list(numbered_fields(tmp_path / "list.txt"))
