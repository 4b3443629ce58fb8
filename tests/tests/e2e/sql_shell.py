"""A person at a terminal who uses `avycenna sql`: types, waits for what must appear, and prints what became of it as JSON.

    python3 sql_shell.py FOLDER avycenna sql --url … --key …
"""

import fcntl
import json
import os
import pty
import re
import select
import struct
import sys
import termios
import time

DEADLINE_S = 60
FIRST, MORE, CTRL_C = "avycenna=> ", "avycenna-> ", "\x03"
# Of what stands on the left of a join all is kept: so this takes time alone.
ENDLESS = "SELECT sum(a.value / v) FROM points a, (SELECT b.value / w AS v FROM points b, (SELECT c.value / u AS w FROM points c, (SELECT d.value / t AS u FROM points d, (SELECT e.value / f.value AS t FROM points e, points f))));"


class Shell:
    def __init__(self, folder: str, command: list):
        self.seen, self.pid = "", 0
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            # Or else a Ctrl-C typed once too often throws away what was said of the one before.
            settings = termios.tcgetattr(0)
            settings[3] |= termios.NOFLSH
            termios.tcsetattr(0, termios.TCSANOW, settings)
            os.environ.update(HOME=folder, TERM="xterm")
            os.chdir(folder)
            os.execv(command[0], command)
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 400, 0, 0))

    def read(self, wait_s: float) -> bool:
        ready, _, _ = select.select([self.terminal], [], [], wait_s)
        if not ready:
            return True
        try:
            piece = os.read(self.terminal, 65_536)
        except OSError:
            return False
        self.seen += piece.decode(errors="replace")
        return bool(piece)

    def until(self, text: str, again: str = "") -> str:
        """What appears up to a text, which is taken away; what is typed `again` until then."""
        deadline = time.monotonic() + DEADLINE_S
        while text not in self.seen:
            if time.monotonic() > deadline:
                raise SystemExit(f"never {text!r}, but {self.seen[-2_000:]!r}")
            if not self.read(0.2) and text not in self.seen:
                raise SystemExit(f"the end came before {text!r}: {self.seen[-2_000:]!r}")
            if again:
                os.write(self.terminal, again.encode())
        before, self.seen = self.seen.split(text, 1)
        return re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]", "", before)

    def line(self, text: str, prompt: str = FIRST) -> None:
        self.until(prompt)
        os.write(self.terminal, f"{text}\r".encode())

    def afresh(self, text: str) -> None:
        """Types a line when nothing more appears: what was typed ahead too often is gone by then."""
        seen = None
        while seen != self.seen:
            seen = self.seen
            self.read(1)
        self.seen = FIRST
        self.line(text)

    def ended(self) -> int:
        while self.read(DEADLINE_S):
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def main() -> None:
    folder, command = sys.argv[1], sys.argv[2:]
    shell, found = Shell(folder, command), {}
    shell.line("SELECT metric,")
    shell.line("  count(*) AS n", MORE)
    shell.line("FROM points GROUP BY metric;", MORE)
    found["table"] = shell.until("(1 row)").split("metric;")[-1].split()
    shell.line("SELECT 1;\tSELECT valu FROM points;")
    shell.until("No field named valu")
    found["place"] = shell.until("^").split("LINE 1: ")[1].replace("\r", "").split("\n")
    # A statement that went wrong is given up, and the next one is its own.
    shell.line("SELECT 'open")
    shell.line("\\q stands in a text", MORE)
    shell.until(MORE)
    os.write(shell.terminal, CTRL_C.encode())
    shell.line("SELECT 2 AS two;")
    shell.until("(1 row)")
    shell.line(ENDLESS)
    shell.until("ended by Ctrl-C", again=CTRL_C)
    shell.afresh("SELECT 3 AS three;")
    shell.until("(1 row)")
    shell.line("\\o two.csv")
    shell.line("SELECT metric FROM metrics ORDER BY metric LIMIT 2;")
    found["note"] = shell.until("two.csv\r\n").split("LIMIT 2;")[-1].split()
    with open(os.path.join(folder, "two.csv"), encoding="utf-8") as file:
        found["file"] = file.read()
    shell.line("\\o two.xls")
    shell.until(".csv, .json, .arrow or .parquet")
    shell.line("SELECT a.value FROM points a, points b;")
    shell.until("(2304 rows)")
    found["shown"] = shell.until("takes all.").split()
    shell.line("\\d points")
    shell.until("source_device_id")
    shell.line("SELECT")
    shell.line("\\q", MORE)
    found["code"] = shell.ended()
    with open(os.path.join(folder, ".avycenna_history"), encoding="utf-8") as file:
        found["kept"] = [line for line in file.read().splitlines() if "count(*) AS n" in line]
    # Who may not ask is told so at once.
    refused = Shell(folder, [*command[:-1], "avk_wrong"])
    refused.until("avycenna: 401")
    found["refused"] = refused.ended()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
