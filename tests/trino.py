"""A real Trino, which Athena is made of, for as long as a command runs: `python -m tests.trino pytest -k athena`.

Maven fetches it, half a gigabyte, once. Its Java, 24 or newer, is that of TRINO_JAVA_HOME.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import free_ports

VERSION = "476"
FETCHED = Path.home() / ".m2" / "repository" / "io" / "trino"
OPTIONS = (
    *("-Xmx2g", "-XX:+UseG1GC", "-XX:ReservedCodeCacheSize=256M", "-XX:+ExitOnOutOfMemoryError"),
    *("--add-modules=jdk.incubator.vector", "--sun-misc-unsafe-memory-access=allow"),
    *("--enable-native-access=ALL-UNNAMED", "-Dnode.environment=tests", "-Dnode.internal-address=127.0.0.1"),
)
SETTINGS = """\
coordinator=true
node-scheduler.include-coordinator=true
catalog.management=dynamic
catalog.store=memory
query.max-memory=600MB
query.max-memory-per-node=600MB
memory.heap-headroom-per-node=400MB
http-server.http.port={0}
discovery.uri=http://127.0.0.1:{0}
"""


@contextmanager
def trino() -> Iterator[str]:
    """The URL of one, without catalogs."""
    java = Path(os.environ["TRINO_JAVA_HOME"], "bin", "java")
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder, "trino")
        with tarfile.open(_fetched("trino-server-core", "tar.gz")) as archive:
            archive.extractall(folder, filter="data")
        Path(folder, f"trino-server-core-{VERSION}").rename(home)
        with zipfile.ZipFile(_fetched("trino-iceberg", "zip")) as archive:
            archive.extractall(home / "plugin")
        config = Path(folder, "config.properties")
        config.write_text(SETTINGS.format(port))
        place = [f"-Dconfig={config}", f"-Dnode.data-dir={folder}/data", f"-Dplugin.dir={home}/plugin"]
        command = [java, *OPTIONS, *place, "-cp", f"{home}/lib/*", "io.trino.server.TrinoServer"]
        with Path(folder, "log").open("w+") as log:
            server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
            try:
                _wait_for(f"http://127.0.0.1:{port}", server, Path(log.name))
                yield f"http://127.0.0.1:{port}"
            finally:
                server.kill()
                server.wait()


def _fetched(name: str, kind: str) -> Path:
    artifact = f"-Dartifact=io.trino:{name}:{VERSION}:{kind}"
    subprocess.run(["mvn", "-B", "-q", "dependency:get", "-Dtransitive=false", artifact], check=True)
    return FETCHED / name / VERSION / f"{name}-{VERSION}.{kind}"


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 180
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/v1/info", timeout=5) as answer:
                if b'"starting":false' in answer.read():
                    return
        except OSError:
            pass
        time.sleep(1)
    raise RuntimeError(f"Trino did not come up:\n{log.read_text()[-5000:]}")


if __name__ == "__main__":
    with trino() as url:
        environment = os.environ | {"SCHEMAHUB_TRINO": url}
        sys.exit(subprocess.call([sys.executable, "-m", *sys.argv[1:]], env=environment))
