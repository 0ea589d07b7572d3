"""Uses the shell of `cloudsail sql` on a terminal, as a person does: types,
looks at the screen, presses Tab and Ctrl-C.

usage: shell.py BINARY SERVER_URL STORE_URL
"""

import fcntl
import os
import pty
import re
import select
import shutil
import socket
import struct
import sys
import tempfile
import termios
import threading
import time

BINARY, SERVER, STORE = sys.argv[1:]
ENDLESS = "SELECT count(*) FROM generate_series(1, 100000000000) WHERE value % 7 = 3;"
STEERING = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\r")
TAB, INTERRUPT, END, UP = "\t", "\x03", "\x04", "\x1b[A"
HOME = tempfile.mkdtemp()


class Shell:
    def __init__(self, *arguments, columns=100):
        self.seen, self.mark = b"", 0
        self.child, self.terminal = pty.fork()
        if self.child == 0:
            kept = {k: v for k, v in os.environ.items() if not k.startswith("CLOUDSAIL_")}
            os.chdir(HOME)
            os.execve(BINARY, [BINARY, "sql", *arguments], kept | {"HOME": HOME, "TERM": "xterm"})
        size = struct.pack("HHHH", 40, columns, 0, 0)
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, size)
        self.sees("cloudsail> ")

    def types(self, text):
        os.write(self.terminal, text.encode())

    def enters(self, line):
        self.types(line + "\r")

    def sees(self, *texts, patience=60):
        """Waits until all of these came since the last look, in this order."""
        end = time.monotonic() + patience
        for text in texts:
            wanted = text.encode()
            while (at := self.seen.find(wanted, self.mark)) < 0:
                left = end - time.monotonic()
                ready, _, _ = select.select([self.terminal], [], [], max(left, 0))
                got = b""
                if ready:
                    try:
                        got = os.read(self.terminal, 1 << 16)
                    except OSError:  # the shell has left
                        pass
                if not got:
                    screen = self.seen[max(0, self.mark - 500) :].decode(errors="replace")
                    raise AssertionError(f"never saw {text!r}; the screen:\n{screen}")
                # A sequence cut by the read is whole after the next one.
                self.seen = STEERING.sub(b"", self.seen + got)
            self.mark = at + len(wanted)

    def asks(self, statement, *texts):
        self.enters(statement)
        self.sees(*texts)
        self.sees("cloudsail> ")

    def leaves(self):
        _, status = os.waitpid(self.child, 0)
        os.close(self.terminal)
        assert status == 0, status


