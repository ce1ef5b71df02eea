"""Trees of small real videos, archives made of them, and a server that misbehaves on request."""

import hashlib
import io
import json
import re
import struct
import tarfile
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import av
import numpy as np
import pytest

from stsm_cli.errors import DataError
from stsm_cli.prepare.download import Download, download_files
from stsm_cli.prepare.folder import list_folder

CLIPS = {  # by split: class and name; youtube ids have 11 characters
    "train": {
        "archery": ["aaaaaaaaaaa_000001_000011", "a-_aaaaaaa2_000010_000020"],
        "playing guitar": ["_uitar00001_000000_000010", "guitar00002_000100_000110"],
        "massaging person's head": ["massage0001_000002_000012"],
    },
    "val": {
        "archery": ["archeryval1_000003_000013"],
        "playing guitar": ["guitarval01_000004_000014"],
        "massaging person's head": ["massageval1_000005_000015"],
    },
}


@pytest.fixture(scope="session")
def clip_bytes():
    """Three different videos, 32×32, of 8 frames."""
    return [_encode(shade) for shade in (40, 120, 200)]


@pytest.fixture
def plant(tmp_path, clip_bytes):
    """Makes files below a folder: `plant({path: text, bytes, or None for a video of its own})`."""

    def make(files, root=tmp_path / "data"):
        root.mkdir(exist_ok=True)
        for number, (path, content) in enumerate(files.items()):
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                content = clip_bytes[number % 3] + struct.pack(">I4sI", 12, b"free", number)
            target.write_bytes(content.encode() if isinstance(content, str) else content)
        return root

    return make


@pytest.fixture(scope="session")
def by_path():
    """The class of each video of a listing's split: `by_path(listing, split)`."""

    def do(listing, split):
        return {video.path: listing.classes[video.label] for video in listing.splits[split]}

    return do


@pytest.fixture(scope="session")
def error():
    """What `list_folder(root, **options)` fails with."""

    def do(root, **options):
        with pytest.raises(DataError) as caught:
            list_folder(root, **options)
        return caught.value

    return do


@pytest.fixture(scope="session")
def tar_gz():
    """Archives: `tar_gz({name: bytes, or a TarInfo as it is})`."""
    return _tar_gz


@pytest.fixture(scope="session")
def k400_csv():
    """The annotations of a split as CVDF writes them."""
    return _k400_csv


@pytest.fixture(scope="session")
def cvdf(clip_bytes):
    """A miniature of CVDF's tree: from the path below its base URL to the bytes there.

    One listed training clip is absent, one is corrupted and among the replacements.
    """
    official = "https://s3.amazonaws.com/kinetics/400"
    first, second, third = clip_bytes
    train = [name for names in CLIPS["train"].values() for name in names]
    val = [name for names in CLIPS["val"].values() for name in names]
    parts = {
        "train/part_0.tar.gz": {f"{name}.mp4": first for name in train[:2]} | {"._x.mp4": b"mac"},
        "train/part_1.tar.gz": {f"./{name}.mp4": second for name in train[2:4]},
        "val/part_0.tar.gz": {f"{name}.mp4": third for name in val},
    }
    parts["train/part_1.tar.gz"][f"./{train[3]}.mp4"] = b"corrupted"
    replacement = {f"replacement_for_corrupted_k400/{train[3]}.mp4": third}
    tree = {path: _tar_gz(members) for path, members in parts.items()}
    tree["replacement_for_corrupted_k400.tgz"] = _tar_gz(replacement)
    for split in ("train", "val"):
        urls = [f"{official}/{path}" for path in parts if path.startswith(split)]
        tree[f"{split}/k400_{split}_path.txt"] = "\n".join(urls).encode()
        tree[f"annotations/{split}.csv"] = _k400_csv(split).encode()
    return tree


