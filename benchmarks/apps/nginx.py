"""The limit of passing on and of static files: nginx with one worker process, in place of this one.

`UPSTREAM_PORT` in the environment is where benchmarks/apps/upstream.py listens.
"""

from __future__ import annotations

import argparse
import getpass
import os
import shutil
import sys
from pathlib import Path

# Connections are never closed for their age: by default it would be after 1,000 requests.
CONFIG = """
daemon off;
user {user};
worker_processes 1;
pid {folder}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    types {{ text/plain txt; }}
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000000;
    upstream asked {{
        server 127.0.0.1:{upstream};
        keepalive 256;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=2048;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        location /files/ {{ root {root}; }}
        location = /proxy {{ proxy_pass http://asked/kilobyte; }}
        location = /async/proxy {{ proxy_pass http://asked/kilobyte; }}
    }}
}}
"""


def main() -> None:
    """Write the configuration and become nginx."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    if shutil.which("nginx") is None:
        sys.exit("error: nginx is not installed: apt-get install nginx-light")
    folder = options.folder / "nginx"
    folder.mkdir(exist_ok=True)
    config = folder / "nginx.conf"
    # As this user, who may read the directory; nginx ignores it unless that is root.
    places = {"user": getpass.getuser(), "folder": folder, "root": options.folder}
    config.write_text(
        CONFIG.format(port=options.port, upstream=os.environ["UPSTREAM_PORT"], **places)
    )
    os.execvp("nginx", ["nginx", "-e", "stderr", "-c", str(config)])


if __name__ == "__main__":
    main()
