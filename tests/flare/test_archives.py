"""An archive that announces, or holds, more than a job has is refused before anything of it is read or written."""

import io
import json
import struct
import zipfile

import pytest
from nvflare.fuel.hci.client import file_transfer
from nvflare.fuel.utils import zip_utils
from nvflare.fuel.utils.zip_utils import zip_directory_to_bytes
from nvflare.private.fed.client import training_cmds
from nvflare.private.fed.server import job_meta_validator
from nvflare.private.fed.server.job_meta_validator import JobMetaValidator
from nvflare.private.fed.utils import app_deployer

from fedbrats.flare.archives import (
    LONGEST_NAME,
    MOST_BYTES,
    MOST_OF_ONE,
    MOST_OF_TEXT,
    MOST_PATHS,
    judge_archives,
    judge_downloads,
)
from tests.security.attacks import attack

MIB = 2**20
SIZES = {"compressed": 20, "own": 24}  # places in an entry of an archive's directory


@pytest.fixture(autouse=True)
def judged(monkeypatch):
    for module in (zip_utils, job_meta_validator):
        monkeypatch.setattr(module, "ZipFile", zipfile.ZipFile)
    monkeypatch.setattr(JobMetaValidator, "_validate_zf", JobMetaValidator._validate_zf)
    judge_archives()


def unpack_at_site(data, folder):
    """As FLARE does it, first in a temporary folder and then in the job's: the function that each module holds."""
    for module in (training_cmds, app_deployer):
        module.unzip_all_from_bytes(data, str(folder))


