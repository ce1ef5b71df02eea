import gzip
import os
import re
import tarfile

import pytest

from stsm_cli.errors import DataError
from stsm_cli.prepare import archives
from stsm_cli.prepare.archives import Archive, unpack, was_unpacked

# with header and end 5 × 65,536 bytes: read in whole chunks, the last of which is not yet the end
WHOLE_CHUNKS = 5 * (1 << 16) - 3 * 512


@pytest.fixture
def archive(tmp_path, tar_gz):
    """An archive of members, below `archives/`, to be unpacked into `out/`."""

    def make(members, name="part_0.tar.gz", cut=None):
        path = tmp_path / "archives" / name
        path.parent.mkdir(exist_ok=True)
        content = members if isinstance(members, bytes) else tar_gz(members)
        path.write_bytes(content[:cut])
        return Archive((path,), tmp_path / "out")

    return make


def files(folder):
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    return {name: path.read_bytes() for name, path in found.items() if path.is_file()}


def videos(folder):
    return {name: data for name, data in files(folder).items() if not name.startswith(".")}


def member(name, kind=tarfile.REGTYPE, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_files_come_out_and_hidden_ones_do_not(archive):
    made = archive({"a.mp4": b"1", "./f/b.mp4": b"22", "._a.mp4": b"x", "f/.c.mp4": b"x"})
    assert unpack([made]) == 1
    assert videos(made.into) == {"a.mp4": b"1", "f/b.mp4": b"22"}


def test_an_archive_that_is_not_there(archive):
    made = archive({"a.mp4": b"1"})
    made.parts[0].unlink()
    with pytest.raises(DataError, match=re.escape(f"{made.parts[0]}: no such file")):
        unpack([made])


def test_an_archive_is_read_once(archive):
    made = archive({"a.mp4": b"1"})
    assert not was_unpacked(made)
    unpack([made])
    assert was_unpacked(made)
    (made.into / "a.mp4").unlink()
    assert unpack([made]) == 0
    assert videos(made.into) == {}


def test_another_archive_of_that_name_is_read_again(archive):
    made = archive({"a.mp4": b"1"})
    unpack([made])
    archive({"a.mp4": b"1", "b.mp4": b"2"})
    assert unpack([made]) == 1
    assert videos(made.into) == {"a.mp4": b"1", "b.mp4": b"2"}


@pytest.mark.parametrize("text", ["{", "null", "5", "[1]", '{"KEY": 5}', '{"KEY": [5]}'])
def test_a_broken_record_is_as_good_as_none(archive, text):
    made = archive({"a.mp4": b"1"})
    unpack([made])
    (made.into / ".unpacked.json").write_text(text.replace("KEY", made.key))
    assert unpack([made]) == 1


def test_an_archive_that_is_gone_is_still_known(archive):
    made = archive({"a.mp4": b"1"})
    unpack([made])
    made.parts[0].unlink()
    assert was_unpacked(made)


def test_a_file_that_is_there_or_elsewhere_is_left_alone(archive):
    made = archive({"a.mp4": b"1", "b.mp4": b"2", "c.mp4": b"3"})
    made.into.mkdir()
    (made.into / "a.mp4").write_bytes(b"mine")
    unpack([made], keep={"b.mp4"})
    assert videos(made.into) == {"a.mp4": b"mine", "c.mp4": b"3"}


def test_an_empty_file_that_a_power_cut_left_is_written_anew(archive):
    made = archive({"a.mp4": b"1", "b.mp4": b"2"})
    made.into.mkdir(parents=True)
    (made.into / "a.mp4").touch()
    (made.into / "b.mp4").write_bytes(b"mine")
    unpack([made])
    assert videos(made.into) == {"a.mp4": b"1", "b.mp4": b"mine"}


def test_parts_are_one_archive_whatever_was_cut_where(tmp_path, tar_gz):
    content = tar_gz({"a.webm": os.urandom(5000), "b.webm": b"2"})
    parts = tuple(tmp_path / f"v2-{number:02}" for number in range(3))
    for part, piece in zip(parts, (content[:1], content[1:3000], content[3000:]), strict=True):
        part.write_bytes(piece)
    made = Archive(parts, tmp_path / "out")
    assert made.num_bytes == len(content)
    assert unpack([made]) == 1
    assert videos(made.into).keys() == {"a.webm", "b.webm"}
    assert not (tmp_path / "v2-03").exists()


@pytest.mark.parametrize(
    ("info", "reason"),
    [
        (member("/etc/x.mp4"), "leads out of the folder"),
        (member("../x.mp4"), "leads out of the folder"),
        (member("a/../../x.mp4"), "leads out of the folder"),
        (member("..\\x.mp4"), "leads out of the folder"),
        (member("C:/x.mp4"), "leads out of the folder"),
        (member("x.mp4", tarfile.SYMTYPE, "/etc/passwd"), "is a link or a device"),
        (member("x.mp4", tarfile.LNKTYPE, "a.mp4"), "is a link or a device"),
        (member("x.mp4", tarfile.CHRTYPE), "is a link or a device"),
        (member("x.mp4", tarfile.FIFOTYPE), "is a link or a device"),
    ],
    ids=lambda value: f"{value.type.decode()}-{value.name}" if hasattr(value, "name") else "",
)
def test_what_may_not_be_unpacked_is_refused_by_name(archive, tmp_path, info, reason):
    made = archive({"a.mp4": b"1", "evil": info})
    message = f"{made.parts[0]}: member {info.name!r} {reason}"
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        unpack([made])
    assert "download it again" in caught.value.hint
    assert {path.name for path in tmp_path.rglob("*.mp4")} == {"a.mp4"}
    assert not was_unpacked(made)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a/" * 1500 + "x.mp4", "lies 1500 folders deep"),
        ("a/" * 40 + "x.mp4", "lies 40 folders deep"),
        ("n" * 300 + ".mp4", "cannot be written (File name too long)"),
        ("a.mp4/x.mp4", "cannot be written (File exists)"),
        ("a.mp4/b/x.mp4", "cannot be written (Not a directory)"),
    ],
    ids=["1500", "40", "long", "a file's", "below a file's"],
)
def test_a_name_that_no_disk_takes_is_told_in_one_line(archive, name, reason):
    made = archive({"a.mp4": b"1", "evil": member(name)})
    with pytest.raises(DataError, match=re.escape(reason)) as caught:
        unpack([made])
    assert str(caught.value).startswith(f"{made.parts[0]}: member '{name[:3]}")
    assert len(str(caught.value)) < len(str(made.parts[0])) + 200
    assert videos(made.into) == {"a.mp4": b"1"}


