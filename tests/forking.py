"""Commands that begin at once: to import what a command needs takes longer than a short job does, so each is forked
from a process that has imported it.

`python forking.py FOLDER lautum snakemake` waits for commands; FOLDER/lautum and FOLDER/snakemake stand for those of
the environment then. What is forked is a process of its own all the same, with the arguments, folder, variables and
files of the command, which ends with its exit code. A signal to the command does not reach it.
"""

import atexit
import importlib
import json
import os
import signal
import socket
import sys
import threading
import traceback
from array import array
from pathlib import Path

COMMAND = """#!{python} -ISu
import json, os, socket, sys
from array import array
wanted = json.dumps([{name!r}, sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
with socket.socket(socket.AF_UNIX) as server:
    server.connect({path!r})
    server.sendmsg([len(wanted).to_bytes(8, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [0, 1, 2]))])
    server.sendall(wanted)
    code = server.recv(1)
sys.exit(code[0] if code else 1)
"""
# What each command imports; the first has its `main`.
MODULES = {
    "lautum": [
        "lautum.cli",
        "lautum.cli.results",
        "lautum.cli.steps",
        "lautum.pipeline.cells",
        "lautum.pipeline.verify",
        "lautum.report.campaign",
        "matplotlib.figure",
        "pandas",
        "torch",
    ],
    "snakemake": ["snakemake.cli", "snakemake.report", "lautum.results.status", "lautum.results.universes"],
}


def main(folder: Path, names: list[str]) -> None:
    for module in (module for name in names for module in MODULES[name]):
        importlib.import_module(module)
    path = folder / "socket"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen(100)
        for name in names:
            draft = folder / "draft"
            draft.write_text(COMMAND.format(python=sys.executable, path=str(path), name=name))
            draft.chmod(0o755)
            draft.rename(folder / name)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how a child ended
        while True:
            client, _ = server.accept()
            if os.fork() == 0:
                server.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                os._exit(serve(client))
            client.close()


def serve(client: socket.socket) -> int:
    """Fork the process and tell its exit code; a signal's as a shell does."""
    size, received, *_ = client.recvmsg(8, socket.CMSG_LEN(3 * array("i").itemsize))
    files = array("i", received[0][2])
    content = b""
    while len(content) < int.from_bytes(size, "big"):
        more = client.recv(2**16)
        if not more:  # whoever asked has ended
            return 1
        content += more
    process = os.fork()
    if process == 0:
        client.close()
        name, arguments, folder, variables = json.loads(content)
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(variables)
        run(name, arguments)
    _, status = os.waitpid(process, 0)
    code = os.waitstatus_to_exitcode(status)
    client.sendall(bytes([code if code >= 0 else 128 - code]))
    return 0


def run(name: str, arguments: list[str]) -> None:
    """The command in this process, which ends after its threads and its own exit functions."""
    atexit._clear()  # those of the process it is forked from
    sys.argv[:] = [name, *arguments]
    code: object = 1
    try:
        code = sys.modules[MODULES[name][0]].main(arguments)
    except SystemExit as end:
        code = end.code
        if not isinstance(code, int | None):
            print(code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
