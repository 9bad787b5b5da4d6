"""What is recorded of the program and its libraries."""

import subprocess

from pipeline import __version__, version


def test_an_image_has_its_commit_in_a_file(tmp_path):
    assert version.code_version_in(tmp_path) == __version__
    (tmp_path / "COMMIT").write_text("")  # built without one
    assert version.code_version_in(tmp_path) == __version__
    (tmp_path / "COMMIT").write_text("1a50955")
    assert version.code_version_in(tmp_path) == f"{__version__} (1a50955)"


def test_a_checkout_has_the_commit_that_git_names_and_a_mark_where_files_differ(tmp_path):
    def git(*words: str) -> str:
        author = ["-c", "user.name=A", "-c", "user.email=a@example.com"]
        command = ["git", "-C", str(tmp_path), *author, *words]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "--quiet")
    (tmp_path / "file").write_text("as committed")
    git("add", "file")
    git("commit", "--quiet", "--message", "one")
    commit = git("rev-parse", "--short", "HEAD")
    assert version.code_version_in(tmp_path) == f"{__version__} ({commit})"
    (tmp_path / "file").write_text("changed")
    assert version.code_version_in(tmp_path) == f"{__version__} ({commit}+)"


def test_tensorflow_without_kernels_for_gpus_is_tensorflow(monkeypatch):
    def installed(library: str) -> str:
        if library != "tensorflow-cpu":
            raise version.PackageNotFoundError(library)
        return "2.21.0"

    monkeypatch.setattr(version, "version", installed)
    version.version_of.cache_clear()
    try:
        assert version.version_of("tensorflow") == "2.21.0"
        assert version.version_of("keras") is None
        assert "keras" not in version.library_versions()
    finally:
        version.version_of.cache_clear()
