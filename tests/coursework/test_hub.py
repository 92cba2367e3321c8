"""A problem set on a JupyterHub: two people, two browsers, and nbgrader's exchange between them.

The hub, its proxy and both servers run in a namespace of processes of their own, so that nothing outlives a
test, and with a /tmp of their own. Where the tests are root, the two are users of the system, known in that
namespace alone; elsewhere both servers run as whoever runs the tests, and differ by their names on the hub.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import exchange
import masters
import nbformat
import pytest
import release
import requests
import sandbox
from handing_in import not_activated

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "coursework" / "hub" / "jupyterhub_config.py"
PROXY = ROOT / "node_modules" / "configurable-http-proxy"
COURSE, NAME = "scaling-transformers", "doubling"
INSTRUCTOR, STUDENT = "instructor", "ada"
UIDS = {INSTRUCTOR: 20_001, STUDENT: 20_002}
PASSWORD = "only for this test"
HIDDEN = "the-hidden-test-of-halve"
MASTER = f"""\
---
jupytext: {{text_representation: {{extension: .md, format_name: myst}}}}
kernelspec: {{name: python3, display_name: Python 3}}
---

```{{code-cell}} ipython3
import os
from scaling_transformers.coursework import check_close

VARIANT = "2026"
```

```{{code-cell}} ipython3
:answer: double

def double(x):
    ### BEGIN SOLUTION
    return 2 * x
    ### END SOLUTION
```

```{{code-cell}} ipython3
:check: double
:points: 2

check_close(double(1), 2, "Twice one.")
### BEGIN HIDDEN TESTS
assert os.getcwd() == "/folder", "This does not run in the sandbox."
check_close(os.environ["COURSEWORK_STUDENT"] == "{STUDENT}", True, "The student is somebody else.")
### END HIDDEN TESTS
```

```{{code-cell}} ipython3
:answer: halve

def halve(x):
    ### BEGIN SOLUTION
    return x / 2
    ### END SOLUTION
```

```{{code-cell}} ipython3
:check: halve
:points: 3

check_close(halve(2), 1, "Half of two.")
### BEGIN HIDDEN TESTS
check_close(halve(1), 0.5, "Half of one.")  # {HIDDEN}
### END HIDDEN TESTS
```
"""
AS_ROOT = os.getuid() == 0
ALONE = ["unshare", *([] if AS_ROOT else ["--user", "--map-current-user"])]
ALONE += ["--pid", "--fork", "--kill-child", "--mount-proc"]


class NotStarted(Exception):
    """A server does not start; the words are those that its user reads."""


@dataclass
class Person:
    """Somebody with a browser, and with a server on the hub once ``start_server`` has returned."""

    hub: str
    name: str
    browser: requests.Session

    def log_in(self) -> None:
        self.browser.get(f"{self.hub}/hub/login").raise_for_status()
        words = {"username": self.name, "password": PASSWORD, "_xsrf": self._xsrf("/hub/")}
        answer = self.browser.post(f"{self.hub}/hub/login?next=%2Fhub%2Fhome", data=words)
        assert answer.ok, answer.text
        assert answer.url.endswith("/hub/home"), answer.url

    def start_server(self) -> None:
        """Start the server, and listen to the hub until it says that it answers."""
        api = f"{self.hub}/hub/api/users/{self.name}/server"
        headers = {"X-XSRFToken": self._xsrf("/hub/"), "Referer": f"{self.hub}/hub/home"}
        answer = self.browser.post(api, headers=headers)
        if answer.status_code not in (201, 202):
            raise NotStarted(answer.json()["message"])
        with self.browser.get(f"{api}/progress", headers=headers, stream=True, timeout=120) as progress:
            told = [line for line in progress.iter_lines(decode_unicode=True) if line]
        assert '"ready": true' in told[-1], told
        answer = self.browser.get(f"{self.hub}/user/{self.name}/lab")  # signs in there too
        assert answer.ok, answer.text

    def ask(self, method: str, path: str, **told: Any) -> Any:
        """What this person's server answers."""
        headers = {"X-XSRFToken": self._xsrf(f"/user/{self.name}/")}
        return self.browser.request(
            method, f"{self.hub}/user/{self.name}/{path}", headers=headers, timeout=120, **told
        )

    def call(self, method: str, path: str, **told: Any) -> Any:
        """The JSON that this person's server answers; it must not be a failure."""
        answer = self.ask(method, path, **told)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
        value = answer.json()
        assert not (isinstance(value, dict) and value.get("success") is False), value
        return value

    def save(self, path: str, notebook: Any = None) -> None:
        """Save a notebook, or make a folder where none is given."""
        model = {"type": "directory"} if notebook is None else {"type": "notebook", "content": notebook}
        self.call("PUT", f"api/contents/{path}", json=model)

    def open(self, path: str) -> Any:
        return nbformat.from_dict(self.call("GET", f"api/contents/{path}")["content"])

    def _xsrf(self, path: str) -> str:
        return next(
            (
                cookie.value
                for cookie in self.browser.cookies
                if (cookie.name, cookie.path) == ("_xsrf", path)
            ),
            "",
        )