def test_a_member_whose_name_is_not_utf8_comes_out(archive):
    made = archive({"caf\udce9.mp4": b"1"})
    unpack([made])
    assert [os.fsencode(path.name) for path in made.into.glob("*.mp4")] == [b"caf\xe9.mp4"]


def test_a_file_with_holes_is_refused(archive):
    sparse = member("holes.mp4", tarfile.GNUTYPE_SPARSE)
    made = archive({"a.mp4": b"1", "holes.mp4": sparse})
    with pytest.raises(DataError, match=r"member 'holes\.mp4' is a file with holes"):
        unpack([made])


def pax(records, number=1):
    """A member behind an extended header, or several, of these bytes."""
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, len(records)
    block = header.tobuf(tarfile.USTAR_FORMAT) + records + bytes(-len(records) % 512)
    return gzip.compress(block * number + tarfile.TarInfo("x.mp4").tobuf() + bytes(1024))


@pytest.mark.parametrize(
    "content",
    [
        pax(b"99999999999999999999 path=x\n"),
        pax(b"30 GNU.sparse.map=0,one,2,three\n"),
        pax(b"20 GNU.sparse.size=x\n29 GNU.sparse.numblocks=many\n" + b"22 GNU.sparse.name=y\n"),
        pax(b"16 size=-1000000\n"),
        pax(b"11 path=a\n", number=3000),
        pax(b"11 path=a\n" + bytes(1 << 21)),
    ],
    ids=["length", "map", "numbers", "size", "many", "large"],
)
def test_headers_that_nobody_foresaw_are_damage(archive, content):
    made = archive(content)
    with pytest.raises(DataError, match=re.escape(f"{made.parts[0]}: ")):
        unpack([made])
    assert videos(made.into) == {}


def test_a_name_with_a_zero_byte_is_refused(archive):
    made = archive(pax(b"16 path=a\0b.mp4\n"))
    with pytest.raises(DataError, match=r"member 'a\\x00b\.mp4' has a name with a zero byte"):
        unpack([made])


@pytest.mark.parametrize("tail", [b"", bytes(1 << 22)], ids=["member", "tail"])
def test_what_unpacks_to_far_more_than_it_is_is_refused(archive, tar_gz, monkeypatch, tail):
    monkeypatch.setattr(archives, "_MOST_TIMES", 2)
    bomb = tar_gz({"a.mp4": b"1"} | ({} if tail else {"b.mp4": bytes(1 << 22)}))
    made = archive(gzip.compress(gzip.decompress(bomb) + tail))
    with pytest.raises(DataError, match=re.escape(f"{made.parts[0]}: holds more than 2 times its")):
        unpack([made])
    assert not (made.into / "b.mp4").exists()
    assert not was_unpacked(made)


def test_folders_in_an_archive_are_no_files(archive):
    made = archive({"f": member("f", tarfile.DIRTYPE), "f/a.mp4": b"1"})
    unpack([made])
    assert videos(made.into) == {"f/a.mp4": b"1"}


