"""gunicorn -c deploy/gunicorn.conf.py: the dashboard on several processes, set by environment variables."""

import os

wsgi_app = "dashboard.wsgi:application()"
bind = os.environ.get("TDW_BIND", "127.0.0.1:8050")
workers = int(os.environ.get("TDW_PROCESSES", "2"))
worker_class = "gthread"
threads = int(os.environ.get("TDW_THREADS", "8"))
timeout = 120  # seconds; the slowest view of a large run, computed for the first time, takes a few
graceful_timeout = 20
keepalive = 75  # seconds; less, and a connection may close under the next request of somebody who reads
limit_request_line = 8190  # the longest that gunicorn takes; an address names every selected variant
control_socket_disable = True
accesslog = os.environ.get("TDW_ACCESS_LOG")


def on_starting(server):
    """Refuse to be open to other machines without a password, before anything listens."""
    from dashboard.security import PASSWORD_VARIABLE, credentials, is_loopback

    hosts = [address[0] for address in server.cfg.address if isinstance(address, tuple)]
    exposed = [host for host in hosts if not is_loopback(host)]
    if exposed and not credentials():
        raise SystemExit(
            f"{exposed[0]} can be reached from other machines. Set {PASSWORD_VARIABLE} to a password."
        )