def packed(files, method=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def announcing(data, **sizes):
    """An archive whose directory announces other sizes of its last file than it has."""
    for which, size in sizes.items():
        place = data.rindex(b"PK\x01\x02") + SIZES[which]
        data = data[:place] + struct.pack("<I", size) + data[place + 4 :]
    return data


def long_directory():
    """A hundred files, each of which has a comment in the archive's directory."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number in range(100):
            entry = zipfile.ZipInfo(str(number))
            entry.comment = bytes(60_000)
            archive.writestr(entry, b"")
    return stream.getvalue()


def overlapping():
    """Twenty files of a MiB that share the same bytes: the archive has 1 MiB."""
    data = packed({f"{number:02}": b"" if number < 19 else bytes(MIB) for number in range(20)})
    start = data.index(b"PK\x01\x02")
    entries, last = data[start:], data.rindex(b"PK\x01\x02")
    entry = bytearray(data[last : last + 48])
    body = bytes(data[:start])
    names = [b"%02d" % number for number in range(20)]
    directory = b"".join(bytes(entry[:46]) + name for name in names)
    end = entries[entries.rindex(b"PK\x05\x06") :]
    end = end[:12] + struct.pack("<II", len(directory), len(body)) + end[20:]
    return body + directory + end


@attack(
    "fill a hospital's disk or memory by an archive of many files, or of gigabytes in some kilobytes, as a job",
    who="the server's operator; at the server, a lead",
    happens="refused by what the archive announces, before a file is written; a compressed file is refused at once",
    says="an archive with a compressed file (zeros) is not unpacked: FLARE compresses none",
)
@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: packed({"zeros": bytes(64 * MIB)}, zipfile.ZIP_DEFLATED), "a compressed file"),
        (lambda: packed({"zeros": bytes(64 * MIB)}, zipfile.ZIP_BZIP2), "a compressed file"),
        (lambda: packed({f"{number}": b"" for number in range(MOST_PATHS + 1)}), f"archive of {MOST_PATHS + 1} files"),
        (lambda: packed({"a/" * (MOST_PATHS // 10) + str(number): b"" for number in range(10)}), "files and folders"),
        (long_directory, "a directory of"),
        (lambda: announcing(packed({"zeros": b""}), own=MOST_OF_ONE + 1), f"a file of {MOST_OF_ONE + 1} bytes"),
        (lambda: announcing(packed({"zeros": b""}), own=MIB), f"announces {MIB} is not unpacked, of {MOST_BYTES}"),
        (lambda: announcing(packed({"zeros": bytes(MIB)}), own=9), "."),  # zipfile itself
        (overlapping, f"that announces {20 * MIB} is not unpacked"),
        (lambda: packed({"a" * (LONGEST_NAME + 1): b""}), "an archive with the name"),
        (lambda: packed({"a\n[E]": b""}), r"name a\\n\[E\] is not unpacked, for a sign in it"),
        (lambda: packed({"a//b": b""}), "an archive with the name a//b"),
    ],
    ids=[
        "deflate",
        "bzip2",
        "files",
        "folders",
        "directory",
        "one",
        "more",
        "less",
        "overlap",
        "long",
        "control",
        "empty",
    ],
)
def test_an_archive_that_is_none_of_flares_is_not_unpacked(tmp_path, make, sentence):
    data = make()
    assert len(data) < 12 * MIB, "small where it arrives"
    with pytest.raises((ValueError, zipfile.BadZipFile), match=sentence):
        unpack_at_site(data, tmp_path)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 9


def test_two_files_of_one_name_are_refused(tmp_path):
    data = packed({"config.json": b"{}", "config.js0n": b"[]"}).replace(b"js0n", b"json")
    with pytest.raises(ValueError, match=r"two files config\.json"):
        unpack_at_site(data, tmp_path)


def test_what_flare_packs_is_unpacked(tmp_path, build_any_job):
    job, (to, kept) = build_any_job("fedavg"), (tmp_path / name for name in ("to", "kept"))
    to.mkdir()
    unpack_at_site(zip_directory_to_bytes(str(job / "app"), ""), to)
    names = {path.relative_to(to) for path in to.rglob("*")}
    assert names == {path.relative_to(job / "app") for path in (job / "app").rglob("*")}
    archive = kept.with_suffix(".zip")
    archive.write_bytes(zip_directory_to_bytes(str(job.parent), job.name))
    assert JobMetaValidator().validate(job.name, str(archive))[:2] == (True, "")


@attack(
    "read a file or an address by the server's account, or its environment, by a job's `meta.conf`",
    who="a lead",
    happens="refused before the server parses it: a job's configuration is JSON",
    says="a job's configuration is JSON, and job/meta.conf is refused",
)
@pytest.mark.parametrize(
    "name", ["job/meta.conf", "job/meta.yml", "job/meta.json.default", "job/app/config/config_fed_server.conf"]
)
def test_no_format_with_includes_is_parsed(tmp_path, monkeypatch, name):
    monkeypatch.setenv("SECRET_TOKEN", "secure-x")
    secret = tmp_path / "secret.json"
    secret.write_text(json.dumps({"token": "secure-y"}))
    text = f'name = ${{SECRET_TOKEN}}\ninclude file("{secret}")'
    said = JobMetaValidator().validate("job", packed({name: text, "job/app/config/": ""}))
    assert said == (False, f"a job's configuration is JSON, and {name} is refused", {})


def test_a_jobs_texts_are_bounded_before_they_are_read():
    data = packed({"job/meta.json": b" " * (MOST_OF_TEXT + 1)})
    said = JobMetaValidator().validate("job", data)
    assert said == (False, f"job/meta.json has {MOST_OF_TEXT + 1} bytes, of {MOST_OF_TEXT} at most", {})


@attack(
    "fill the disk of whoever fetches a result, by an archive of gigabytes in some kilobytes",
    who="the server's operator",
    happens="no more is written than was sent",
    says="an archive with a compressed file (zeros) is not unpacked: FLARE compresses none",
)
def test_a_result_is_no_larger_on_the_disk_than_on_the_line(tmp_path):
    judge_downloads()
    archive, to = tmp_path / "result.zip", tmp_path / "to"
    to.mkdir()
    archive.write_bytes(packed({"zeros": bytes(64 * MIB)}, zipfile.ZIP_DEFLATED))
    with pytest.raises(ValueError, match="a compressed file"):
        file_transfer.unzip_all_from_file(str(archive), str(to))
    assert not list(to.iterdir())
    archive.write_bytes(packed({f"site-{number}/log.txt": b"" for number in range(MOST_PATHS // 2 + 1)}))
    file_transfer.unzip_all_from_file(str(archive), str(to))
    assert len(list(to.iterdir())) == MOST_PATHS // 2 + 1
