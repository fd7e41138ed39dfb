"""Static look-up: what is found, what never is, and what happens when files change."""

from __future__ import annotations

import gzip
import os
import threading
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skitai.errors import ConfigError
from skitai.handlers import static_files
from skitai.handlers.static_files import ADD_SLASH, StaticDirectory, StaticFile, StaticRoot
from skitai.wire.dates import parse_date

LONG_AGO = 1_000_000_000


def write(path: Path, content: str | bytes = "x", mtime: float = LONG_AGO) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    os.utime(path, (mtime, mtime))
    return path


@pytest.fixture
def public(tmp_path: Path) -> Path:
    write(tmp_path / "secret.txt", "secret")
    write(tmp_path / "public2" / "neighbour.txt", "secret")
    root = tmp_path / "public"
    write(root / "index.html", "<h1>home</h1>")
    write(root / "css" / "main.css", "body {}")
    write(root / "docs" / "index.html", "html")
    write(root / "docs" / "index.htm", "htm")
    write(root / ".env", "secret")
    write(root / ".git" / "config", "secret")
    write(root / ".well-known" / "security.txt", "contact")
    write(root / "a b" / "한글.txt", "hangul")
    write(root / "back\\slash.txt", "secret")
    return root


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of this test are as good as old ones: they are cached without waiting for seconds."""
    monkeypatch.setattr(static_files, "_SETTLED", -10.0)


def get(root: StaticRoot | StaticDirectory, path: str) -> StaticFile:
    found = root.find(path)
    assert isinstance(found, StaticFile), path
    return found


def test_a_file_is_described(public: Path) -> None:
    path = write(public / "css" / "main.css", "body {}", LONG_AGO + 0.5)
    found = get(StaticRoot(str(public)), "css/main.css")
    assert found.path == str(path)
    assert found.size == 7
    assert found.mtime == LONG_AGO + 0.5
    assert found.etag == f'"7-{path.stat().st_mtime_ns:x}"'
    assert found.last_modified == "Sun, 09 Sep 2001 01:46:40 GMT"
    assert found.content_type == "text/css; charset=utf-8"
    assert found.encoding == ""
    assert found.content == b"body {}"
    assert found.variants == {}


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("a.html", "text/html; charset=utf-8"),
        ("a.TXT", "text/plain; charset=utf-8"),
        ("a.js", "text/javascript; charset=utf-8"),
        ("a.mjs", "text/javascript; charset=utf-8"),
        ("a.json", "application/json"),
        ("a.png", "image/png"),
        ("a.svg", "image/svg+xml"),
        ("a.wasm", "application/wasm"),
        ("a.woff2", "font/woff2"),
        ("a.webmanifest", "application/manifest+json"),
        ("a.tar.gz", "application/gzip"),
        ("a.tgz", "application/gzip"),
        ("a.unheard-of", "application/octet-stream"),
        ("noextension", "application/octet-stream"),
        ("data:text,html", "application/octet-stream"),
    ],
)
def test_content_types_come_from_the_extension(
    tmp_path: Path, name: str, content_type: str
) -> None:
    write(tmp_path / name)
    assert get(StaticRoot(str(tmp_path)), name).content_type == content_type


ESCAPES = [
    "../secret.txt",
    "css/../../secret.txt",
    "css/../index.html",
    "..",
    "../",
    ".",
    "./index.html",
    "css/./main.css",
    "css//main.css",
    "//index.html",
    "/index.html",
    "/etc/passwd",
    "//etc/passwd",
    "../public2/neighbour.txt",
    "2/neighbour.txt",
    "..\\secret.txt",
    "css\\main.css",
    "css\\..\\..\\secret.txt",
    "back\\slash.txt",
    "C:\\secret.txt",
    "index.html\0",
    "index.html\0.png",
    "\0",
    "css/main.css/",
    "css/main.css/index.html",
    "index.html/..",
    ".env",
    ".git/config",
    "css/.hidden",
    "..../secret.txt",
    "...",
    "~/secret.txt",
    "css/main.css ",
    "css/main.css.",
    "\udc80",
    "\ud800",
    "%2e%2e/secret.txt",
    "x" * 5000,
    "css/" + "x" * 300,
    "a/" * 3000,
]


@pytest.mark.parametrize("recheck", [0.0, 3600.0])
@pytest.mark.parametrize("path", ESCAPES)
def test_no_path_leaves_the_root(public: Path, path: str, recheck: float) -> None:
    root = StaticRoot(str(public), recheck)
    assert root.find(path) is None
    assert StaticDirectory("/", [root]).find("/" + path) is None
    assert StaticDirectory("/static", [root]).find("/static/" + path) is None


@pytest.mark.parametrize(
    "url",
    [
        "/%2e%2e/secret.txt",
        "/%2E%2E%2Fsecret.txt",
        "/..%2fsecret.txt",
        "/css/..%2f..%2fsecret.txt",
        "/%2fetc/passwd",
        "/..%5csecret.txt",
        "/%252e%252e/secret.txt",
        "/..%252fsecret.txt",
        "/%c0%ae%c0%ae/secret.txt",
        "/%uff0e%uff0e/secret.txt",
        "/．．/secret.txt",
        "/index.html%00.png",
        "/%2eenv",
    ],
)
def test_no_encoding_leaves_the_root(public: Path, url: str) -> None:
    directory = StaticDirectory("/", [StaticRoot(str(public))])
    assert directory.find(unquote(url)) is None
    assert directory.find(unquote(url, errors="surrogateescape")) is None


@given(
    st.lists(
        st.sampled_from(["..", ".", "/", "\\", "\0", "css", "secret.txt", "public2", "%2e", " "])
    )
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_found_is_inside(public: Path, parts: list[str]) -> None:
    found = StaticRoot(str(public)).find("".join(parts))
    if isinstance(found, StaticFile):
        assert Path(found.path).is_relative_to(public)
        assert found.content != b"secret"


def test_well_known_and_unusual_names_are_served(public: Path) -> None:
    root = StaticRoot(str(public))
    assert get(root, ".well-known/security.txt").content == b"contact"
    assert get(root, "a b/한글.txt").content == b"hangul"


def test_links_inside_the_root_are_followed_and_links_out_are_not(public: Path) -> None:
    (public / "inside.css").symlink_to("css/main.css")
    (public / "styles").symlink_to(public / "css")
    (public / "out.txt").symlink_to("../secret.txt")
    (public / "outside").symlink_to("../public2")
    (public / "up").symlink_to("..")
    (public / "env.txt").symlink_to(".env")
    (public / "loop").symlink_to("loop")
    (public / "broken").symlink_to("nowhere")
    root = StaticRoot(str(public))
    assert get(root, "inside.css").path == str(public / "css" / "main.css")
    assert get(root, "styles/main.css").content == b"body {}"
    for path in ("out.txt", "outside/neighbour.txt", "up/secret.txt", "env.txt", "loop", "broken"):
        assert root.find(path) is None, path


def test_a_link_turned_outwards_is_no_longer_found(public: Path, at_once: None) -> None:
    link = public / "link.txt"
    link.symlink_to("css/main.css")
    root = StaticRoot(str(public), recheck=3600)
    assert root.find("link.txt") is get(root, "link.txt")
    link.unlink()
    link.symlink_to("../secret.txt")
    assert root.find("link.txt") is None


def test_a_root_may_be_a_link(public: Path) -> None:
    link = public.parent / "current"
    link.symlink_to(public)
    assert get(StaticRoot(str(link)), "css/main.css").path == str(public / "css" / "main.css")


def test_only_regular_files_are_found(public: Path) -> None:
    os.mkfifo(public / "pipe")
    root = StaticRoot(str(public))
    assert root.find("pipe") is None
    assert root.find("css") is None
    assert root.find("css/") is None
    assert root.find("missing.txt") is None
    assert root.find("missing/missing.txt") is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_files_are_not_found(public: Path) -> None:
    (public / "index.html").chmod(0)
    assert StaticRoot(str(public)).find("index.html") is None


def test_directories_answer_with_their_index(public: Path) -> None:
    root = StaticRoot(str(public))
    assert get(root, "").content == b"<h1>home</h1>"
    assert get(root, "docs/").content == b"htm"
    assert root.find("docs") is ADD_SLASH
    assert root.find("css") is None
    assert get(root, "docs/index.html").content == b"html"


def test_precompressed_siblings_are_offered(public: Path) -> None:
    css = public / "css" / "main.css"
    write(css.with_name("main.css.gz"), gzip.compress(b"body {}"))
    write(css.with_name("main.css.br"), "br", LONG_AGO + 5)
    found = get(StaticRoot(str(public)), "css/main.css")
    assert list(found.variants) == ["br", "gzip"]
    zipped = found.variants["gzip"]
    assert gzip.decompress(zipped.content or b"") == b"body {}"
    assert zipped.content_type == found.content_type
    assert zipped.encoding == "gzip"
    assert len({found.etag, zipped.etag, found.variants["br"].etag}) == 3


def test_stale_hidden_and_foreign_siblings_are_not_offered(public: Path) -> None:
    css = public / "css" / "main.css"
    write(css.with_name("main.css.gz"), "old", LONG_AGO - 1)
    css.with_name("main.css.br").symlink_to(public.parent / "secret.txt")
    write(public / "docs" / "index.htm.gz" / "directory")
    root = StaticRoot(str(public))
    assert get(root, "css/main.css").variants == {}
    assert get(root, "docs/").variants == {}


def test_a_sibling_does_not_replace_its_original(public: Path) -> None:
    write(public / "lonely.css.gz", "z")
    root = StaticRoot(str(public))
    assert root.find("lonely.css") is None
    assert get(root, "lonely.css.gz").content_type == "application/gzip"


def test_known_files_come_from_the_cache(public: Path, at_once: None) -> None:
    root = StaticRoot(str(public), recheck=3600)
    assert root.find("css/main.css") is get(root, "css/main.css")
    assert root.find("docs/") is get(root, "docs/")


def test_fresh_files_are_not_trusted_to_stay(public: Path) -> None:
    root = StaticRoot(str(public), recheck=3600)
    assert root.find("css/main.css") is not get(root, "css/main.css")


@pytest.mark.parametrize("recheck", [0.0, 3600.0])
def test_changed_and_removed_files_are_noticed_at_once(
    public: Path, at_once: None, recheck: float
) -> None:
    css = public / "css" / "main.css"
    root = StaticRoot(str(public), recheck)
    before = get(root, "css/main.css")
    write(css, "p { }  ", LONG_AGO + 1)
    after = get(root, "css/main.css")
    assert after.content == b"p { }  "
    assert after.etag != before.etag
    write(css.with_name("new"), "new    ", LONG_AGO + 1).replace(css)
    assert get(root, "css/main.css").content == b"new    "
    css.unlink()
    assert root.find("css/main.css") is None


def test_new_names_are_noticed_without_recheck_time(public: Path, at_once: None) -> None:
    root = StaticRoot(str(public), recheck=0)
    assert root.find("later.txt") is None
    assert get(root, "css/main.css").variants == {}
    write(public / "later.txt", "later")
    write(public / "css" / "main.css.gz")
    assert get(root, "later.txt").content == b"later"
    assert list(get(root, "css/main.css").variants) == ["gzip"]


def test_roots_with_many_names_are_searched_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(static_files, "_MAX_NAMES", 3)
    for number in range(5):
        write(tmp_path / f"{number}.txt")
    root = StaticRoot(str(tmp_path))
    assert [get(root, f"{number}.txt").size for number in range(5)] == [1] * 5
    assert root.find("5.txt") is None
    assert root.find("") is None


def test_large_files_are_opened_not_held(public: Path) -> None:
    write(public / "big.bin", b"x" * (static_files.CONTENT_LIMIT + 1))
    write(public / "small.bin", b"x" * static_files.CONTENT_LIMIT)
    root = StaticRoot(str(public))
    assert get(root, "small.bin").content == b"x" * static_files.CONTENT_LIMIT
    big = get(root, "big.bin")
    assert big.content is None
    descriptor = big.open()
    try:
        assert os.fstat(descriptor).st_size == big.size
        assert not os.get_inheritable(descriptor)
    finally:
        os.close(descriptor)


def test_a_file_that_changed_after_the_look_up_is_not_opened(public: Path) -> None:
    found = get(StaticRoot(str(public)), "css/main.css")
    path = write(public / "css" / "main.css", "longer than before")
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError, match="changed"):
        found.open()
    path.unlink()
    with pytest.raises(FileNotFoundError):
        found.open()
    path.symlink_to(public.parent / "secret.txt")
    with pytest.raises(OSError, match=r"\w"):
        found.open()
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_cache_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: None
) -> None:
    monkeypatch.setattr(static_files, "CACHE_FILES", 10)
    monkeypatch.setattr(static_files, "CACHE_BYTES", 1000)
    for number in range(30):
        write(tmp_path / f"{number}.txt", "x" * 200)
    write(tmp_path / "whale.txt", "x" * 1001)
    root = StaticRoot(str(tmp_path), recheck=3600)
    for _ in range(2):
        for number in range(30):
            assert get(root, f"{number}.txt").size == 200
    assert get(root, "whale.txt").content == b"x" * 1001
    assert len(root._cache) == 5
    assert root._cached_bytes == 1000
    monkeypatch.setattr(static_files, "CACHE_BYTES", 1_000_000)
    for number in range(30):
        get(root, f"{number}.txt")
    assert len(root._cache) == 10
    assert root._cached_bytes == 2000


def test_look_ups_from_many_threads_agree(public: Path, at_once: None) -> None:
    root = StaticRoot(str(public), recheck=0)
    wrong: list[str] = []

    def look_up() -> None:
        for _ in range(100):
            for path, size in (("css/main.css", 7), ("docs/", 3), ("", 13)):
                found = root.find(path)
                if not isinstance(found, StaticFile) or found.size != size:
                    wrong.append(path)

    threads = [threading.Thread(target=look_up) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert root._cached_bytes == sum(entry[0].weight for entry in root._cache.values())


def test_last_modified_is_never_in_the_future(public: Path) -> None:
    for mtime in (4_000_000_000.0, 400_000_000_000.0):
        write(public / "future.txt", "x", mtime)
        found = get(StaticRoot(str(public)), "future.txt")
        assert (parse_date(found.last_modified) or mtime) < mtime


def test_a_missing_root_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere.*create it"):
        StaticRoot(str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError):
        StaticDirectory("/").add(str(write(tmp_path / "file")))


def test_a_root_that_vanishes_finds_nothing(tmp_path: Path, at_once: None) -> None:
    file = write(tmp_path / "root" / "a.txt")
    root = StaticRoot(str(file.parent), recheck=0)
    assert get(root, "a.txt")
    file.unlink()
    file.parent.rmdir()
    assert root.find("a.txt") is None


@pytest.mark.parametrize("prefix", ["/static", "/static/", "static"])
def test_a_prefix_covers_itself_and_what_is_below(public: Path, prefix: str) -> None:
    directory = StaticDirectory(prefix, [StaticRoot(str(public))])
    assert directory.prefix == "/static/"
    assert get(directory, "/static/css/main.css").size == 7
    assert get(directory, "/static/").content == b"<h1>home</h1>"
    assert directory.find("/static") is ADD_SLASH
    assert directory.find("/static/docs") is ADD_SLASH
    assert directory.find("/static/css") is None
    for path in ("/staticcss/main.css", "/stati", "/", "", "/css/main.css", "/static2/docs"):
        assert directory.find(path) is None, path


def test_a_prefix_without_index_does_not_redirect(public: Path) -> None:
    assert StaticDirectory("/css", [StaticRoot(str(public / "css"))]).find("/css") is None


def test_the_root_prefix_covers_everything(public: Path) -> None:
    for prefix in ("/", ""):
        directory = StaticDirectory(prefix, [StaticRoot(str(public))])
        assert get(directory, "/css/main.css").size == 7
        assert get(directory, "/").content == b"<h1>home</h1>"
        assert directory.find("") is ADD_SLASH


def test_stacked_directories_have_front_priority(tmp_path: Path) -> None:
    for name in ("base", "extra", "front"):
        write(tmp_path / name / f"{name}.txt", name)
        write(tmp_path / name / "all.txt", name)
        (tmp_path / name / "d").mkdir()
    write(tmp_path / "extra" / "d" / "index.html", "extra")
    directory = StaticDirectory("/")
    assert directory.find("/all.txt") is None
    directory.add(str(tmp_path / "base"))
    directory.add(str(tmp_path / "extra"))
    assert get(directory, "/all.txt").content == b"base"
    directory.add(str(tmp_path / "front"), first=True)
    assert get(directory, "/all.txt").content == b"front"
    for name in ("base", "extra", "front"):
        assert get(directory, f"/{name}.txt").content == name.encode()
    assert directory.find("/d") is ADD_SLASH
    assert get(directory, "/d/").content == b"extra"
