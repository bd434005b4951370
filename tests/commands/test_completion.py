"""The completion script, as bash uses it, and that the other shells' are made."""

import shutil
import subprocess

import pytest

from inpaintzoo.commands import COMMANDS, main


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    from contextlib import redirect_stdout

    path = tmp_path_factory.mktemp("completion") / "inpaintzoo.bash"
    with path.open("w") as out, redirect_stdout(out):
        assert main(["completion", "bash"]) == 0
    return path


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash")
def test_bash_completes_commands_options_values_and_configs(script, tmp_path):
    (tmp_path / "spare.yaml").write_text("")
    cases = {
        "": set(COMMANDS),
        "fit --trainer.max_ep": {"--trainer.max_epochs"},
        "doctor --ema.de": {"--ema.decay"},
        "fit --config sp": {
            "spl",
            "spl_as_released",
            "spn",
            "spn_as_released",
            "spn_probabilistic",
            "spn_probabilistic_as_released",
            "spare.yaml",
        },
        "benchmark --config bench": {
            "benchmark/aff_table41",
            "benchmark/fills",
            "benchmark/folder",
            "benchmark/pyramid_sweeps",
            "benchmark/quickstart",
        },
        "inpaint --strategy t": {"tile"},
        "inpaint --model spa": {"spare.yaml"},
        "list ob": {"objectives"},
        "masks ": {"make", "bin", "pair", "show"},
        "completion z": {"zsh"},
    }
    lines = [f"source {script}"]
    for typed in cases:
        words = ["inpaintzoo", *typed.split(" ")]
        quoted = " ".join(f"'{word}'" for word in words)
        lines += [f"COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; COMPREPLY=(); _shtab_inpaintzoo"]
        lines += ['echo "${COMPREPLY[*]}"']
    ran = subprocess.run(["bash", "-c", "\n".join(lines)], cwd=tmp_path, capture_output=True, text=True, check=True)
    found = [set(line.split()) for line in ran.stdout.splitlines()]
    for (typed, expected), given in zip(cases.items(), found, strict=True):
        assert expected <= given and (not typed or given <= expected | {"-h", "--help"}), typed
    assert not ran.stderr


@pytest.mark.parametrize("shell", ["zsh", "tcsh", "fish"])
def test_other_shells_have_a_script(shell, capsys):
    assert main(["completion", shell]) == 0
    out = capsys.readouterr().out
    assert all(command in out for command in COMMANDS) and "trainer.max_epochs" in out


def test_a_shell_that_is_not_known(capsys):
    assert main(["completion", "cmd"]) == 2
    assert "bash, zsh" in capsys.readouterr().err
