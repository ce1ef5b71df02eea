import zipfile
from pathlib import Path

import pytest

from stsm_cli.errors import CheckpointError
from stsm_cli.models.weights_kind import check_kind, check_weights


def test_weights_that_are_not_there_name_the_way_to_some(tmp_path):
    with pytest.raises(CheckpointError, match=r"x: cannot be read \(File name too long\)"):
        check_weights(Path("x" * 256))
    with pytest.raises(CheckpointError, match=r"none\.pt: no such file of weights") as caught:
        check_weights(tmp_path / "none.pt")
    assert caught.value.hint == "`stsm convert` makes one of another project's checkpoint"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.pt", "a.pt: not a readable checkpoint (it is a text file)"),
        ("a.safetensors", "a.safetensors: not a readable safetensors file (it is a text file)"),
    ],
)
def test_text_is_no_file_of_weights(name, message, tmp_path):
    (tmp_path / name).write_text("no weights")
    with pytest.raises(CheckpointError) as caught:
        check_weights(tmp_path / name)
    assert str(caught.value).endswith(message)


def test_what_may_be_weights_passes(tmp_path):
    (tmp_path / "a.pt").write_bytes(b"\x80\x02}q\x00.")
    check_weights(tmp_path / "a.pt")


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(CheckpointError, match=r"cannot be read \(not a file\)"):
        check_kind(tmp_path)


def test_an_archive_of_an_unknown_kind_is_left_to_its_reader(tmp_path):
    path = tmp_path / "a.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", b"")
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 6] = 99  # the version that is needed to read it
    path.write_bytes(content)
    with pytest.raises(NotImplementedError), zipfile.ZipFile(path):
        pass
    check_kind(path)
