"""SIGKILL of the web server at random moments: jobs go on in processes of their own.

The next server tells the truth about them, about the variants and about the bookmarks that were acknowledged.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

# One process imports everything and forks the servers that it kills; each runs `tdw serve`, on the same port.
CODE = """
import atexit, http.client, json, os, random, signal, socket, sys, threading, time, traceback, warnings
from pathlib import Path
warnings.simplefilter("ignore")
import torch
torch.set_num_threads(1)
import analyzers.pipeline, cli, dashboard.serve, training.run
from dashboard.work.launch import enlist
from dashboard.work.orders import parse
from data import Workspace, doctor
from data.database.jobs import JobStore

sys.path.insert(0, sys.argv[3])
from test_faults import NAME, ORDER
where, kills = Path(sys.argv[1]), int(sys.argv[2])
EPOCHS = 8_000
random.seed(0)
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]

serving = []

@atexit.register
def stop():
    for pid in serving:  # none is left when all went well
        os.kill(pid, signal.SIGKILL)

def killed(pid):
    os.kill(pid, signal.SIGKILL)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    serving.remove(pid)

def forked():
    # a web server: `tdw serve` in a process of its own
    pid = os.fork()
    if pid:
        serving.append(pid)
        return pid
    sys.argv = ["tdw", "serve", "--workspace", str(where), "--port", str(port)]
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    try:
        cli.main()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)

def ask(method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        headers = {"Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        content = json.loads(answer.read())
        assert answer.status == 200, (path, answer.status, content)
        return content
    finally:
        connection.close()

def ready(pid):
    for _ in range(1200):
        try:
            return ask("GET", "/_jobs/active")
        except OSError:
            assert os.waitpid(pid, os.WNOHANG)[0] == 0, "the server ended by itself"
            time.sleep(0.05)
    raise AssertionError("no answer")

def waiting(order):
    # a job as somebody left it: it could not be started, and can be resumed
    job, _ = enlist(workspace, parse(order))
    JobStore(workspace.database).fail_to_start(job.id, "No process.")
    return job.id

workspace = Workspace(where, create=True)
small = {"p": 5, "seed": 3}
made = training.run.train_variant(workspace, "modular_addition", small, ORDER["config"], 8, "0,8", "cpu")
analyzers.pipeline.analyze(made, ["weight_norms"])  # else a server begins to analyse on its own
long = waiting({**ORDER, "epochs": EPOCHS, "checkpoints": f"0:{EPOCHS}:400", "state_every": 2_000})
short = waiting({**ORDER, "params": {"p": 5, "seed": 2}})
workspace.database.close()

kept, tried = [], []  # names of bookmarks: acknowledged; sent

def visit(over):
    # what pages do all the time, until the server is gone
    try:
        while not over.is_set():
            tried.append(f"place {len(tried)}")
            place = {"name": tried[-1], "address": f"/?variant={NAME}&epoch={len(tried)}"}
            ask("POST", "/_bookmarks", place)
            kept.append(place["name"])
            for path in ("/_info", "/_jobs?limit=5", "/_pulse?variant=" + NAME):
                ask("GET", path)
    except (OSError, http.client.HTTPException, ValueError):
        pass

def check(before):
    # what a page that is opened now says, beside what was said before
    marks = [one["name"] for one in ask("GET", "/_bookmarks")]
    assert len(marks) == len({*marks}), marks
    assert {*kept} <= {*marks} <= {*tried}, {*kept} ^ {*marks}
    kept[:] = marks
    job = ask("GET", "/_jobs/" + long)
    assert job["attempt"] == 1 and job["state"] in ("running", "done"), job
    assert job["done"] >= before["done"], (job["done"], before["done"])
    assert before["owner"] in (None, job["owner"]), "another process has taken it over"
    info = ask("GET", "/_info?variant=" + NAME)
    assert info["error"] is None and {*info["epochs"]} >= {*before["epochs"]}, info
    listed = {one["id"]: one["state"] for one in ask("GET", "/_jobs")}
    assert listed[long] in ("running", "done") and set(listed) == {long, short}, listed
    return {"done": job["done"], "owner": job["owner"], "epochs": info["epochs"], "state": job["state"]}

def until(ident, states, seconds=240):
    for _ in range(10 * seconds):
        job = ask("GET", "/_jobs/" + ident)
        if job["state"] in states:
            return job
        time.sleep(0.1)
    raise AssertionError(job)

known = {"done": 0, "owner": None, "epochs": []}
seen_running = 0
for kill in range(kills):
    pid = forked()
    ready(pid)
    if kill == 0:
        ask("POST", f"/_jobs/{long}/resume")
        until(long, ("running",))
        while not ask("GET", "/_info?variant=" + NAME).get("epochs"):
            time.sleep(0.05)
    known = check(known)
    seen_running += known["state"] == "running"
    over = threading.Event()
    visitor = threading.Thread(target=visit, args=(over,))
    visitor.start()
    time.sleep(random.uniform(0, 0.4))
    if kill == 1:  # in the middle of starting a job
        starter = threading.Thread(target=lambda: http.client.HTTPConnection("127.0.0.1", port).request(
            "POST", f"/_jobs/{short}/resume"))
        starter.start()
        starter.join()
        time.sleep(random.uniform(0, 0.03))
    killed(pid)
    over.set()
    visitor.join()
pid = forked()
ready(pid)
known = check(known)
if until(short, ("failed", "interrupted", "done"))["state"] != "done":
    ask("POST", f"/_jobs/{short}/resume")
    assert until(short, ("failed", "interrupted", "done"))["state"] == "done"
ended = until(long, ("done", "failed", "interrupted", "cancelled"))
assert ended["state"] == "done" and ended["attempt"] == 1, ended
assert ask("GET", "/_info?variant=" + NAME)["epochs"] == list(range(0, EPOCHS + 1, 400))
killed(pid)
workspace = Workspace(where)
doctor.repair(workspace, doctor.examine(workspace))
assert doctor.examine(workspace) == []
assert JobStore(workspace.database).active() == []
assert seen_running >= 3, f"the job was over after {seen_running} kills"
print("killed", kills, "while the job ran:", seen_running, "bookmarks:", len(kept))
"""


def test_the_web_server_is_killed_while_a_job_runs(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path / "workspace"), "6", str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=Path.cwd(),
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.startswith("killed 6")
