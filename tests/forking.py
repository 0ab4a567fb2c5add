"""`lautum` for campaigns of many short jobs: each is forked from a process that has imported torch, which takes longer
than such a job.

`python forking.py FOLDER` waits for jobs; FOLDER/lautum is a command in place of `lautum` then. A job is a process of
its own all the same, with the arguments, folder, variables and files of the command, which ends with its exit code.
"""

import json
import os
import signal
import socket
import sys
import traceback
from array import array
from pathlib import Path

COMMAND = """#!{python} -ISu
import json, os, socket, sys
from array import array
wanted = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
with socket.socket(socket.AF_UNIX) as server:
    server.connect({path!r})
    server.sendmsg([len(wanted).to_bytes(8, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [0, 1, 2]))])
    server.sendall(wanted)
    code = server.recv(1)
sys.exit(code[0] if code else 1)
"""


def main(folder: Path) -> None:
    import matplotlib.figure  # noqa: F401
    import pandas  # noqa: F401
    import torch  # noqa: F401

    from lautum.cli import results, steps  # noqa: F401
    from lautum.pipeline import cells, verify  # noqa: F401
    from lautum.report import campaign  # noqa: F401

    path = folder / "socket"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen(100)
        draft = folder / "draft"
        draft.write_text(COMMAND.format(python=sys.executable, path=str(path)))
        draft.chmod(0o755)
        draft.rename(folder / "lautum")
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how a child ended
        while True:
            client, _ = server.accept()
            if os.fork() == 0:
                server.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                os._exit(serve(client))
            client.close()


def serve(client: socket.socket) -> int:
    """Fork the job and tell its exit code; a signal's as a shell does."""
    from lautum.cli import main as lautum

    size, received, *_ = client.recvmsg(8, socket.CMSG_LEN(3 * array("i").itemsize))
    files = array("i", received[0][2])
    content = b""
    while len(content) < int.from_bytes(size, "big"):
        more = client.recv(2**16)
        if not more:  # whoever asked has ended
            return 1
        content += more
    job = os.fork()
    if job == 0:
        client.close()
        arguments, folder, variables = json.loads(content)
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(variables)
        code = 1
        try:
            code = lautum(arguments)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(job, 0)
    code = os.waitstatus_to_exitcode(status)
    client.sendall(bytes([code if code >= 0 else 128 - code]))
    return 0


if __name__ == "__main__":
    main(Path(sys.argv[1]))
