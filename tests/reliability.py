#!/usr/bin/env python3
"""Makes docs/reliability.md from the tests: which faults are made to happen, what is promised, which test shows it.

usage: reliability.py [--check]     writes the page; --check only says whether it is up to date and every fault has a test

A test says what it shows in a comment right before it, `# fault: NAME` in Python, `// fault: NAME` in C++ (several names with commas). In front of a class the comment is for the
whole class, at the top of a file for the file. What a NAME means stands here, once.
"""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/reliability.md"

# name: (what happens, what holds nevertheless)
SECTIONS = {
    "The share": {
        "publish-killed": ("create-tar is killed at any system call", "No new version is visible, or the complete one; the one before stays; after a restart nothing is left of the attempt"),
        "share-write-fails": ("No space, no quota or an I/O error at any write, fsync, **close** or rename of a new version", "create-tar fails and says why, the version before stays, nothing is left"),
        "share-full": ("The share is full", "Tasks go on, their output is marked as incomplete; create-tar fails and says why"),
        "share-reply-lost": ("The rename of a new version is done, and its reply is lost", "It is recognised as done; where it is not sure, no version is left"),
        "publish-at-once": ("Two versions of one environment at the same moment", "Both exist, in a total order; one create-tar of an environment at a time"),
        "publish-while-read": ("A version is pruned or deleted while nodes read it", "A lease keeps it; what is deleted by force is read to its end, or another version is taken"),
        "share-stale": ("A read fails in the middle of a load (stale handle, I/O error)", "The task does not notice: the archive is read again"),
        "share-hangs": ("The share answers nobody, for as long as it likes", "Heartbeats, requests, terminals, running tasks and tasks that need no share go on; who waits for the share goes on when it is back"),
        "archive-damaged": ("A bit is flipped, a byte is missing or too many, in any place of an archive", "It is refused before the Engine has it, and the image before stays"),
        "archive-growing": ("An archive comes by `cp` and is not complete yet", "It is used only when it is complete"),
        "archive-hostile": ("An archive is made to do harm: names, links, sizes, checksums, compression, digests, manifests, tags", "It is refused with the reason; nothing outside is written, no foreign tag is moved"),
        "clock-wrong": ("Clocks are wrong, or jump back", "The order of versions does not depend on them; nobody waits longer, nothing is thrown away"),
        "share-shows-late": ("A node's view of the share is a minute old", "The version that the host has named is taken, from the host if need be"),
        "version-forged": ("Somebody who can write to the share exchanges an archive, its index, its name or its number, or signs with a key of his own", "Nodes that require signatures refuse it before the Engine gets a byte, with the reason; those that warn say it in the log"),
        "key-changes": ("The host's signing key is lost, or must be believed no longer", "A new one is made, and what was signed stays valid for as long as the old one is listed; nodes learn the keys over their link"),
        "link-planted": ("Links, FIFOs and folders are planted in the share in the place of files", "Nothing outside of the share is read, written or removed, nobody waits, and the reason is said"),
        "share-crowded": ("Ten thousand archives in one folder", "They are listed at once"),
    },
    "Docker": {
        "docker-restarts": ("The daemon is killed at any step: load, commit, create, start, wait, logs, exec; or its answer is lost", "The step is made again or its failure is told; nothing runs twice, no second container is left"),
        "load-says-ok": ("A load answers 200 and has failed", "It is detected as a failure"),
        "store-lies": ("A containerd store takes a load whose layers it cannot unpack, or has less than was remembered", "The image is inspected before it gets its name; the whole archive is loaded"),
        "base-vanishes": ("Layers that a thin load counts on are removed by somebody else", "The whole archive is loaded"),
        "docker-silent": ("The daemon accepts and never answers, answers a byte a second, or breaks off anywhere", "Each step has an end or can be given up; other tasks go on"),
        "docker-version": ("A daemon that is too old, or newer than this program", "The newest version of the API that both know, or a clear message"),
        "docker-disk-full": ("The daemon's disk is full in the middle of a load", "It is said; other tasks go on; what was loaded of it is removed"),
        "load-once": ("Fifty tasks of one environment on a node that does not have it", "One load, and all of them start"),
        "loads-parallel": ("Several environments are loaded at the same time", "They are loaded beside each other, also when they share layers"),
        "docker-pruned": ("`docker system prune -a` between load and start", "It is loaded once more"),
        "events-missed": ("The daemon was away, and what happened meanwhile was not told", "State is read again: nothing is waited for in vain"),
        "shell-dies": ("The process of a terminal dies, its container is paused or removed, its daemon is killed", "The session ends with a message and a status"),
    },
    "Host, nodes and tasks": {
        "kills": ("Host and runner are killed at random, hundreds of times in a row, while tasks run and versions are made", "No acknowledged task is lost, none runs twice, each ends with its own status; no partial version, nothing left behind"),
        "host-killed": ("The host is killed at any moment", "What was acknowledged is known to the next host; nothing that runs is disturbed"),
        "runner-killed": ("A runner is killed at any moment", "Its tasks run on and are taken up again; how they end is told, once"),
        "dispatch-repeated": ("A dispatch or a submission comes twice, or late", "One task, one container"),
        "partition": ("Host and node cannot reach each other: shortly, for long, again and again; the host is frozen", "What is to run on does, what is to stop stops; the truth is told afterwards"),
        "attempt-replaced": ("A node comes back after its task was started elsewhere", "The old attempt is ended and not believed; both outputs are kept apart"),
        "node-twice": ("Two machines with one name", "The second one is refused, the first one keeps its place"),
        "state-fails": ("The disk of the state is full or fails; the database is damaged", "Nothing is acknowledged that is not on the disk; what was is there afterwards"),
        "goes-back": ("The host goes back to a copy of its database", "What ran meanwhile is found where it runs, and not started again; a node is believed only what it was given"),
        "schema": ("A database of an older, a newer or another program; a migration that fails", "It is brought up to date, refused and left alone, or as it was"),
        "worker-hangs": ("One worker hangs", "The others go on; a full queue says so"),
        "task-unruly": ("A task forks without end, ignores signals, eats memory, writes without end or binary", "It is ended, with everything that it has started; nobody else suffers"),
        "pause-restart-kill": ("A task is paused, its runner restarts, it is killed", "Only transitions that are legal"),
        "node-reboots": ("A node reboots, or comes back with an empty Docker", "Its tasks have failed, with the reason, or are tried again if they are to be"),
    },
    "Terminals and clients": {
        "network-changes": ("The network goes away under somebody who follows output or sits at a terminal", "Output goes on with no byte lost or doubled; a terminal ends with a message, silent peers are noticed"),
        "terminal-cut": ("A task, its runner or the host ends while somebody is at a terminal in the task", "The client is told and ends; a task that has not ended goes on, and no shell is left in it unless its runner was killed"),
        "reader-stops": ("A reader stops reading while output comes", "Memory is bounded, the task is unharmed"),
        "resize-storm": ("A storm of sizes, sizes of 0 and of 65535", "The last sane one holds"),
        "characters-cut": ("A character is cut at any place; 50 MB are pasted", "Everything arrives as it was"),
        "http-slow-clients": ("A thousand clients that send their request too slowly and a thousand that say nothing", "Others are served; the slow ones are told and cut off"),
        "client-killed": ("The command is killed or stopped at a terminal, or its output is closed (`| head`)", "The terminal is as before, the shell inside ends; 141 and no noise"),
    },
    "Bad input": {
        "names-odd": ("Names of environments: other cases, blanks, dashes, paths, 300 characters, emoji, newlines", "Refused in one line that says what is wrong; nothing is made"),
        "targets-odd": ("Targets that name no node, NUMA node or GPU in the right way", "Refused by the part that is wrong"),
        "amounts-odd": ("Cores, memory and times that are negative, huge, fractions, not numbers", "Refused by the name of the field"),
        "variables-odd": ("Variables without `=`, with newlines, NUL, of 2 MB", "They arrive as they were, or are refused"),
        "commands-odd": ("Commands with quotes, newlines, NUL, leading dashes, 100 kB, other bytes than UTF-8", "They arrive as they were, or are refused"),
        "http-malformed": ("Requests that are malformed, ambiguous, too large", "Refused; nothing hides behind them; the host goes on"),
        "websocket-malformed": ("Frames that are malformed, too large, a flood; handshakes that are none", "The connection ends with the code of RFC 6455; the host goes on"),
        "json-odd": ("JSON with wrong types, nulls, unknown and doubled fields, numbers beyond 2^53, a million brackets", "Refused by the name of the field; unknown fields are ignored; task ids are text"),
        "origin-wrong": ("Requests of foreign web pages: another Host, another Origin, `null`, look-alikes, another port", "Refused before anything is done"),
        "config-odd": ("A configuration that is empty, has a BOM, CRLF, unknown keys, wrong types, doubled keys; is a folder; tokens that others can read", "Read, or refused with file and line; the nearest known key is named"),
        "state-unusable": ("The folder of the state is read-only, a file, no database", "It is said at the start"),
        "place-taken": ("The port is in use, a process has the number of another, something is left of one that died", "It is said; nothing of others is touched"),
        "escape-sequences": ("Escape sequences in names, errors, tables, archives", "No terminal obeys them"),
        "terminal-odd": ("`TERM` unset, `dumb`, unknown; `COLUMNS=0`", "The shell works"),
        "any-bytes": ("Any bytes at any parser (libFuzzer, from a corpus that every run replays)", "No crash, no undefined behaviour, and what is said of the result holds"),
    },
}
MARK = re.compile(r"^\s*(?:#|//) fault: (.+)$")
TEST = re.compile(r'^\s*(?:def (?P<method>test_\w+)|class (?P<whole>\w+)|TEST_CASE(?:_FIXTURE)?\((?:\w+, )?"(?P<case>(?:[^"\\]|\\.)*)")')


