#!/usr/bin/env python3
"""Includes point downwards only; some headers and calls belong to one folder. Prints each violation; exit status 1 if there is one.

usage: includes.py [SRC]
"""
import re
import sys
from pathlib import Path

# folder -> the folders it may include (itself always)
BASE = {"base"}
OS = BASE | {"os"}
STORE = OS | {"store"}
NET = OS | {"net"}
DOCKER = OS | {"net", "store", "docker"}
ENVIRONMENT = OS | {"net", "docker", "environment"}   # never store
TERMINAL = OS | {"net", "terminal"}                   # never docker: it is given a byte stream
TUNNEL = OS | {"net", "tunnel"}                       # never docker: it is given a folder and the name of a container
BOTH = DOCKER | ENVIRONMENT | TERMINAL
ALLOWED = {
    "base": BASE, "os": OS, "store": STORE, "net": NET, "docker": DOCKER, "environment": ENVIRONMENT, "terminal": TERMINAL, "tunnel": TUNNEL,
    "host": BOTH | {"host"}, "runner": BOTH | {"tunnel", "runner"},    # they never know each other
    "doctor": BOTH | {"runner", "doctor"},
    "ssh": OS | {"ssh"},                                               # it runs in users' containers, alone
    "web": {"web"},
    "api": BOTH | {"tunnel", "host", "runner", "web", "api"},
    "applets": BOTH | {"tunnel", "host", "runner", "doctor", "ssh", "web", "api", "applets"},
}
# what may appear only in these places (folders or files)
ONLY = [
    (re.compile(r'#\s*include\s*[<"]sqlite3\.h[>"]'), "sqlite3.h", ("store/",)),
    (re.compile(r'#\s*include\s*[<"]openssl/'), "OpenSSL", ("net/", "base/sha256.cpp", "base/signature.cpp", "base/ssh_key.cpp")),
    (re.compile(r'#\s*include\s*[<"]libssh/'), "libssh", ("ssh/",)),
    (re.compile(r'#\s*include\s*[<"](CLI/|CLI11)'), "CLI11", ("applets/", "main.cpp")),
    (re.compile(r'#\s*include\s*[<"]boost/beast'), "Boost.Beast", ("net/",)),
    (re.compile(r'#\s*include\s*[<"]nlohmann/json\.hpp'), "nlohmann/json.hpp", ("base/json.hpp",)),
    (re.compile(r'#\s*include\s*[<"]toml\.hpp'), "toml11", ("base/config_file.cpp",)),
    (re.compile(r"(?<![\w.>:])(?:::)?(?:fork|vfork|execv|execve|execvp|execvpe|execl|execlp|execle|posix_spawnp?|popen|system)\s*\("),
     "fork/exec", ("os/",)),
]
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"')


def without_comments(text):
    """Comments and string literals blanked, line numbers kept."""
    blank = lambda m: re.sub(r"[^\n]", " ", m.group()) if not m.group().startswith('"') else '"' + " " * (len(m.group()) - 2) + '"'
    return re.sub(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', blank, text, flags=re.S)


def violations(src):
    found = []
    for file in sorted([*src.rglob("*.hpp"), *src.rglob("*.cpp")]):
        name = file.relative_to(src).as_posix()
        folder = name.split("/")[0] if "/" in name else None
        text = file.read_text()
        bare = without_comments(text).splitlines()
        for number, line in enumerate(text.splitlines(), 1):
            include = INCLUDE.match(line)
            if include and "/" in include.group(1) and folder in ALLOWED:
                target = include.group(1).split("/")[0]
                if target in ALLOWED and target not in ALLOWED[folder]:
                    found.append(f"{name}:{number}: {folder}/ must not include {target}/: {line.strip()}")
                elif ".." in include.group(1):
                    found.append(f"{name}:{number}: includes start at src/: {line.strip()}")
            for pattern, what, places in ONLY:
                if pattern.search(line if what != "fork/exec" else bare[number - 1]) and not name.startswith(places):
                    found.append(f"{name}:{number}: {what} belongs to {' and '.join(places)}: {line.strip()}")
    for folder in sorted(p.name for p in src.iterdir() if p.is_dir()):
        if folder not in ALLOWED and any((src / folder).rglob("*.[ch]pp")):
            found.append(f"{folder}/: not a known folder; add it to tests/includes.py and docs/architecture.md")
    return found


if __name__ == "__main__":
    found = violations(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[1] / "src")
    print("\n".join(found) if found else "includes: all point downwards")
    sys.exit(1 if found else 0)
