"""The rows of the bench: what was measured, against what, what is to be reached, and whether it was. Printed as they come, kept for the table and the JSON at the end."""
import os
import statistics
import time


def timed(function):
    start = time.monotonic()
    function()
    return time.monotonic() - start


def stolen():
    """Seconds that other guests of the same hardware have had of our processors."""
    return int(open("/proc/stat").readline().split()[8]) / os.sysconf("SC_CLK_TCK") / os.cpu_count()


def settle():
    """Writes of the round before are not billed to this one."""
    os.sync()
    time.sleep(0.3)


def shown(value, unit):
    return f"{value:.3f} {unit}" if unit == "s" or unit in ("MB", "ms") and abs(value) < 10 else f"{value:.1f} {unit}"


class Figures:
    def __init__(self):
        self.rows, self.notes, self.hosts_needed = [], [], []  # the last: memory of hosts that are gone again, in MB

    def pair(self, measure, against, ours, theirs, promise, unit="s", higher=False):
        """The ratio of the best rounds, ours / theirs, is to be at most `promise` (at least with `higher`): what else happens on a machine only ever costs time."""
        best = max if higher else min
        a, b = best(ours), best(theirs)
        ratio = a / b
        kept = ratio >= promise if higher else ratio <= promise
        if higher or promise >= 0.7:
            to_reach, measured = f"{'>=' if higher else '<='} {promise:.2f} of it", f"{ratio:.2f}"
        else:
            to_reach, measured = f">= {1 / promise:.3g} times faster", f"{1 / ratio:.1f} times"
        self._add({"measure": measure, "against": against, "to_reach": to_reach, "measured": measured, "kept": kept, "unit": unit,
                   "riverbox": ours, "other": theirs, "riverbox_best": a, "other_best": b, "ratio": ratio},
                  f"{shown(a, unit)} / {shown(b, unit)}")

    def single(self, measure, values, limit, unit, against="-", why_limit=""):
        """The median is to be at most `limit`, of times the best; the best rate at least. What it stands beside is told in `against`."""
        values = values if isinstance(values, list) else [values]
        rate = unit == "/s"
        value = max(values) if rate else min(values) if unit == "ms" else statistics.median(values)
        self._add({"measure": measure, "against": against, "to_reach": f"{'>=' if rate else '<='} {shown(limit, unit)}{why_limit}", "measured": shown(value, unit),
                   "kept": value >= limit if rate else value <= limit,
                   "unit": unit, "riverbox": values, "riverbox_value": value, "limit": limit}, "")

    def note(self, text):
        """What could not be measured, and why. No row may be missing without one."""
        self.notes.append(text)
        print(f"NOT MEASURED: {text}", flush=True)

    def _add(self, row, values):
        self.rows.append(row)
        print(f"{row['measure']:50} {values:26} {row['measured']:>14}   {row['to_reach']:22} {'kept' if row['kept'] else 'MISSED'}", flush=True)

    def table(self):
        """All rows with what they stand against, as a document has them."""
        keys = ("measure", "against", "to_reach", "measured")
        lines = [[*(k.replace("_", " ") for k in keys), "kept"]] + [[*(row[k] for k in keys), "yes" if row["kept"] else "NO"] for row in self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(keys))]
        lines.insert(1, ["-" * w for w in widths] + ["----"])
        return "\n".join("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, [*widths, 4])) + " |" for line in lines) + \
            "".join(f"\nNot measured: {note}" for note in self.notes)