def marks():
    """(name, file, test) of every comment; raises SystemExit for one that names nothing."""
    for file in sorted([*ROOT.glob("tests/**/*.py"), *ROOT.glob("tests/**/*.cpp")]):
        where, lines = file.relative_to(ROOT).as_posix(), file.read_text().splitlines()
        if file == Path(__file__).resolve():
            continue
        for number, line in enumerate(lines):
            if not (mark := MARK.match(line)):
                continue
            test = next((m for following in lines[number + 1:number + 3] if (m := TEST.match(following))), None)
            what = test and (test["case"] or test["whole"] or test["method"].removeprefix("test_").replace("_", " "))
            for name in mark[1].split(", "):
                if not any(name in faults for faults in SECTIONS.values()):
                    sys.exit(f"{where}:{number + 1}: nobody knows the fault '{name}' (tests/reliability.py)")
                yield name, where, what


def page(found):
    out = ["# What is made to fail, and what holds", "",
           "Made from the tests by `tests/reliability.py`: every row is a fault that the tests make happen, nearly always to the real program with a real Docker Engine. `scripts/test` runs them all.",
           "How to make one of them last longer: `RIVERBOX_KILLS`, `RIVERBOX_KILL_MOMENTS`, `RIVERBOX_FAULT_MOMENTS` (docs/architecture.md, \"Tests\")."]
    for title, faults in SECTIONS.items():
        out += ["", f"## {title}", "", "| fault | promise | shown by |", "|---|---|---|"]
        for name, (fault, promise) in faults.items():
            files = {}
            for _, where, what in (f for f in found if f[0] == name):
                files.setdefault(where.removeprefix("tests/"), []).append(what)
            shown = "; ".join(f"`{where}`" + (": " + ", ".join(tests) if any(tests := [w.replace("|", "\\|").replace('\\"', '"') for w in whats if w]) else "") for where, whats in files.items())
            out.append(f"| {fault.replace('|', chr(92) + '|')} | {promise} | {shown} |")
    return "\n".join(out) + "\n"


def main():
    found = list(marks())
    without = [name for faults in SECTIONS.values() for name in faults if name not in {f[0] for f in found}]
    if without:
        sys.exit(f"no test shows: {', '.join(without)}")
    text = page(found)
    if "--check" in sys.argv[1:]:
        if not PAGE.exists() or PAGE.read_text() != text:
            sys.exit(f"{PAGE.relative_to(ROOT)} is not what the tests say; run tests/reliability.py")
    else:
        PAGE.write_text(text)
    print(f"{sum(map(len, SECTIONS.values()))} faults, {len(found)} tests of them")


if __name__ == "__main__":
    main()
