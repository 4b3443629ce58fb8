"""What bodies of the app Health Auto Export say, by Python alone.

    generate SEED FOLDER    writes bodies of the app, `*.json`
    compare BODY FOUND      what a body says against what the reader found

Written from the app's published format (https://help.healthyapps.dev, JSON of version 2) and the documentation
(docs/src/imports/apple.md), not from the reader.
"""

import collections
import datetime
import json
import math
import pathlib
import random
import re
import sys
from fractions import Fraction

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from apple_truth import KCAL, moment, nights, read, same, tidy

SOURCE = "health_auto_export"
CELSIUS = {"degC": lambda value: value, "degF": lambda value: (value - 32) * Fraction(5, 9)}
HOURS = {"hr": 1, "min": Fraction(1, 60), "s": Fraction(1, 3600)}
SAMPLES = {
    "heart_rate": ("heart_rate", {"bpm", "count/min"}),
    "respiratory_rate": ("respiratory_rate", {"count/min"}),
    "blood_oxygen_saturation": ("spo2", {"%"}),
    "body_temperature": ("body_temperature", set(CELSIUS)),
    "heart_rate_variability": ("hrv_sdnn", {"ms"}),
}
PIECES = {"step_count": ("steps", 0), "active_energy": ("calories", 0), "basal_energy_burned": ("calories", 1)}
RANK_OTHER = 2


