"""HTTP over a `Store`: the routes that the clients ask for, one method each, and a connection that can be cut."""

import base64
import contextlib
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from .store import ORGS, READ_TOKEN, USER, WRITE_TOKEN, Blob, Refused, Store, card_data, check_card, is_large, now

KIND = r"/api/(?P<kind>models|datasets|spaces)/(?P<name>(?:[^/]+/)?[^/]+)"  # an old model has no owner
FILES = r"/(?:(?P<kind>datasets|spaces)/)?(?P<name>[^/]+/[^/]+)"
READ_SIZE = 16_384


class Cut(Exception):
    """The connection is gone."""


class HubServer:
    """A Hub on 127.0.0.1 for one `with` block.

    `cut_after(n)` closes the connection in the middle of whatever is being sent once n more bytes of requests have come in,
    and every later one at once, until `mend()`. `received` counts the bytes, `log` the (method, path) of each request.
    `meanwhile[part]` is called once, before the first request whose path holds `part` is answered; it may raise `Refused`.
    """

    def __init__(self, store=None):
        self.store = store or Store()
        self.log = []
        self.received = 0
        self._left = None
        self.meanwhile = {}
        handler = type("Handler", (_Handler,), {"hub": self})
        self._http = _Server(("127.0.0.1", 0), handler)
        self.port = self._http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._http.shutdown()
        self._http.server_close()

    def cut_after(self, count):
        self._left = count

    def mend(self):
        self._left = None

    def take(self, count):
        """Count bytes that came in; raises `Cut` when the connection is to break."""
        self.received += count
        if self._left is not None:
            self._left -= count
            if self._left < 0:
                raise Cut


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """A client that hangs up is no error of the server."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: HubServer

    def log_message(self, *_):
        pass

    def do_GET(self):
        self._answer()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def _answer(self):
        url = urlsplit(self.path)
        self.query = parse_qs(url.query)
        try:
            self.hub.take(len(self.path) + 100)
            self.body = self._read_body()
            self.hub.log.append((self.command, url.path))
            for part in [part for part in self.hub.meanwhile if part in url.path]:
                self.hub.meanwhile.pop(part)()
            for method, pattern, function in ROUTES:
                match = re.fullmatch(pattern, url.path)
                if match and self.command in method:
                    values = {k: unquote(v) if v else v for k, v in match.groupdict().items()}
                    if "kind" in values:
                        values["kind"] = (values["kind"] or "models").removesuffix("s")
                    function(self, **values)
                    return
            raise Refused(404, f"No route for {self.command} {url.path}")
        except Cut:
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.close()
        except Refused as refused:
            headers = {"X-Error-Message": refused.message} | ({"X-Error-Code": refused.code} if refused.code else {})
            self._json(refused.body, refused.status, headers)

    def _read_body(self):
        left, parts = int(self.headers.get("Content-Length") or 0), []
        while left:
            part = self.rfile.read(min(READ_SIZE, left))
            self.hub.take(len(part))
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    def _send(self, data, status=200, headers=None):
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(data))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _json(self, value, status=200, headers=None):
        self._send(json.dumps(value).encode(), status, {"Content-Type": "application/json"} | (headers or {}))

    @property
    def token(self):
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None

    @property
    def store(self) -> Store:
        return self.hub.store

    def _writable(self, kind, name):
        repo = self.store.repo(kind, name, self.token)
        self.store.check_write(self.token, name.split("/")[0])
        return repo

    def whoami(self):
        if self.token not in (READ_TOKEN, WRITE_TOKEN):
            raise Refused(401, "Invalid credentials in Authorization header" if self.token else "Not logged in")
        role = "write" if self.token == WRITE_TOKEN else "read"
        token = {"accessToken": {"role": role, "displayName": "test"}}
        self._json({"name": USER, "type": "user", "orgs": [{"name": o} for o in ORGS], "auth": token})

    def create(self):
        asked = json.loads(self.body)
        owner = asked.get("organization") or USER
        self.store.check_write(self.token, owner)
        name = f"{owner}/{asked['name']}"
        private = asked.get("visibility") == "private"
        self.store.create(asked.get("type") or "model", name, private=private)
        self._json({"url": f"{self.hub.url}/{name}"})

    def settings(self, kind, name):
        self._writable(kind, name).private = json.loads(self.body)["visibility"] == "private"
        self._json({})

    def info(self, kind, name, revision="main"):
        repo = self.store.repo(kind, name, self.token)
        commit = repo.resolve(revision)
        siblings = [{"rfilename": path} for path in sorted(commit.files)]
        self._json(
            {
                "id": name, "_id": "0", "sha": commit.oid, "private": repo.private, "author": name.split("/")[0],
                "lastModified": commit.date, "createdAt": commit.date, "tags": [], "siblings": siblings,
                "cardData": card_data(commit.files.get("README.md")),
            }
        )  # fmt: skip

    def refs(self, kind, name):
        repo = self.store.repo(kind, name, self.token)
        names = {"branches": ("refs/heads/", repo.branches), "tags": ("refs/tags/", repo.tags)}
        answer = {
            key: [{"name": n, "ref": prefix + n, "targetCommit": oid} for n, oid in found.items()]
            for key, (prefix, found) in names.items()
        }
        self._json(answer | {"converts": []})

    def commits(self, kind, name, revision):
        repo = self.store.repo(kind, name, self.token)
        commit, found = repo.resolve(revision), []
        while commit:
            about = {"id": commit.oid, "title": commit.title, "message": "", "date": commit.date}
            found.append(about | {"authors": [{"user": USER}]})
            commit = repo.commits.get(commit.parent)
        self._json(found)

    def make_tag(self, kind, name, revision):
        repo, tag = self._writable(kind, name), json.loads(self.body)["tag"]
        if tag in repo.tags:
            raise Refused(409, f"Tag {tag} exists already")
        repo.tags[tag] = repo.resolve(revision).oid
        self._json({})

    def remove_tag(self, kind, name, revision):
        del self._writable(kind, name).tags[revision]
        self._json({})

    def tree(self, kind, name, revision, path=None):
        commit = self.store.repo(kind, name, self.token).resolve(revision)
        prefix = f"{path}/" if path else ""
        inside = {p: b for p, b in sorted(commit.files.items()) if p.startswith(prefix)}
        if prefix and not inside:
            raise Refused(404, f"{path} does not exist", "EntryNotFound")
        folders = {p[: i + len(prefix)] for p in inside for i, c in enumerate(p[len(prefix) :]) if c == "/"}
        deep = self.query.get("recursive", ["false"])[0].lower() == "true"
        entries = [_folder(f) for f in sorted(folders)] + [_file(p, b) for p, b in inside.items()]
        self._json([e for e in entries if deep or "/" not in e["path"][len(prefix) :]])

    def paths_info(self, kind, name, revision):
        commit = self.store.repo(kind, name, self.token).resolve(revision)
        asked = parse_qs(self.body.decode()).get("paths", [])
        found = [_file(path, commit.files[path]) for path in asked if path in commit.files]
        found += [_folder(f) for f in asked if any(p.startswith(f"{f}/") for p in commit.files)]
        self._json(found)

    def auth_check(self, kind, name):
        self.store.repo(kind, name, self.token)
        self._json({})

    def validate(self):
        errors = check_card(json.loads(self.body)["content"])
        body = {"errors": [{"message": e} for e in errors], "warnings": []}
        self._json(body, 400 if errors else 200)

    def preupload(self, kind, name, revision):
        files = self._writable(kind, name).resolve(revision).files
        answer = []
        for asked in json.loads(self.body)["files"]:
            path = asked["path"]
            mode = "lfs" if is_large(path, asked["size"]) else "regular"
            known = {"oid": files[path].etag} if path in files else {}
            answer.append({"path": path, "uploadMode": mode, "shouldIgnore": False} | known)
        self._json({"files": answer})

    def batch(self, kind, name):
        self._writable(kind, name)
        answer = []
        for asked in json.loads(self.body)["objects"]:
            oid, size = asked["oid"], asked["size"]
            entry = {"oid": oid, "size": size}
            if size > self.store.max_file:
                entry["error"] = {"code": 422, "message": f"File is larger than {self.store.max_file} bytes"}
            elif oid not in self.store.large:
                verify = f"{self.hub.url}/lfs/verify"
                entry["actions"] = {"upload": {"href": f"{self.hub.url}/lfs/{oid}"}, "verify": {"href": verify}}
            answer.append(entry)
        self._json({"transfer": "basic", "objects": answer})

    def put_large(self, oid):
        self.store.put_large(oid, self.body)
        self._send(b"", headers={"ETag": f'"{oid}"'})

    def verify(self):
        asked = json.loads(self.body)
        if len(self.store.large.get(asked["oid"], b"")) != asked["size"]:
            raise Refused(404, "Object not found")
        self._json({})

    def commit(self, kind, name, revision):
        repo = self._writable(kind, name)
        lines = [json.loads(line) for line in self.body.splitlines() if line]
        for line in lines:
            if line["key"] == "file":
                line["value"]["bytes"] = base64.b64decode(line["value"]["content"])
        made = self.store.commit(repo, lines)
        self._json({"commitOid": made.oid, "commitUrl": f"{self.hub.url}/{name}/commit/{made.oid}"})

    def resolve(self, kind, name, revision, path):
        commit = self.store.repo(kind, name, self.token).resolve(revision)
        blob = commit.files.get(path)
        if blob is None:
            raise Refused(404, f"{path} does not exist", "EntryNotFound")
        headers = {"X-Repo-Commit": commit.oid, "ETag": f'"{blob.etag}"'}
        if not blob.large:
            self._bytes(blob.data, headers)
            return
        # The real Hub sends to another host; the same machine under its other name is one for the clients.
        headers |= {"Location": f"http://localhost:{self.hub.port}/lfs/{blob.sha256}"}
        headers |= {"X-Linked-Size": str(len(blob.data)), "X-Linked-ETag": f'"{blob.etag}"'}
        self._send(b"", 302, headers)

    def get_large(self, oid):
        self._bytes(self.store.large[oid], {"ETag": f'"{oid}"'})

    def _bytes(self, data, headers):
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not asked:
            self._send(data, 200, headers | {"Accept-Ranges": "bytes"})
            return
        start, end = int(asked[1]), min(int(asked[2] or len(data) - 1), len(data) - 1)
        self._send(data[start : end + 1], 206, headers | {"Content-Range": f"bytes {start}-{end}/{len(data)}"})


def _file(path, blob: Blob):
    entry = {"type": "file", "path": path, "size": len(blob.data), "oid": blob.oid}
    large = {"oid": blob.sha256, "size": len(blob.data), "pointerSize": 130}
    return entry | ({"lfs": large} if blob.large else {}) | {"lastCommit": {"id": "0" * 40, "title": "", "date": now()}}


def _folder(path):
    return {"type": "directory", "path": path, "oid": hashlib.sha1(path.encode()).hexdigest()}


ROUTES = (
    ("GET", r"/api/whoami-v2", _Handler.whoami),
    ("POST", r"/api/repos/create", _Handler.create),
    ("POST", r"/api/validate-yaml", _Handler.validate),
    ("PUT", KIND + r"/settings", _Handler.settings),
    ("GET", KIND, _Handler.info),
    ("GET", KIND + r"/revision/(?P<revision>[^/]+)", _Handler.info),
    ("GET", KIND + r"/refs", _Handler.refs),
    ("GET", KIND + r"/commits/(?P<revision>[^/]+)", _Handler.commits),
    ("GET", KIND + r"/auth-check", _Handler.auth_check),
    ("POST", KIND + r"/tag/(?P<revision>[^/]+)", _Handler.make_tag),
    ("DELETE", KIND + r"/tag/(?P<revision>[^/]+)", _Handler.remove_tag),
    ("GET", KIND + r"/tree/(?P<revision>[^/]+)(?:/(?P<path>.+))?", _Handler.tree),
    ("POST", KIND + r"/paths-info/(?P<revision>[^/]+)", _Handler.paths_info),
    ("POST", KIND + r"/preupload/(?P<revision>[^/]+)", _Handler.preupload),
    ("POST", KIND + r"/commit/(?P<revision>[^/]+)", _Handler.commit),
    ("POST", FILES + r"\.git/info/lfs/objects/batch", _Handler.batch),
    ("PUT", r"/lfs/(?P<oid>[0-9a-f]{64})", _Handler.put_large),
    ("POST", r"/lfs/verify", _Handler.verify),
    ("GET HEAD", r"/lfs/(?P<oid>[0-9a-f]{64})", _Handler.get_large),
    ("GET HEAD", FILES + r"/resolve/(?P<revision>[^/]+)/(?P<path>.+)", _Handler.resolve),
)
