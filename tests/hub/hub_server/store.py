"""Repositories by commit: files, branches, tags, and large files by sha256. Every refusal is a `Refused` with its status."""

import hashlib
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime

import yaml

WRITE_TOKEN = "hf_writewritewritewrite"
READ_TOKEN = "hf_readreadreadreadread"
USER, ORGS = "tester", ("org",)
LARGE_ENDINGS = (".parquet", ".safetensors", ".bin", ".onnx", ".png", ".npy")
LARGE = 1_000_000  # bytes; text under this is a regular file


class Refused(Exception):
    """An answer that is an error: status, the code that clients look at, and a message."""

    def __init__(self, status, message="", code=None, body=None):
        super().__init__(message)
        self.status, self.message, self.code = status, message, code
        self.body = body if body is not None else {"error": message}


@dataclass(frozen=True)
class Blob:
    """One version of one file."""

    data: bytes
    large: bool

    @property
    def sha256(self):
        return hashlib.sha256(self.data).hexdigest()

    @property
    def oid(self):
        return hashlib.sha1(b"blob %d\0" % len(self.data) + self.data).hexdigest()

    @property
    def etag(self):
        return self.sha256 if self.large else self.oid


@dataclass(frozen=True)
class Commit:
    oid: str
    parent: str | None
    title: str
    files: dict[str, Blob]
    date: str


@dataclass
class Repo:
    type: str
    id: str
    private: bool
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def __post_init__(self):
        self.add({".gitattributes": Blob(b"*.parquet filter=lfs\n", large=False)}, "initial commit")

    def add(self, files, title):
        """Make a commit on main out of the whole new state; one assignment makes it visible."""
        parent = self.branches.get("main")
        tree = "".join(f"{path} {blob.etag}\n" for path, blob in sorted(files.items()))
        oid = hashlib.sha1(f"{self.type} {self.id} {parent}\n{title}\n{tree}".encode()).hexdigest()
        self.commits[oid] = Commit(oid, parent, title, dict(files), now())
        self.branches["main"] = oid
        return self.commits[oid]

    def resolve(self, revision):
        """The commit that a branch, a tag or an id names."""
        oid = self.branches.get(revision) or self.tags.get(revision) or revision
        if oid not in self.commits:
            raise Refused(404, f"Revision {revision} not found", "RevisionNotFound")
        return self.commits[oid]


def now():
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Store:
    """All repositories of one Hub. `max_file` is the largest file that it takes, in bytes."""

    def __init__(self, max_file=10**9):
        self.repos: dict[tuple[str, str], Repo] = {}
        self.large: dict[str, bytes] = {}
        self.max_file = max_file
        self.lock = threading.RLock()

    def repo(self, kind, name, token):
        """A repository that this token may read."""
        found = self.repos.get((kind, name))
        if token not in (None, READ_TOKEN, WRITE_TOKEN):
            raise Refused(401, "Invalid credentials in Authorization header")
        if found is None or (found.private and token is None):
            raise Refused(404 if token else 401, "Repository not found", "RepoNotFound")
        return found

    @staticmethod
    def check_write(token, namespace):
        if token is None:
            raise Refused(401, "Invalid username or password.")
        if token not in (READ_TOKEN, WRITE_TOKEN):
            raise Refused(401, "Invalid credentials in Authorization header")
        if token != WRITE_TOKEN or namespace not in (USER, *ORGS):
            raise Refused(403, "You don't have the rights to create or change this repository")

    def create(self, kind, name, *, private):
        if (kind, name) in self.repos:
            raise Refused(409, "You already created this repo", body={"error": "exists", "url": f"/{name}"})
        self.repos[kind, name] = Repo(kind, name, private)
        return self.repos[kind, name]

    def put_large(self, oid, data):
        if hashlib.sha256(data).hexdigest() != oid:
            raise Refused(400, "The bytes do not have the hash that was announced")
        self.large[oid] = data

    def commit(self, repo, lines):
        """Apply the lines of a commit request as one commit, or none of them."""
        with self.lock:
            head = repo.resolve("main")
            files, title = dict(head.files), ""
            for line in lines:
                value = line["value"]
                match line["key"]:
                    case "header":
                        title = value["summary"]
                        if value.get("parentCommit") not in (None, head.oid):
                            raise Refused(412, "A commit has happened since. Please refresh and try again.")
                    case "file":
                        files[value["path"]] = Blob(value["bytes"], large=False)
                    case "lfsFile":
                        if len(self.large.get(value["oid"], b"")) != value["size"]:
                            raise Refused(400, f"Large file {value['path']} was not uploaded")
                        files[value["path"]] = Blob(self.large[value["oid"]], large=True)
                    case "deletedFile":
                        if value["path"] not in files:
                            raise Refused(404, "A file with this name doesn't exist", "EntryNotFound")
                        del files[value["path"]]
            return repo.add(files, title)


def is_large(path, size):
    """Whether the Hub keeps a file of this name and size as a large one."""
    return path.endswith(LARGE_ENDINGS) or size > LARGE


def card_data(card):
    """The metadata of a README that a commit holds; None without one, or without metadata."""
    parts = card.data.decode().split("---\n") if card else []
    return yaml.safe_load(parts[1]) if len(parts) > 2 and not parts[0] else None


def check_card(content):
    """The errors that the Hub finds in the metadata of a README."""
    parts = content.split("---\n")
    if not content.startswith("---\n") or len(parts) < 3:
        return []
    try:
        metadata = yaml.safe_load(parts[1])
    except yaml.YAMLError as error:
        return [f"Metadata is not YAML: {error}"]
    if not isinstance(metadata, dict):
        return ["Metadata must be a mapping"]
    lists = ("tags", "datasets", "configs", "language", "task_categories")
    found = [f'"{key}" must be an array' for key in lists if not isinstance(metadata.get(key, []), list)]
    words = ("license", "library_name", "pipeline_tag", "pretty_name")
    return found + [f'"{key}" must be a string' for key in words if not isinstance(metadata.get(key, ""), str)]