def number(value):
    """A number, also one that is written as a text; what is nothing else is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        found = Fraction(str(value).strip())
    except (ValueError, ZeroDivisionError):
        return None
    return found


def when(text):
    try:
        return moment(text)
    except (TypeError, ValueError):
        pass
    # Phones that show twelve hours.
    said = re.fullmatch(r"(\d{4}-\d\d-\d\d) (\d{1,2}:\d\d:\d\d)\s([AP]M) ([+-]\d{4})", text if isinstance(text, str) else "")
    if not said:
        return None
    clock = datetime.datetime.strptime(f"{said[2]} {said[3]}", "%I:%M:%S %p").strftime("%H:%M:%S")
    return moment(f"{said[1]} {clock} {said[4]}")


def device(text):
    name = tidy(text)[:128] if isinstance(text, str) else ""
    return None if not name or "|" in name else name


def seconds_long(found):
    """How long the pieces are whose times these are: `(microseconds, seconds east)`; none of totals of weeks."""
    local = [at // 1_000_000 + offset for at, offset in found]
    for length in (86_400, 3_600, 60):
        if all(second % length == 0 for second in local):
            days = sorted({at for at, _ in found})
            is_weeks = len(days) > 1 and min(b - a for a, b in zip(days, days[1:])) > 6 * 86_400_000_000
            return None if length == 86_400 and is_weeks else length
    return 0


def asleep(entry):
    """All sleep of a night: what the app says, or what the stages say, with what belongs to none."""
    total = number(entry.get("totalSleep"))
    if total:
        return total
    stages = sum(number(entry.get(stage)) or 0 for stage in ("core", "deep", "rem"))
    rest = number(entry.get("asleep")) or 0
    return rest if rest >= stages * Fraction(99, 100) else rest + stages


class Body:
    """What a body says, and how often something is left out for which reason."""

    def __init__(self, text):
        self.out, self.left, self.intervals = [], collections.Counter(), []
        for metric in json.loads(text)["data"].get("metrics", []):
            self.metric(metric)
        self.out += nights(self.intervals)

    def know(self, metric, value, at, **more):
        self.out.append({"metric": metric, "value": float(value), "at": at, "source": SOURCE, **more})

    def metric(self, metric):
        name = metric["name"].strip().lower().replace(" ", "_")
        unit = metric.get("units", "").strip()
        entries = metric.get("data", [])
        units = SAMPLES[name][1] if name in SAMPLES else {"step_count": {"count"}, "sleep_analysis": set(HOURS)}.get(name, set(KCAL) if name in PIECES else None)
        if units is None:
            self.left["metrics that are none here"] += max(1, len(entries))
        elif unit not in units:
            self.left["unit that is not known"] += max(1, len(entries))
        elif name == "sleep_analysis":
            for entry in entries:
                self.sleep(entry, HOURS[unit])
        elif name in PIECES:
            self.pieces(entries, *PIECES[name], KCAL.get(unit, 1))
        else:
            for entry in entries:
                self.sample(SAMPLES[name][0], unit, entry)

    def sample(self, metric, unit, entry):
        value = number(entry.get("Avg"))
        value = number(entry.get("qty")) if value is None else value
        at = when(entry.get("date"))
        if value is None:
            self.left["without a value"] += 1
        elif at is None:
            self.left["time cannot be read"] += 1
        else:
            if metric == "spo2" and value <= 1:
                value *= 100
            if metric == "body_temperature":
                value = CELSIUS[unit](value)
            self.know(metric, value, at[0], device=device(entry.get("source")))

    def pieces(self, entries, metric, strand, factor):
        taken = []
        for entry in entries:
            value, at = number(entry.get("qty")), when(entry.get("date"))
            if value is None:
                self.left["without a value"] += 1
            elif at is None:
                self.left["time cannot be read"] += 1
            else:
                taken.append((at, value * factor))
        length = seconds_long([at for at, _ in taken])
        if length is None:
            self.left["weeks or months"] += len(entries)
            return
        for (at, offset), value in taken:
            self.know(metric, value, at, end=at + length * 1_000_000, strand=strand, rank=RANK_OTHER, offset_s=offset, device=None)

    def sleep(self, entry, factor):
        kind = str(entry.get("value") or "").lower().replace(" ", "").replace("_", "")
        if entry.get("startDate") and kind:
            stages = {"asleep": "", "unspecified": "", "asleepunspecified": "", "core": "Core", "deep": "Deep", "rem": "REM"}
            stages |= {f"asleep{stage.lower()}": stage for stage in ("Core", "Deep", "REM")}
            start, end = when(entry["startDate"]), when(entry.get("endDate"))
            if kind in ("awake", "inbed"):
                self.left["time in bed"] += 1
            elif kind not in stages:
                self.left["kind that is not known"] += 1
            elif start is None or end is None:
                self.left["time cannot be read"] += 1
            else:
                self.intervals.append((SOURCE, device(entry.get("source")), start[0], end[0], stages[kind]))
            return
        end, hours = when(entry.get("sleepEnd")), asleep(entry)
        if end is None:
            self.left["time cannot be read"] += 1
        elif not hours:
            self.left["without a value"] += 1
        else:
            maker = {"device": device(entry.get("source") or entry.get("sleepSource"))}
            self.know("sleep_duration", hours * factor, end[0], **maker)
            has_stages = any(number(entry.get(stage)) for stage in ("core", "deep", "rem"))
            for metric, stage in (("sleep_deep", "deep"), ("sleep_rem", "rem")):
                if has_stages and number(entry.get(stage)) is not None:
                    self.know(metric, number(entry[stage]) * factor, end[0], **maker)


def compare(body, found):
    wanted = Body(pathlib.Path(body).read_text())
    found, skipped = read(found)
    same(wanted.out, found)
    for reason, count in wanted.left.items():
        said = sum(times for name, times in skipped.items() if reason in name)
        if said != count:
            sys.exit(f"{count} entries are left out for `{reason}`, and the report says {said}: {skipped}")
        print(f"left out, {reason}: {count}")


class Generator:
    """Bodies as the app's settings make them."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.zone = datetime.timezone(datetime.timedelta(minutes=self.random.choice([-570, -300, 0, 60, 345])))
        self.begin = datetime.datetime(2024, 3, 20, tzinfo=self.zone)

    def text(self, at):
        if self.random.random() < 0.05:
            return at.strftime("%Y-%m-%d %-I:%M:%S\u202f%p %z")
        return at.strftime("%Y-%m-%d %H:%M:%S %z")

    def source(self):
        return self.random.choice(["Ada’s Apple\u00a0Watch", "Ada’s iPhone", "Ada’s Apple Watch|Ada’s iPhone", "Ring\u200e", ""])

    def times(self, step):
        """Dates as the app aggregates them: every `step`, with holes; without one, moments."""
        at, out = self.begin, []
        for _ in range(self.random.randint(2, 60)):
            out.append(at)
            at += (step or datetime.timedelta(seconds=self.random.randint(1, 9_000))) * self.random.choice([1, 1, 1, 2])
        return out

    def metrics(self, step):
        draw = self.random
        say = lambda name, units, entries: {"name": name, "units": units, "data": entries}
        one = lambda at, value: {"date": self.text(at), "qty": value, "source": self.source()}
        out = [say(draw.choice(["heart_rate", "Heart Rate"]), draw.choice(["bpm", "count/min"]), [
            {"date": self.text(at), "Min": 50, "Avg": draw.randint(500, 1800) / 10, "Max": 190, "source": self.source()} for at in self.times(step)
        ])]
        fraction = draw.choice([1, 100])
        out.append(say("blood_oxygen_saturation", "%", [one(at, draw.randint(850, 1000) / 10 / fraction) for at in self.times(step)]))
        out.append(say("respiratory_rate", "count/min", [one(at, draw.randint(80, 240) / 10) for at in self.times(step)]))
        unit = draw.choice(["degC", "degF"])
        out.append(say("body_temperature", unit, [one(at, round(draw.uniform(35, 40) * (1.8 if unit == "degF" else 1) + (32 if unit == "degF" else 0), 2)) for at in self.times(step)]))
        out.append(say("heart_rate_variability", "ms", [one(at, draw.uniform(5, 200)) for at in self.times(step)]))
        out.append(say("step_count", "count", [one(at, draw.choice([draw.randint(0, 3000), draw.uniform(1, 900)])) for at in self.times(step)]))
        for name in ("active_energy", "basal_energy_burned"):
            unit = draw.choice(["kcal", "kJ", "Cal"])
            out.append(say(name, unit, [one(at, draw.uniform(0, 400)) for at in self.times(step)]))
        draw.shuffle(out)
        return out

    def nights(self):
        """Nights that the app has added up, as its versions of some years do."""
        draw, entries = self.random, []
        for night in range(12):
            end = self.begin + datetime.timedelta(days=night, hours=6, minutes=draw.randrange(120))
            stages = {stage: draw.uniform(0.1, 3) for stage in ("core", "deep", "rem")}
            total = sum(stages.values())
            entry = {"date": self.begin.strftime("%Y-%m-%d"), "sleepEnd": self.text(end), "inBed": 0, "awake": 0.3}
            entry |= draw.choice([
                {**stages, "totalSleep": total, "asleep": 0},
                {**stages, "totalSleep": 0, "asleep": 0.5},
                {**stages, "asleep": total},
                {**stages, "asleep": 0.25},
                {"core": 0, "deep": 0, "rem": 0, "totalSleep": total, "asleep": total},
                {"core": 0, "deep": 0, "rem": 0, "totalSleep": 0, "asleep": total},
                {"asleep": total},
                {"core": 0, "deep": 0, "rem": 0, "totalSleep": 0, "asleep": 0},
                {**stages, "deep": 0, "totalSleep": total},
            ])
            entry |= draw.choice([{"source": self.source()}, {"sleepSource": self.source(), "inBedSource": "iPhone"}])
            entries.append(entry)
        return [{"name": "sleep_analysis", "units": "hr", "data": entries}]

    def intervals(self):
        """Single intervals, of several devices, lying over each other; naps."""
        draw, entries = self.random, []
        for night in range(8):
            for source in draw.sample(["Ada’s Apple Watch", "Ada’s iPhone", "Ring"], draw.randint(1, 3)):
                at = self.begin + datetime.timedelta(days=night, hours=22, minutes=draw.randrange(60))
                kinds = ["Core", "Deep", "REM", "Awake"] if "Watch" in source else ["Asleep", "Unspecified", "In Bed", "InBed"]
                for _ in range(draw.randint(3, 9)):
                    end = at + datetime.timedelta(minutes=draw.randint(5, 80))
                    entries.append({"startDate": self.text(at), "endDate": self.text(end), "qty": 1, "value": draw.choice(kinds), "source": source})
                    at = end - datetime.timedelta(minutes=draw.choice([0, 0, 3]))
            if night % 3 == 0:
                nap = self.begin + datetime.timedelta(days=night, hours=14)
                entries.append({"startDate": self.text(nap), "endDate": self.text(nap + datetime.timedelta(minutes=30)), "value": "Asleep", "source": "Ada’s iPhone"})
        draw.shuffle(entries)
        return [{"name": "sleep_analysis", "units": "hr", "data": entries}]

    def edges(self):
        """What an app, its versions or somebody between may make of it."""
        at = self.text(self.begin + datetime.timedelta(hours=8, seconds=7))
        odd = [{"date": at, "qty": "61.5"}, {"date": at, "qty": None}, {"date": at}, {"date": "", "qty": 62}, {"date": "yesterday", "qty": 62},
               {"qty": 62}, {"date": at, "qty": True}, {"date": at, "qty": [1, {"a": 2}]}, {"date": at, "qty": 1e3, "Avg": "60"},
               {"date": 7, "qty": 62}, {"date": at, "qty": "fast"}, {"date": at, "qty": 63, "source": {"name": "x"}, "new": {"deep": [1]}}]
        weeks = [{"date": self.text(self.begin + datetime.timedelta(days=7 * week)), "qty": 50_000} for week in range(4)]
        rest = [{"startDate": at, "endDate": at, "value": value} for value in ("Core", "Nap", "")]
        return [
            {"name": "heart_rate", "units": "bpm", "data": odd},
            {"units": "count", "data": odd[:7], "name": "step_count"},
            {"name": "active_energy", "units": "kcal", "data": weeks},
            {"name": "basal_energy_burned", "units": "furlong", "data": weeks},
            {"name": "heart_rate", "units": "Hz", "data": []},
            {"name": "blood_pressure", "units": "mmHg", "data": [{"date": at, "systolic": 120, "diastolic": 80}]},
            {"name": "resting_heart_rate", "units": "count/min", "data": odd},
            {"name": "sleep_analysis", "units": "hr", "data": rest + [{"sleepEnd": "", "totalSleep": 7}, {}]},
            {"name": "sleep_analysis", "units": "min", "data": [{"sleepEnd": at, "totalSleep": 420, "deep": 60}]},
            {"name": "step_count", "units": "count", "data": []},
        ]

    def write(self, folder):
        delta = datetime.timedelta
        bodies = {name: self.metrics(step) for name, step in
                  {"minutes": delta(minutes=1), "hours": delta(hours=1), "days": delta(days=1), "weeks": delta(days=7), "moments": None}.items()}
        bodies |= {"nights": self.nights(), "intervals": self.intervals(), "edges": self.edges(), "nothing": []}
        for name, metrics in bodies.items():
            data = {"metrics": metrics, "workouts": [], "stateOfMind": [], "ecg": [{"voltageMeasurements": []}]}
            text = json.dumps({"data": data, "version": 2}, ensure_ascii=self.random.choice([True, False]), indent=self.random.choice([None, 1]))
            (pathlib.Path(folder) / f"{name}.json").write_text(text)


def main():
    match sys.argv[1:]:
        case ["generate", seed, folder]:
            Generator(int(seed)).write(folder)
        case ["compare", body, found]:
            compare(body, found)
        case _:
            sys.exit(__doc__)


main()
