#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the rows of rows.py with the real program against real servers, and prints a line for each.

    matrix.py [TEXT...]         only rows whose group and name have one of the texts in them
    matrix.py --group NAME      one group (repeatable)
    matrix.py --markdown        the table of the README; needs no run and no rights
    matrix.py --list            the rows

The program is in the variable MUSTER. Needs root, see world.py.
"""

import argparse
import concurrent.futures
import os
import re
import subprocess
import sys
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import rows as table        # noqa: E402
import world as worlds      # noqa: E402

AT_ONCE = 4


def parse(argv):
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("text", nargs="*")
    p.add_argument("--group", action="append")
    p.add_argument("--markdown", action="store_true")
    p.add_argument("--list", action="store_true")
    p.add_argument("--verbose", action="store_true", help="the whole answer of a row that failed")
    return p.parse_args(argv)


def chosen(args):
    """(number, row) of those to run."""
    for number, row in enumerate(table.ROWS):
        if args.group and row.group not in args.group:
            continue
        if args.text and not any(t in f"{row.group}: {row.name}" for t in args.text):
            continue
        yield number, row


def listed(words):
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def kinds(names):
    """ecdsa256, ecdsa384 -> ecdsa256/384."""
    found = []
    for name in names:
        if name.startswith("ecdsa") and found and found[-1].startswith("ecdsa"):
            found[-1] += "/" + name.removeprefix("ecdsa")
        else:
            found.append(name)
    return ", ".join(found)


def folded(names):
    """The names with those of key files, of which there are many, by what they have in common."""
    by_kind, rest = {}, []
    for name in names:
        m = re.fullmatch(r"(\w+) (?:file, (.+?)(, encrypted)?|in the agent)", name)
        if m:
            ways = by_kind.setdefault(m.group(1), {})
            ways.setdefault(m.group(2), []).append("encrypted" if m.group(3) else "plain")
        else:
            rest.append(name)
    alike = {}
    for kind, ways in by_kind.items():
        agent = ways.pop(None, None)
        sorts = {tuple(sorted(s)) for s in ways.values()}
        if len(sorts) != 1:
            return names
        alike.setdefault((tuple(ways), sorts.pop()[::-1], agent is not None), []).append(kind)
    lines = [f"{kinds(k)}: files in {listed(forms)} form, {listed(sort)}"
             + ("; in the agent" if agent else "") for (forms, sort, agent), k in alike.items()]
    return lines + rest


def markdown():
    """A line for each outcome of a group, with all that comes to it."""
    lines = ["| group | what | transport | outcome |", "| --- | --- | --- | --- |"]
    merged, by_outcome = {}, {}
    for row in table.ROWS:
        name = re.sub(r" \((ssh|openssh|local|exec)\)$", "", row.name).replace("|", "\\|")
        ways = merged.setdefault((row.group, name, row.outcome), [])
        ways += [row.transport] if row.transport not in ways else []
    for (group, name, outcome), ways in merged.items():
        by_outcome.setdefault((group, ", ".join(ways), outcome), []).append(name)
    order = list(dict.fromkeys(row.group for row in table.ROWS))
    for (group, ways, outcome), names in sorted(by_outcome.items(),
                                                key=lambda item: order.index(item[0][0])):
        lines.append(f"| {group} | {'; '.join(folded(names))} | {ways} | {outcome} |")
    return "\n".join([*lines, "", *table.NOTES]) + "\n"


def work(w, args):
    import runner
    import servers
    picked = list(chosen(args))
    s = servers.Servers(w).start()
    agents = servers.Agents(w).start()
    failures, started = [], time.monotonic()

    def one(item):
        number, row = item
        trial = runner.Trial(w, s, agents, number, row)
        begun = time.monotonic()
        try:
            trial.go()
            faults = trial.faults()
        except Exception as e:      # a row's fault is a line of the table, never the end of it
            faults = [f"{type(e).__name__}: {e}"]
            if args.verbose:
                faults.append(traceback.format_exc())
        finally:
            trial.end()
        return row, trial, faults, int((time.monotonic() - begun) * 1000)

    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for row, trial, faults, ms in pool.map(one, picked):
            mark = "FAIL" if faults else "ok"
            print(f"{mark:4} {row.group + ': ' + row.name:58} {trial.transport or '-':8} "
                  f"{trial.outcome():24} {ms:6} ms", flush=True)
            if faults:
                failures.append((row, faults))
                for fault in faults:
                    print(f"     {fault}", flush=True)
                if args.verbose:
                    print(trial.all(), flush=True)
    print(f"\n{len(picked) - len(failures)} of {len(picked)} rows as they should be, "
          f"{time.monotonic() - started:.0f} s")
    return 1 if failures or not picked else 0


def main():
    args = parse(sys.argv[1:])
    if args.markdown:
        sys.stdout.write(markdown())
        return 0
    if args.list:
        for _, row in chosen(args):
            print(f"{row.group}: {row.name}: {row.transport}, {row.outcome}")
        return 0
    return worlds.run(lambda w: work(w, args))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.SubprocessError as e:
        raise SystemExit(f"matrix: {e}") from e
