#!/usr/bin/env python3
"""The query bench: queries.sql on a daemon, and on DuckDB and chDB over the very files it wrote.

    run.py load DIR [--spans 10000000] [--logs 5000000] [--hours 24]
    run.py run DIR [--engines cloudsail,duckdb,chdb] [--rounds 3] [--only NAME,...] [--json OUT]

`load` starts a daemon in DIR, sends it the data set (load.rs), flushes, compacts and stops it.
`run` starts it again; each engine gets 2 threads. The figure is CPU time of all threads of the
engine's process, the median of the rounds after a first one; a short query is repeated within a
round. The daemon's includes its HTTP door and Arrow IPC, the others' an Arrow table. Answers are
compared: numbers to six digits, a p99 to twenty per cent, and to
fifty where it is of fewer than 500 values.

Needs Python with duckdb, chdb and pyarrow, and release builds:
`cargo build --release && cargo build --release --example query-load`.
"""
import argparse, datetime, json, math, os, re, signal, statistics, subprocess, sys, time, urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
TARGET = os.environ.get("CARGO_TARGET_DIR", os.path.join(HERE, "../../target")) + "/release"
THREADS = 2
# Within a round a query is repeated until this much wall time has passed.
ROUND = 0.3

MACROS = {
    "cloudsail": {"TS": "TIMESTAMPTZ '{}+00'", "P99": "p99({})", "MINUTE": "date_trunc('minute', {})",
                  "ATTR": "attributes['{}']"},
    # date_trunc of a timestamptz goes through ICU there: this is its fastest form.
    "duckdb": {"TS": "TIMESTAMPTZ '{}+00'", "P99": "approx_quantile({}, 0.99)", "MINUTE": "epoch_us({}) // 60000000",
               "ATTR": "coalesce(\"{0}\", attributes['{0}'])"},
    "chdb": {"TS": "toDateTime64('{}', 6, 'UTC')", "P99": "quantileTDigest(0.99)({})", "MINUTE": "toStartOfMinute({})",
             "ATTR": "coalesce(\"{0}\", attributes['{0}'])"},
}


def queries(engine, values, only):
    text = open(f"{HERE}/queries.sql").read()
    for part in re.split(r"^-- name: ", text, flags=re.M)[1:]:
        name, sql = part.split("\n", 1)
        sql = " ".join(line for line in sql.split("\n") if not line.startswith("--")).strip()
        for key, value in values.items():
            sql = sql.replace("{" + key + "}", value)
        for macro, form in MACROS[engine].items():
            sql = re.sub(rf"\b{macro}\('?([^()']*)'?\)", lambda m: form.format(m.group(1)), sql)
        if not only or name in only:
            yield name, sql


# --- engines ------------------------------------------------------------------------------------

