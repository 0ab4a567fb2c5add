"""What of `reports/` is committed: a clone in which somebody has run campaigns holds others beside it."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent


def reports(pattern: str) -> list[Path]:
    """The tracked files of `reports/` whose path in it matches; `*` stays within a folder, `**` does not."""
    command = ["git", "ls-files", "-z", "--", f":(glob)reports/{pattern}"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in sorted(filter(None, listed.split("\0")))]