@pytest.fixture
def server(monkeypatch):
    """A web server on this machine; see `Server`."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    http.daemon_threads = True
    http.state = state = Server(f"http://127.0.0.1:{http.server_address[1]}")
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    state.released.set()
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.fixture
def fetch(server, tmp_path):
    """Download `names` from the server into `disk/`; the files that are there afterwards."""

    def run(*names, **options):
        items = [Download(f"{server.url}/{name}", disk / name) for name in names]
        download_files(items, **{"pause_seconds": 0.0, "retries": run.retries} | options)
        return {path.relative_to(disk).as_posix() for path in disk.rglob("*") if path.is_file()}

    disk = tmp_path / "disk"
    run.disk, run.retries = disk, 2
    return run


@pytest.fixture
def put_part(fetch):
    """Leaves the beginning of the file `a`, of a version, as a command that was stopped does."""

    def put(content, version):
        fetch.disk.mkdir()
        (fetch.disk / "a.part").write_bytes(content)
        (fetch.disk / "a.part.json").write_text(json.dumps({"validator": version}))

    return put


@dataclass
class Server:
    """What the server has, does wrong, and was asked.

    Attributes:
        url: Its address.
        files: From path to content.
        faults: For each path what happens to its next GETs, in order: `cut:N` after N bytes,
            `stall:N` until released, `piece:N` of a range, `drop` without an answer, a status,
            `ignore-range`, `shift`, `partial`: status 206 whatever was asked for.
        headers: For each path headers that replace the true ones; None leaves one out.
        announced: For each path a size to state to HEAD; None states none.
        moved: From path to the one that it is redirected to.
        log: (method, path, Range, status) of each request.
    """

    url: str
    files: dict = field(default_factory=dict)
    faults: dict = field(default_factory=dict)
    headers: dict = field(default_factory=dict)
    announced: dict = field(default_factory=dict)
    moved: dict = field(default_factory=dict)
    log: list = field(default_factory=list)
    reached: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def requests(self, method="GET"):
        return [(path, span, status) for m, path, span, status in self.log if m == method]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        state, path = self.server.state, self.path.lstrip("/")
        if path in state.moved:
            return self._move(state.moved[path])
        if path not in state.files:
            return self._status(404)
        size = state.announced.get(path, len(state.files[path]))
        if size == "no HEAD":
            return self._status(405)
        state.log.append(("HEAD", path, None, 200))
        self.send_response(200)
        if size is not None:
            self.send_header("Content-Length", str(size))
        self.end_headers()

    def do_GET(self):
        state, path = self.server.state, self.path.lstrip("/")
        fault = state.faults[path].pop(0) if state.faults.get(path) else ""
        if path in state.moved:
            self._move(state.moved[path])
        elif fault == "drop":
            self.close_connection = True
            state.log.append(("GET", path, self.headers["Range"], 0))
        elif fault.isdecimal():
            self._status(int(fault))
        elif path not in state.files:
            self._status(404)
        else:
            self._send(state, path, fault)

    def _move(self, path):
        self.send_response(302)
        self.send_header("Location", f"/{path}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _status(self, status):
        self.server.state.log.append(
            (self.command, self.path.lstrip("/"), self.headers["Range"], status)
        )
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, state, path, fault):
        body = state.files[path]
        headers = {"ETag": f'"{hashlib.md5(body).hexdigest()}"'} | state.headers.get(path, {})
        versions = [headers.get("ETag", "W/"), headers.get("Last-Modified")]
        versions = versions[1:] if str(versions[0]).startswith("W/") else versions
        span = self.headers["Range"]
        start = int(re.fullmatch(r"bytes=(\d+)-", span)[1]) if span else 0
        if fault == "ignore-range" or self.headers["If-Range"] not in versions:
            start = 0
        status = 206 if start or fault.startswith("partial") else 200
        if start >= len(body):
            status, headers["Content-Range"] = 416, f"bytes */{len(body)}"
        elif status == 206:
            shown = start + (fault == "shift")
            headers.setdefault("Content-Range", f"bytes {shown}-{len(body) - 1}/{len(body)}")
        state.log.append(("GET", path, span, status))
        end = start + int(fault[6:]) if fault.startswith("piece:") else None
        end = int(fault[8:]) if fault.startswith("partial:") else end
        self._write(state, status, headers, body[start:end] or b"no such range", fault)

    def _write(self, state, status, headers, body, fault):
        self.send_response(status)
        for name, value in ({"Content-Length": len(body)} | headers).items():
            if value is not None:
                self.send_header(name, str(value))
        self.end_headers()
        kind, _, count = fault.partition(":")
        self.wfile.write(body[: int(count)] if count else body)
        self.wfile.flush()
        if kind == "stall":
            state.reached.set()
            state.released.wait(0.2)
            self.wfile.write(body[int(count) :])
        self.close_connection = bool(count) or headers.get("Content-Length", 0) is None


def _encode(shade):
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=8)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for number in range(8):
            picture = np.full((32, 32, 3), shade + number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode())
    return file.getvalue()


def _tar_gz(members):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                tar.addfile(content)
            else:
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return file.getvalue()


def _k400_csv(split):
    lines = ["label,youtube_id,time_start,time_end,split"]
    for class_name, names in CLIPS[split].items():
        for name in names:
            start, end = (int(number) for number in name[12:].split("_"))
            lines.append(f'"{class_name}",{name[:11]},{start},{end},{split}')
    return "\n".join(lines) + "\n"