def test_a_truncated_archive_keeps_what_came_out_whole(archive):
    random = {f"{name}.mp4": os.urandom(200_000) for name in "abc"}
    made = archive(random, cut=-100_000)
    with pytest.raises(DataError, match=re.escape(f"{made.parts[0]}: ends too early")) as caught:
        unpack([made])
    assert caught.value.hint == "delete it and download it again"
    assert files(made.into) == {name: random[name] for name in ("a.mp4", "b.mp4")}
    archive(random)
    assert unpack([made]) == 1
    assert videos(made.into) == random


def test_even_the_last_byte_of_an_archive_counts(archive):
    made = archive({"a.mp4": os.urandom(WHOLE_CHUNKS)}, cut=-1)
    with pytest.raises(DataError, match=re.escape("ends too early")):
        unpack([made])


def test_a_missing_last_part_is_named_by_the_one_before(tmp_path, tar_gz):
    content = tar_gz({"a.webm": os.urandom(5000)})
    parts = (tmp_path / "v2-00", tmp_path / "v2-01")
    parts[0].write_bytes(content[:1000])
    parts[1].write_bytes(content[1000:2000])
    for there in (parts, parts[:1]):
        with pytest.raises(DataError, match=re.escape(f"{there[-1]}: ends too early")) as caught:
            unpack([Archive(there, tmp_path / "out")])
        assert "a part after it is missing" in caught.value.hint


def test_a_part_that_is_deleted_after_all_were_unpacked_is_not_missed(tmp_path, tar_gz):
    content = tar_gz({"a.webm": os.urandom(5000)})
    parts = (tmp_path / "v2-00", tmp_path / "v2-01")
    parts[0].write_bytes(content[:1000])
    parts[1].write_bytes(content[1000:])
    assert unpack([Archive(parts, tmp_path / "out")]) == 1
    parts[1].unlink()
    assert unpack([Archive(parts[:1], tmp_path / "out")]) == 0
    parts[0].write_bytes(content[:999])  # another archive's
    with pytest.raises(DataError, match="v2-00: ends too early"):
        unpack([Archive(parts[:1], tmp_path / "out")])


def test_files_are_on_the_disk_before_the_note_that_they_are_done(archive, monkeypatch):
    made, seen = archive({"a.mp4": b"1"}), []
    monkeypatch.setattr(os, "sync", lambda: seen.append(was_unpacked(made)))
    unpack([made])
    assert seen == [False]
    assert was_unpacked(made)


def test_a_damaged_archive_takes_back_what_it_gave(archive, tar_gz):
    content = bytearray(tar_gz({"a.mp4": os.urandom(WHOLE_CHUNKS)}))
    content[50_000] ^= 1  # in data that does not compress only the checksum at the end can tell
    made = archive(bytes(content))
    with pytest.raises(DataError, match=re.escape(f"{made.parts[0]}: is damaged (CRC check fail")):
        unpack([made])
    assert files(made.into) == {}


@pytest.mark.parametrize(
    "content", [b"<html>not found</html>", b"", gzip.compress(b"x" * 600, mtime=0)]
)
def test_what_is_no_archive_is_named(archive, content):
    made = archive(content)
    with pytest.raises(DataError, match=re.escape(f"{made.parts[0]}: is damaged (")) as caught:
        unpack([made])
    assert caught.value.hint == "delete it and download it again"


def test_a_full_disk_leaves_no_half_file(archive, monkeypatch):
    made = archive({"a.mp4": b"1", "b.mp4": b"2"})
    copy = archives.shutil.copyfileobj

    def full(source, target, length):
        if "b.mp4" in target.name:
            target.write(b"h")
            raise OSError(28, "No space left on device")
        copy(source, target, length)

    monkeypatch.setattr(archives.shutil, "copyfileobj", full)
    message = f"{made.parts[0]}: cannot be unpacked into {made.into} (No space left on device)"
    with pytest.raises(DataError, match=re.escape(message)):
        unpack([made])
    assert files(made.into) == {"a.mp4": b"1"}


def test_an_interrupted_archive_goes_on(archive, monkeypatch):
    made = archive({"a.mp4": b"1", "b.mp4": b"2"})
    copy = archives.shutil.copyfileobj

    def interrupt(source, target, length):
        if "b.mp4" in target.name:
            raise KeyboardInterrupt
        copy(source, target, length)

    monkeypatch.setattr(archives.shutil, "copyfileobj", interrupt)
    with pytest.raises(KeyboardInterrupt):
        unpack([made])
    assert files(made.into) == {"a.mp4": b"1"}
    monkeypatch.undo()
    assert unpack([made]) == 1
    assert videos(made.into) == {"a.mp4": b"1", "b.mp4": b"2"}


def test_the_bar_counts_what_is_read(archive):
    class Bars:
        def bar(self, label, total):
            steps.append((label, total))
            return archives.SILENT.bar(label, total)

    steps = []
    unpack([archive({"a.mp4": os.urandom(1_500_000)})], progress=Bars())
    assert steps == [("unpack (MB)", 2)]