@dataclass
class Hub:
    address: str
    folder: Path

    @property
    def exchange(self) -> Path:
        return self.folder / "exchange"

    def home(self, name: str) -> Path:
        return self.folder / "home" / name


def inside(folder: Path, *command: str) -> list[str]:
    """A command in a view of this machine with processes, a /tmp and, as root, users of its own."""
    walls = ["bwrap", "--die-with-parent", "--dev-bind", "/", "/", "--bind", str(folder / "tmp"), "/tmp"]
    if AS_ROOT:
        for name in ("passwd", "group"):
            walls += ["--ro-bind", str(folder / name), f"/etc/{name}"]
    needed = {Path(sys.prefix), Path(sys.base_prefix), ROOT, folder}
    for closed in sorted({path for inner in needed for path in inner.parents if not path.stat().st_mode & 1}):
        walls += ["--perms", "0755", "--tmpfs", str(closed)]  # another user could not go through
    for path in sorted(needed):
        for parent in reversed(path.parents[:-1]):
            walls += ["--perms", "0755", "--dir", str(parent)]
        walls += ["--bind", str(path), str(path)]
    return [*ALONE, *walls, "--chdir", str(folder), *command]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a hub needs: an exchange, two homes, and as root the two users."""
    if not PROXY.is_dir():
        pytest.skip("configurable-http-proxy is not installed: npm ci")
    try:
        sandbox.require_sandbox()
        subprocess.run([*ALONE, "true"], check=True)
    except (sandbox.SandboxMissing, OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a hub cannot be started apart from this machine: {error}")
    return furnish(tmp_path)


def furnish(folder: Path) -> Path:
    folder.chmod(0o755)
    for path, mode in {"tmp": 0o1777, "exchange": 0o1777, f"exchange/{COURSE}": 0o755, "home": 0o755}.items():
        (folder / path).mkdir()
        (folder / path).chmod(mode)
    for name in UIDS:
        (folder / "home" / name).mkdir(mode=0o700)
    if AS_ROOT:
        for name, uid in UIDS.items():
            with pytest.raises(KeyError):
                pwd.getpwuid(uid)
            os.chown(folder / "home" / name, uid, uid)
        os.chown(folder / "exchange" / COURSE, *[UIDS[INSTRUCTOR]] * 2)
        users = "".join(f"{name}:x:{uid}:{uid}::{folder}/home/{name}:/bin/sh\n" for name, uid in UIDS.items())
        groups = "".join(f"{name}:x:{uid}:\n" for name, uid in UIDS.items())
        (folder / "passwd").write_text(Path("/etc/passwd").read_text() + users)
        (folder / "group").write_text(Path("/etc/group").read_text() + groups)
    return folder


def start(folder: Path, *words: str) -> tuple[subprocess.Popen[bytes], str]:
    """Start a hub on free ports; its process and its address."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(3)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        public, private, proxy = (f"http://127.0.0.1:{one.getsockname()[1]}" for one in sockets)
    words = (
        *(sys.executable, "-m", "jupyterhub", "--config", str(CONFIG)),
        "--JupyterHub.authenticator_class=dummy",
        *(f"--JupyterHub.bind_url={public}", f"--JupyterHub.hub_bind_url={private}"),
        *(f"--ConfigurableHTTPProxy.api_url={proxy}", f"--DummyAuthenticator.password={PASSWORD}"),
        *words,
    )
    if not AS_ROOT:
        words += (
            "--JupyterHub.spawner_class=simple",
            f"--SimpleLocalProcessSpawner.home_dir_template={folder}/home/{{username}}",
        )
    kept = {
        name: value for name, value in not_activated().items() if not name.startswith(("JUPYTER", "PYTEST"))
    }
    environment = {
        **kept,
        "HOME": str(folder),
        "PYTHONPATH": str(ROOT / "src"),
        "COURSEWORK_EXCHANGE": str(folder / "exchange"),
    }
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(inside(folder, *words), env=environment, stdout=log, stderr=log), public


