#!/usr/bin/env python3
"""Runs unittest files and prints what the whole-suite summary needs.

usage: run.py [--counts FILE] [-k PATTERN] [-v] FILE_OR_FOLDER...

Each file is one module. The result of every test is printed as it ends; with --counts, "passed failed skipped" is appended to FILE.
"""
import argparse
import importlib.util
import sys
import time
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))


class _Result(unittest.TextTestResult):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.passed = 0
        self.slow = []

    def getDescription(self, test):
        return f"{type(test).__module__}: {test._testMethodName}" if hasattr(test, "_testMethodName") else str(test)

    def startTest(self, test):
        self._start = time.monotonic()
        super().startTest(test)

    def stopTest(self, test):
        self.slow.append((time.monotonic() - self._start, self.getDescription(test)))
        super().stopTest(test)

    def addSuccess(self, test):
        self.passed += 1
        super().addSuccess(test)


def main():
    sys.stdout.reconfigure(line_buffering=True)  # also into a file: a run that hangs shows where
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts")
    parser.add_argument("-k", action="append", dest="patterns")
    parser.add_argument("-x", "--failfast", action="store_true")
    parser.add_argument("places", nargs="+", type=Path)
    options = parser.parse_args()
    loader = unittest.TestLoader()
    if options.patterns:
        loader.testNamePatterns = [f"*{p}*" for p in options.patterns]
    suite = unittest.TestSuite()
    broken = 0
    for place in options.places:
        for file in sorted(place.glob("test_*.py")) if place.is_dir() else [place]:
            spec = importlib.util.spec_from_file_location(file.stem, file)
            module = importlib.util.module_from_spec(spec)
            sys.modules[file.stem] = module
            try:
                spec.loader.exec_module(module)
            except Exception as error:  # a file that cannot be read is a failure, not the end
                print(f"{file}: {error!r}", flush=True)
                broken += 1
                continue
            suite.addTests(loader.loadTestsFromModule(module))
    runner = unittest.TextTestRunner(stream=sys.stdout, verbosity=2, resultclass=_Result, failfast=options.failfast)
    result = runner.run(suite)
    for seconds, name in sorted(result.slow, reverse=True)[:5]:
        if seconds > 5:
            print(f"slow: {seconds:5.1f} s {name}")
    failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses) + broken
    if options.counts:
        with open(options.counts, "a") as out:
            out.write(f"{result.passed} {failed} {len(result.skipped)}\n")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