class Daemon:
    """A release daemon on DIR's data; ends with the `with`."""

    def __init__(self, directory, settings=()):
        self.directory = os.path.abspath(directory)
        ports = f"{self.directory}/ports.json"
        if os.path.exists(ports):
            os.remove(ports)
        doors = ["otlp.grpc.listen=", "otlp.http.listen=127.0.0.1:0", "http.listen=127.0.0.1:0", "flight.listen=", "postgres.listen="]
        command = [os.environ.get("CLOUDSAIL", f"{TARGET}/cloudsail"), "serve", "--ports-file", ports]
        for setting in [*doors, *settings]:
            command += ["--set", setting]
        self.process = subprocess.Popen(command, cwd=self.directory, stdout=open(f"{self.directory}/daemon.log", "a"), stderr=subprocess.STDOUT)
        while not (os.path.exists(ports) and os.path.getsize(ports)):
            if self.process.poll() is not None:
                raise SystemExit(f"the daemon ended; see {self.directory}/daemon.log")
            time.sleep(0.05)
        self.ports = json.load(open(ports))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()

    def post(self, path, body=b"", accept="application/json"):
        request = urllib.request.Request(f"http://{self.ports['http']}{path}" if ":" in str(self.ports["http"]) else f"http://127.0.0.1:{self.ports['http']}{path}",
                                         data=body, method="POST", headers={"Accept": accept, "Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=3600) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            raise RuntimeError(error.read().decode()) from error

    def ask(self, sql):
        return self.post("/api/v1/sql", json.dumps({"query": sql}).encode(), "application/vnd.apache.arrow.stream")

    def cpu(self):
        """CPU seconds of all threads of the process, by its own clock (clock_getcpuclockid)."""
        return time.clock_gettime(((~self.process.pid) << 3) | 2)

    def resident(self, reset=False):
        if reset:
            open(f"/proc/{self.process.pid}/clear_refs", "w").write("5")
        status = open(f"/proc/{self.process.pid}/status").read()
        return int(re.search(r"VmHWM:\s+(\d+)", status).group(1)) // 1024


def table(stream):
    import pyarrow as pa
    return pa.ipc.open_stream(stream).read_all()


def open_duckdb(files):
    import duckdb
    con = duckdb.connect()
    con.execute(f"SET threads={THREADS}; SET TimeZone='UTC'")
    for name, paths in files.items():
        con.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet({paths!r}, hive_partitioning = true)")
    return (lambda sql: con.sql(sql).to_arrow_table()), duckdb.__version__


def open_chdb(files):
    import chdb
    from chdb import session
    s = session.Session()
    s.query("CREATE DATABASE IF NOT EXISTS b")
    s.query("USE b")
    for name, paths in files.items():
        root = os.path.commonpath(paths)
        inner = ",".join(os.path.relpath(path, root) for path in paths)
        glob = f"{root}/{{{inner}}}" if len(paths) > 1 else paths[0]
        s.query(f"CREATE VIEW {name} AS SELECT * FROM file('{glob}', Parquet)")
    tail = f" SETTINGS max_threads={THREADS}, session_timezone='UTC', output_format_arrow_string_as_string=1"
    return (lambda sql: table(s.query(sql + tail, "ArrowStream").bytes())), chdb.__version__


# --- answers ------------------------------------------------------------------------------------

def rows(answer):
    """Rows of plain values, sorted; maps and lists are left out, columns by name."""
    columns = {}
    for name in sorted(answer.column_names):
        values = answer.column(name).to_pylist()
        if name != "date" and not any(isinstance(v, (list, dict, tuple)) for v in values):
            columns[name] = [plain(name, v) for v in values]
    return list(columns), list(zip(*columns.values()))


def plain(name, value):
    if isinstance(value, bytes):
        value = value.decode()
    if name == "m" and isinstance(value, int) and value > 10**9:
        # chDB's DateTime: seconds as a number.
        value //= 60
    if isinstance(value, datetime.datetime):
        value = value.replace(tzinfo=value.tzinfo or datetime.timezone.utc)
        value = int(value.timestamp()) // 60 if name == "m" else round(value.timestamp() * 1e6)
    if value is not None and not isinstance(value, (str, bool, int)):
        value = float(value)
    return value


def differ(one, other):
    """What is different about two answers, or None."""
    (names, a), (others, b) = one, other
    shared = [n for n in names if n in others]
    if not shared or len(a) != len(b):
        return f"{len(a)} rows and {len(b)}"
    inexact = [n for n in shared if any(isinstance(v, float) for v in [r[names.index(n)] for r in a] + [r[others.index(n)] for r in b])]
    rough = "p99" in shared
    exact = [n for n in shared if n not in inexact and n != "p99"]

    def keyed(names, rows):
        return {tuple(r[names.index(n)] for n in exact): r for r in rows}
    x, y = keyed(names, a), keyed(others, b)
    both = x.keys() & y.keys()
    # A limit on an estimated order may cut at another row.
    if len(both) < (0.8 if rough else 1) * len(x):
        return f"{len(x) - len(both)} rows differ, such as {next(iter(x.keys() - both))} and {next(iter(y.keys() - both), None)}"
    for key in both:
        for n in inexact + ["p99"] * (rough and "p99" not in inexact):
            u, v = x[key][names.index(n)], y[key][others.index(n)]
            # Of few values it is a matter of interpolation.
            few = "n" in names and x[key][names.index("n")] < 500
            if not math.isclose(u or 0, v or 0, rel_tol=1e-6 if n != "p99" else 0.5 if few else 0.2):
                return f"{n} of {key} is {u} and {v}"
    return None


# --- measuring ----------------------------------------------------------------------------------

def measure(ask, cpu, rounds):
    """(answer, CPU ms per run: median of the rounds after the first, wall ms)."""
    answer = ask()
    used, walls = [], []
    for _ in range(rounds):
        wall, before, runs = time.perf_counter(), cpu(), 0
        while runs == 0 or time.perf_counter() - wall < ROUND:
            answer = ask()
            runs += 1
        used.append((cpu() - before) / runs * 1e3)
        walls.append((time.perf_counter() - wall) / runs * 1e3)
    return answer, statistics.median(used), statistics.median(walls)


def child(a):
    """One engine in a process of its own; a JSON object per line."""
    import pyarrow as pa
    given = json.load(open(a.child))
    ask, version = {"duckdb": open_duckdb, "chdb": open_chdb}[given["engine"]](given["files"])
    print(json.dumps({"version": version}), flush=True)
    for name, sql in queries(given["engine"], given["values"], a.only):
        try:
            answer, cpu, wall = measure(lambda: ask(sql), time.process_time, a.rounds)
            sink = f"{a.directory}/answers/{given['engine']}.{name}.arrow"
            with pa.ipc.new_stream(sink, answer.schema) as out:
                out.write_table(answer)
            print(json.dumps({"query": name, "cpu": cpu, "wall": wall}), flush=True)
        except Exception as error:  # an engine's refusal is a result
            print(json.dumps({"query": name, "error": str(error)[:300]}), flush=True)
    peak = re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())
    print(json.dumps({"resident": int(peak.group(1)) // 1024}), flush=True)


def cloudsail(a, daemon, values):
    daemon.resident(reset=True)
    version = table(daemon.ask("SELECT version()")).column(0)[0].as_py()
    yield {"version": version.split()[1] if " " in version else version}
    for name, sql in queries("cloudsail", values, a.only):
        try:
            answer, cpu, wall = measure(lambda: daemon.ask(sql), daemon.cpu, a.rounds)
            open(f"{a.directory}/answers/cloudsail.{name}.arrow", "wb").write(answer)
            yield {"query": name, "cpu": cpu, "wall": wall}
        except RuntimeError as error:
            yield {"query": name, "error": str(error)[:300]}
    yield {"resident": daemon.resident()}


def foreign(a, engine, files, values):
    given = f"{a.directory}/answers/{engine}.json"
    json.dump({"engine": engine, "files": files, "values": values}, open(given, "w"))
    command = [sys.executable, __file__, "run", a.directory, "--child", given, "--rounds", str(a.rounds)]
    if a.only:
        command += ["--only", ",".join(a.only)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            yield json.loads(line)


def needles(daemon):
    """A trace of the middle of the day that has logs, a user of it, a path of it."""
    rows = table(daemon.ask("SELECT trace_id, time FROM logs WHERE time >= '2026-11-22T12:20:00Z' AND time < '2026-11-22T12:25:00Z' ORDER BY time, trace_id LIMIT 1"))
    trace, at = rows.column(0)[0].as_py(), rows.column(1)[0].as_py()
    span = table(daemon.ask(f"SELECT attributes['user.id'], \"url.path\" FROM spans WHERE trace_id = '{trace}' ORDER BY span_id LIMIT 1"))
    hour = at.replace(minute=0, second=0, microsecond=0)
    late = table(daemon.ask("SELECT attributes['user.id'] FROM spans WHERE time >= '2026-11-22T21:00:00Z' AND time < '2026-11-22T21:01:00Z' AND attributes['user.id'] > 'u01' ORDER BY time, span_id LIMIT 1"))
    text = "%Y-%m-%d %H:%M:%S"
    return {"TRACE_ID": trace, "TRACE_LO": hour.strftime(text), "TRACE_HI": (hour + datetime.timedelta(hours=1)).strftime(text),
            "USER_ID": late.column(0)[0].as_py(), "URL_PATH": span.column(1)[0].as_py()}


def live_files(daemon):
    files = {}
    for name in ("spans", "logs"):
        listed = []
        # A daemon serves before it has looked at its tables.
        while not listed:
            listed = table(daemon.ask(f"SELECT path FROM system.files WHERE table_name = '{name}' AND state = 'committed'")).column(0).to_pylist()
        files[name] = sorted(f"{daemon.directory}/cloudsail-data/store/{path}" for path in listed)
        hot = table(daemon.ask(f"SELECT count(*) FROM system.files WHERE table_name = '{name}' AND state <> 'committed'")).column(0)[0].as_py()
        if hot:
            raise SystemExit(f"{name} is not flushed")
    return files


def run(a):
    os.makedirs(f"{a.directory}/answers", exist_ok=True)
    found = {}
    with Daemon(a.directory, ["compaction.enabled=false", *a.set]) as daemon:
        files, values = live_files(daemon), needles(daemon)
        counts = [table(daemon.ask(f"SELECT count(*) FROM {t}")).column(0)[0].as_py() for t in ("spans", "logs")]
        sizes = [sum(os.path.getsize(f) for f in files[t]) / n for t, n in zip(("spans", "logs"), counts)]
        print(f"{counts[0]} spans in {len(files['spans'])} files, {sizes[0]:.0f} B each; {counts[1]} logs in {len(files['logs'])} files, {sizes[1]:.0f} B each")
        for engine in a.engines:
            results = cloudsail(a, daemon, values) if engine == "cloudsail" else foreign(a, engine, files, values)
            for r in results:
                found.setdefault(engine, []).append(r)
                if "error" in r:
                    print(f"{engine} {r['query']}: {r['error']}", file=sys.stderr)
    if a.json:
        json.dump(found, open(a.json, "w"), indent=1)
    report(a, found)


def report(a, found):
    value = lambda engine, what: next((str(r[what]) for r in found[engine] if what in r), "-")
    of = {engine: {r["query"]: r for r in results if "query" in r} for engine, results in found.items()}
    others = [e for e in a.engines if e != "cloudsail"]
    names = list(next(iter(of.values())))
    print(", ".join(f"{e} {value(e, 'version')}" for e in a.engines) + f"; {THREADS} threads, warm; CPU ms of all threads, median of {a.rounds}")
    print("| query | " + " | ".join(a.engines) + " | ratio | wall ms | answers |\n|---|" + "---:|" * (len(a.engines) + 2) + "---|")
    ratios, wrong = {}, False
    for name in names:
        cells = [f"{of[e][name]['cpu']:.1f}" if "cpu" in of[e].get(name, {}) else "error" for e in a.engines]
        best = min((of[e][name]["cpu"] for e in others if "cpu" in of[e].get(name, {})), default=None)
        ours = of.get("cloudsail", {}).get(name, {})
        ratio = ours["cpu"] / best if best and "cpu" in ours else None
        if ratio and not name.startswith("extra_"):
            ratios[name] = ratio
        answers = {e: rows(table(open(f"{a.directory}/answers/{e}.{name}.arrow", "rb").read())) for e in a.engines if "cpu" in of[e].get(name, {})}
        first, *rest = answers.items() if answers else [(None, None)]
        differences = [f"{first[0]}/{e}: {d}" for e, answer in rest if (d := differ(first[1], answer))]
        wrong |= bool(differences)
        verdict = "; ".join(differences) or (f"{len(first[1][1])} rows" if answers else "-")
        print(f"| {name} | " + " | ".join(cells) + f" | {ratio or 0:.2f} | {ours.get('wall', 0):.1f} | {verdict} |")
    print("| peak resident, MiB | " + " | ".join(value(e, "resident") for e in a.engines) + " | | | |")
    if ratios:
        worst = max(ratios, key=ratios.get)
        print(f"geometric mean {statistics.geometric_mean(ratios.values()):.2f}, worst {ratios[worst]:.2f} ({worst})")
    if wrong:
        sys.exit("answers differ")


def load(a):
    os.makedirs(a.directory, exist_ok=True)
    with Daemon(a.directory, a.set) as daemon:
        started, before = time.perf_counter(), daemon.cpu()
        port = str(daemon.ports["otlp_http"])
        endpoint = port if ":" in port else f"127.0.0.1:{port}"
        subprocess.run([f"{TARGET}/examples/query-load", endpoint, str(a.spans), str(a.logs), str(a.hours)], check=True)
        daemon.post("/api/v1/flush")
        print(f"sent and flushed: {time.perf_counter() - started:.0f} s, {daemon.cpu() - before:.0f} CPU s", flush=True)
        # A job joins so many files; what it made may be joined again.
        for _ in range(8):
            joined = json.loads(daemon.post("/api/v1/compact"))["tables"]
            if not any(t["files_in"] for t in joined):
                break
        print(f"compacted: {time.perf_counter() - started:.0f} s, {daemon.cpu() - before:.0f} CPU s", flush=True)
        for t in joined:
            print(f"  {t['table']}: {t['files']} files")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["load", "run"])
    parser.add_argument("directory")
    parser.add_argument("--spans", type=int, default=10_000_000)
    parser.add_argument("--logs", type=int, default=5_000_000)
    parser.add_argument("--hours", type=int, default=24)
    parser.add_argument("--engines", type=lambda s: s.split(","), default=["cloudsail", "duckdb", "chdb"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", type=lambda s: s.split(","), default=[])
    parser.add_argument("--set", action="append", default=[], help="a setting of the daemon, KEY=VALUE")
    parser.add_argument("--json")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.child:
        return child(a)
    load(a) if a.what == "load" else run(a)


if __name__ == "__main__":
    main()
