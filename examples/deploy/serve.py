"""A service as it is installed: all that operating it needs is said here, with the reasons.

python3 serve.py --devel                    on a laptop
python3 serve.py install                    as a service of systemd, started at boot
python3 serve.py reload                     new code, without a failed request
python3 serve.py --nginx-conf=example.com   nginx in front, with the static files
"""

import os

import skitai
from atila import Atila

app = Atila(__name__)


@app.get("/")
async def index(was):
    return was.API(release=app.config.RELEASE)


if __name__ == "__main__":
    # What differs between machines comes from the environment, with values for a laptop here.
    with skitai.preference() as pref:
        pref.config.RELEASE = os.environ.get("RELEASE", "development")
        pref.set_static("/static", "static")
        skitai.mount("/", app, pref)

    # Files that are rotated daily and kept for 14 days; on a laptop the screen is better.
    if skitai.isproduction():
        skitai.enable_file_logging(os.environ.get("LOGS", "logs"), keep=14)
    skitai.log_off("/-/*", "*.css", "/favicon.ico")  # what only fills the log

    skitai.run(
        name="tea-house",  # of the processes, the unit of systemd and the directory of traces
        port=5000,
        # nginx on this machine is the only client. It is believed about addresses of clients.
        address=os.environ.get("ADDRESS", "127.0.0.1"),
        # One for each processor; threads are for plain functions, which wait most of the time.
        workers=int(os.environ.get("WORKERS", 2)),
        threads=8,
        # A stop or reload lets requests finish for so many seconds.
        drain_timeout=20,
        # Nothing here takes large bodies: the limit says so before one is read.
        max_upload_size=1 << 20,
        # For the load balancer, Prometheus and people. Only these addresses may see them.
        health_path="/-/health",
        metrics_path="/-/metrics",
        status_path="/-/status",
        status_access=os.environ.get("MONITORS", "127.0.0.0/8 ::1"),
        # The log shows the stack of what holds a thread for 30 s, or the loop for 1 s.
        report_stuck=30,
        report_blocked=1,
    )