@pytest.fixture
def hub(folder: Path) -> Iterator[Hub]:
    process, address = start(folder)
    try:
        deadline = time.monotonic() + 120
        while True:
            assert process.poll() is None, f"the hub ended:\n{(folder / 'log').read_text()}"
            assert time.monotonic() < deadline, f"the hub does not answer:\n{(folder / 'log').read_text()}"
            with contextlib.suppress(requests.ConnectionError):
                if requests.get(f"{address}/hub/health", timeout=5).ok:
                    break
            time.sleep(0.1)
        yield Hub(address, folder)
    finally:
        process.kill()  # and the kernel of Linux ends all that it started
        process.wait()
        with pytest.raises(requests.ConnectionError):
            requests.get(address, timeout=5)
        print((folder / "log").read_text())  # shown where a test has failed


@pytest.fixture
def people(hub: Hub) -> Iterator[tuple[Person, Person]]:
    """The instructor and the student, both logged in."""
    with requests.Session() as one, requests.Session() as other:
        both = Person(hub.address, INSTRUCTOR, one), Person(hub.address, STUDENT, other)
        for person in both:
            person.log_in()
        yield both


def test_a_problem_set_is_given_out_handed_in_graded_and_explained_on_a_hub(hub, people, tmp_path):
    instructor, student = people
    hub.exchange.chmod(0o777)
    with pytest.raises(NotStarted, match="chmod 1777"):
        student.start_server()
    hub.exchange.chmod(0o1777)
    with ThreadPoolExecutor() as pool:
        list(pool.map(Person.start_server, people))

    # The instructor puts the source into the course, and gives the problem set out with two clicks.
    for path in ("course", "course/source", f"course/source/{NAME}"):
        instructor.save(path)
    master = tmp_path / "master.md"
    master.write_text(MASTER)
    source = release.for_grader(masters.read(master), NAME, variant="2026")
    instructor.save(f"course/source/{NAME}/{NAME}.ipynb", source)
    formgrader = "formgrader/api/assignment"
    instructor.call("POST", f"{formgrader}/{NAME}/assign")
    instructor.call("POST", f"{formgrader}/{NAME}/release")

    # The student finds it, fetches it, answers the first question well and the second so that it seems right.
    given = student.call("GET", f"assignments?course_id={COURSE}")["value"]
    assert [(found["assignment_id"], found["status"]) for found in given] == [(NAME, "released")]
    asked = {"course_id": COURSE, "assignment_id": NAME}
    fetched = student.call("POST", "assignments/fetch", data=asked)["value"]
    assert [found["status"] for found in fetched] == ["fetched"]
    notebook = student.open(f"{NAME}/{NAME}.ipynb")
    assert "Half of two." in str(notebook)
    assert not re.search(rf"HIDDEN|{HIDDEN}|SOLUTION|Half of one|x / 2", str(notebook))
    for one in notebook.cells:
        right = "2 * x" if "def double" in one.source else "1"
        one.source = one.source.replace("raise NotImplementedError()", f"return {right}")
    student.save(f"{NAME}/{NAME}.ipynb", notebook)
    handed_in = student.call("POST", "assignments/submit", data=asked)["value"]
    assert [found["status"] for found in handed_in] == ["fetched", "submitted"]

    # The student can neither grade nor look.
    assert student.ask("GET", "formgrader/api/assignments").status_code == 404
    theirs = student.browser.get(f"{hub.address}/user/{INSTRUCTOR}/api/contents/course")
    assert theirs.status_code == 403
    if AS_ROOT:
        gradebook = hub.home(INSTRUCTOR) / "course" / "gradebook.db"
        assert "gradebook.db" in look(hub, INSTRUCTOR, gradebook)
        assert look(hub, STUDENT, gradebook) == "PermissionError"
        assert look(hub, STUDENT, hub.exchange / COURSE / "inbound") == "PermissionError"
        assert look(hub, STUDENT, hub.exchange / COURSE / "outbound") == f"['{NAME}']"

    # The instructor collects, grades in the sandbox, and gives the feedback out.
    instructor.call("POST", f"{formgrader}/{NAME}/collect")
    for _ in range(2):  # a second time in the same process, in a fresh folder
        instructor.call("POST", f"formgrader/api/submission/{NAME}/{STUDENT}/autograde")
    [row] = instructor.call("GET", f"formgrader/api/submissions/{NAME}")
    assert (row["student"], row["score"], row["max_score"]) == (STUDENT, 2, 5)
    instructor.call("POST", f"{formgrader}/{NAME}/generate_feedback")
    instructor.call("POST", f"{formgrader}/{NAME}/release_feedback")

    # The student fetches it, and opens the page.
    given = student.call("POST", "assignments/fetch_feedback", data=asked)["value"]
    [submission] = next(found["submissions"] for found in given if found["status"] == "submitted")
    page = student.ask("GET", f"files/{quote(submission['local_feedback_path'])}/{NAME}.html")
    assert page.ok, page.text
    assert "Score: 2.0 / 5.0" in page.text
    assert "Half of one." in page.text
    assert HIDDEN not in page.text
    exchange.require(hub.exchange, COURSE)  # what nbgrader made since has the modes that the hub asks for