def everyday(*arguments):
    shell = Shell(*arguments)
    shell.asks("SELECT 1 AS one, '日本' AS two;", "one | two", "----", "  1 | 日本", "(1 row,")
    shell.asks("\\d", "name", "spans", "One row per")
    shell.asks("\\d spans", "column", "trace_id", "text")
    shell.asks("\\dt", "spans")
    shell.asks("\\df error_r", "error_ratio")
    shell.asks("\\l", "http://" if "--server" in arguments else "committed rows")
    shell.asks("\\?", "\\timing", "Ctrl-D")
    # Several lines, and a semicolon in a text.
    shell.enters("SELECT 'a;b' AS t,")
    shell.enters("  2 AS n")
    shell.asks(";", "t   | n", "a;b | 2", "(1 row,")
    # Completion: a table, a column with a dot, a key, a command.
    shell.types("SELECT span_id FROM spa" + TAB)
    shell.sees("spans")
    shell.asks(" LIMIT 0;", "(0 rows,")
    shell.types("SELECT attributes['http.rou" + TAB)
    shell.sees("http.route']")
    shell.asks(" AS r FROM spans LIMIT 0;", "(0 rows,")
    shell.types("\\tim" + TAB)
    shell.sees("\\timing")
    shell.asks("", "timing is on")
    shell.asks("SELECT 3;", "(1 row,", "time: ")
    shell.asks("\\timing off", "timing is off")
    # Wide rows take a line per column, narrow ones do not.
    shell.asks("SELECT * FROM spans LIMIT 1;", "-[ row 1 ]-", "trace_id", "(1 row,")
    shell.asks("\\x off", "off")
    shell.asks("\\x on", "on")
    shell.asks("SELECT 4 AS four;", "-[ row 1 ]-", "four | 4")
    shell.asks("\\x auto", "wider")
    for name, says in [("csv", "a,b"), ("ndjson", '{"a":1,"b":"x"}'), ("json", '"rows":['), ("table", "a | b")]:
        shell.asks(f"\\format {name}")
        shell.asks("SELECT 1 AS a, 'x' AS b;", says)
    # Files: text follows text, Parquet and Arrow hold one answer.
    shell.asks("\\format parquet")
    shell.asks("SELECT 1;", "error: ", "\\o FILE")
    shell.asks("\\o answer.parquet")
    shell.asks("SELECT 1 AS a;", "1 row to answer.parquet")
    shell.asks("\\format csv")
    shell.asks("\\o answer.csv")
    shell.asks("SELECT 1 AS a; SELECT 2 AS b;", "1 row to", "1 row to")
    shell.asks("\\o")
    shell.asks("\\format table")
    with open(f"{HOME}/answer.parquet", "rb") as file:
        assert file.read(4) == b"PAR1"
    with open(f"{HOME}/answer.csv", newline="") as file:
        assert file.read() == "a\r\n1\r\nb\r\n2\r\n"
    # What goes wrong is told, and the shell goes on.
    shell.asks("SELECT * FROM spanz;", "error: there is no table spanz", "hint: did you mean spans?")
    shell.asks("\\nonsense", "error: there is no command")
    shell.asks("\\o /nowhere/x", "error: cannot write /nowhere/x")
    # A long statement shows what it is at, and Ctrl-C ends it alone.
    shell.enters(ENDLESS)
    shell.sees("Ctrl-C cancels")
    shell.types(INTERRUPT)
    shell.sees("cancelled", "cloudsail> ", patience=20)
    shell.types("SELECT half" + INTERRUPT)
    shell.sees("cloudsail> ")
    shell.asks("SELECT 5 AS five;", "five", "(1 row,")
    shell.enters("\\q")
    shell.leaves()
    # What was typed is there the next time.
    shell = Shell(*arguments)
    shell.types(UP + UP)
    shell.sees("SELECT 5 AS five;")
    shell.asks("", "(1 row,")
    shell.types(END)
    shell.leaves()


class Proxy:
    """A way to the daemon that can be closed and opened again."""

    def __init__(self):
        host, port = SERVER.removeprefix("http://").split(":")
        self.to, self.at, self.open = (host, int(port)), ("127.0.0.1", 0), []

    def __enter__(self):
        self.listener = socket.create_server(self.at)
        self.at = self.listener.getsockname()
        threading.Thread(target=self.accept, args=[self.listener], daemon=True).start()
        return self

    def __exit__(self, *_):
        for it in [self.listener, *self.open]:
            try:
                it.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            it.close()
        self.open.clear()

    def accept(self, listener):
        while True:
            try:
                here, _ = listener.accept()
                there = socket.create_connection(self.to)
            except OSError:
                return
            self.open += [here, there]
            for pair in [(here, there), (there, here)]:
                threading.Thread(target=self.copy, args=pair, daemon=True).start()

    def copy(self, source, target):
        try:
            while got := source.recv(1 << 16):
                target.sendall(got)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def away():
    """The daemon goes away between and under statements, and comes back."""
    way = Proxy()
    with way:
        url = f"http://127.0.0.1:{way.at[1]}"
        shell = Shell("--server", url)
        shell.asks("SELECT 1 AS one;", "(1 row,")
        shell.enters(ENDLESS)
        shell.sees("Ctrl-C cancels")
    shell.sees("error: ", "broke off", "cloudsail> ")
    shell.asks("SELECT 1 AS one;", "error: cannot reach", "is the daemon running there?")
    shell.asks("\\d", "error: cannot reach")
    with way:
        shell.asks("SELECT 2 AS two;", "two", "(1 row,")
        shell.enters("\\q")
        shell.leaves()
    # Nobody is there from the start.
    shell = Shell("--server", url)
    shell.asks("SELECT 1 AS one;", "error: cannot reach")
    shell.types(END)
    shell.leaves()


try:
    everyday("--server", SERVER)
    everyday("--store", STORE)
    away()
finally:
    shutil.rmtree(HOME)
print("used")
