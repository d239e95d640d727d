"""Scripts that complete commands, options and paths, as the shells that are here read them."""

import shutil
import subprocess
from pathlib import Path

import pytest

from hf_vitret.cli.command_table import COMMANDS, command_parser
from hf_vitret.cli.completion import SHELLS, completion
from hf_vitret.cli.main import main


@pytest.mark.parametrize("shell", SHELLS)
def test_every_command_and_option_is_in_the_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--print_completion", shell]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out == completion(shell)
    for name in COMMANDS:
        assert name in out
        for action in command_parser(name)._actions:
            for text in action.option_strings:
                if text.startswith("--") and action.help != "==SUPPRESS==" and "-" not in text[2:]:
                    assert text.lstrip("-") in out, (name, text)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_reads_the_script(shell: str, tmp_path: Path) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    script = tmp_path / "script"
    script.write_text(completion(shell))
    result = subprocess.run([program, "-n", str(script)], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["hf-vitret", "sea"], {"search"}),
        (["hf-vitret", "e"], {"evaluate", "export", "embed", "env"}),
        (["hf-vitret", "search", "--min_s"], {"--min_score"}),
        (["hf-vitret", "embed", "--file_format", ""], {"parquet", "npy"}),
        (["hf-vitret", "search", "--html", "pho"], {"photos"}),
        (["hf-vitret", "train", "pho"], {"photos"}),
    ],
)
def test_bash_completes(tmp_path: Path, words: list[str], expected: set[str]) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "script").write_text(completion("bash"))
    program = (
        'source ./script; function_of() { local spec=($(complete -p hf-vitret)); echo "${spec[@]}" | '
        'grep -o -- "-F [^ ]*" | cut -c4-; }; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; '
        'COMP_POINT=${#COMP_LINE}; $(function_of) hf-vitret "${@: -1}" "${@: -2:1}"; printf \'%s\\n\' "${COMPREPLY[@]}"'
    )
    result = subprocess.run(
        ["bash", "-c", program, "bash", *words], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert {line.rstrip("/") for line in result.stdout.split()} == expected, result.stderr


def test_another_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--print_completion", "powershell"])
    assert ended.value.code == 2
    assert "invalid choice: 'powershell'" in capsys.readouterr().err