def test_a_hub_does_not_start_with_an_exchange_that_is_open_to_the_wrong_people(folder):
    inbound = folder / "exchange" / COURSE / "inbound"
    inbound.mkdir()
    inbound.chmod(0o777)
    process, _ = start(folder)
    assert process.wait(timeout=120)
    assert f"chmod 733 {inbound}" in (folder / "log").read_text()


@pytest.mark.parametrize(
    ("path", "mode"),
    [("", 0o777), ("", 0o755), (COURSE, 0o775), (f"{COURSE}/outbound", 0o777), (f"{COURSE}/feedback", 0o755)],
)
def test_a_wrong_mode_in_the_exchange_is_named_with_the_command_that_corrects_it(tmp_path, path, mode):
    for made, right in {
        "": 0o1777,
        COURSE: 0o2755,
        **{f"{COURSE}/{name}": right for name, (right, _) in exchange.MODES.items()},
    }.items():
        (tmp_path / made).mkdir(exist_ok=True)
        (tmp_path / made).chmod(right)
    exchange.require(tmp_path, COURSE)
    (tmp_path / path).chmod(mode)
    with pytest.raises(exchange.BadExchange, match=rf"has mode {mode:o}, not .* chmod \d+ ") as told:
        exchange.require(tmp_path, COURSE)
    subprocess.run(str(told.value).rpartition("Change it: ")[2], shell=True, check=True)
    exchange.require(tmp_path, COURSE)


def test_an_exchange_that_is_missing_is_named_with_the_command_that_makes_it(tmp_path):
    for _ in range(2):
        with pytest.raises(exchange.BadExchange, match="is missing") as told:
            exchange.require(tmp_path / "exchange", COURSE)
        subprocess.run(str(told.value).rpartition("Make it: ")[2], shell=True, check=True)
    exchange.require(tmp_path / "exchange", COURSE)


def look(hub: Hub, name: str, path: Path) -> str:
    """What a user of the system sees of a file or a folder; the name of the error where that is nothing."""
    code = (
        "import os, sys; path = sys.argv[1]; print(os.listdir(path) if os.path.isdir(path) else open(path))"
    )
    user = ["setpriv", f"--reuid={UIDS[name]}", f"--regid={UIDS[name]}", "--clear-groups"]
    tried = subprocess.run(
        inside(hub.folder, *user, sys.executable, "-c", code, str(path)), capture_output=True, text=True
    )
    return tried.stderr.splitlines()[-1].split(":")[0] if tried.returncode else tried.stdout.strip()
