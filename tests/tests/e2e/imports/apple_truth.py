"""What Apple Health exports hold, by Python alone: expat, datetime, and sets of minutes.

    fetch EXPORT                    takes the real export out of the source distribution of `ipyhealth`
    compare EXPORT FOUND            what is in a document against what the importer found
    generate SEED ARCHIVE TRUTH     writes an archive, and what is in it
    agree TRUTH FOUND               what a generator knows against what the importer found

Written from the documentation (docs/src/imports/apple.md), not from the importer.
"""

import collections
import datetime
import json
import math
import pathlib
import random
import re
import subprocess
import sys
import tarfile
import tempfile
import unicodedata
import xml.etree.ElementTree
import zipfile
from fractions import Fraction
from xml.sax.saxutils import quoteattr

PACKAGE, VERSION = "ipyhealth", "0.1.2"
QUANTITIES = {
    "HeartRate": "heart_rate",
    "OxygenSaturation": "spo2",
    "RespiratoryRate": "respiratory_rate",
    "BodyTemperature": "body_temperature",
    "HeartRateVariabilitySDNN": "hrv_sdnn",
}
PIECES = {"StepCount": ("steps", 0), "ActiveEnergyBurned": ("calories", 0), "BasalEnergyBurned": ("calories", 1)}
KCAL = {"kcal": Fraction(1), "Cal": Fraction(1), "kJ": Fraction(1000, 4184), "J": Fraction(1, 4184), "cal": Fraction(1, 1000)}
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
MINUTE = 60_000_000


def moment(text):
    """(microseconds UTC, seconds east)"""
    at = datetime.datetime.strptime(text, "%Y-%m-%d %H:%M:%S %z")
    return (at - EPOCH) // datetime.timedelta(microseconds=1), int(at.utcoffset().total_seconds())


def tidy(text):
    """One space for spaces and controls, nothing for marks that nobody sees."""
    text = "".join("" if unicodedata.category(c) == "Cf" else " " if c.isspace() or unicodedata.category(c) == "Cc" else c for c in text)
    return " ".join(text.split(" ")).strip() if "  " not in text else re.sub(" +", " ", text).strip()


def device(text):
    if not text:
        return None
    said = dict(re.findall(r", (name|manufacturer|model|hardware):(.*?)(?=, [A-Za-z ]+:|>?$)", text))
    return tidy(", ".join(said[key] for key in ("name", "manufacturer", "model", "hardware") if said.get(key)))[:128] or None


def rank(source, described):
    words = (described or source).lower()
    return 0 if "watch" in words else 1 if "iphone" in words else 2


def value(kind, text, unit):
    number = Fraction(text)
    if kind == "OxygenSaturation":
        number *= 100
    elif kind == "BodyTemperature" and unit == "degF":
        number = (number - 32) * Fraction(5, 9)
    elif kind in ("ActiveEnergyBurned", "BasalEnergyBurned"):
        number *= KCAL[unit]
    return float(number)


def rmssd(beats):
    """`beats`: (bpm, ms of the day). The rule of the documentation, in fractions."""
    intervals = []
    for index, (bpm, at) in enumerate(beats):
        by_rate = Fraction(60_000) / bpm
        since = (at - beats[index - 1][1]) % 43_200_000 if index else None
        rounding = by_rate / (2 * bpm - 1)
        follows = since is not None and abs(since - by_rate) <= rounding + 20
        intervals.append((since if follows else by_rate, follows))
    squares = []
    for (before, is_measured), (after, follows) in zip(intervals, intervals[1:]):
        plausible = 300 <= before <= 2000 and 300 <= after <= 2000
        if is_measured and follows and plausible and abs(after - before) <= before / 5:
            squares.append((after - before) ** 2)
    return math.sqrt(sum(squares) / len(squares)) if len(squares) >= 20 else None


def clock(text):
    hour, minute, second, hundredths = map(int, re.findall(r"\d+", text))
    return ((hour % 12) * 3600 + minute * 60 + second) * 1000 + hundredths * 10


def nights(intervals):
    """`intervals`: (source, device, start, end, stage). Sets of seconds, gaps of two hours, one source a night, cut by its own gaps."""
    out = []
    for group in apart({second for _, _, start, end, _ in intervals for second in range(start // 1_000_000, end // 1_000_000)}):
        sources = collections.defaultdict(lambda: collections.defaultdict(set))
        for source, described, start, end, stage in intervals:
            if group[0] <= start // 1_000_000 <= group[-1]:
                for kind in ("all", stage):
                    sources[source, described][kind].update(range(start // 1_000_000, end // 1_000_000))
        def order(item):
            (source, described), kinds = item
            is_short = 2 * len(kinds["all"]) < max(len(other["all"]) for other in sources.values())
            return (is_short, not set(kinds) & {"Core", "Deep", "REM"}, rank(source, described), -len(kinds["all"]), source, described or "")
        (source, described), kinds = min(sources.items(), key=order)
        for own in apart(kinds["all"]):
            within = {kind: seconds.intersection(own) for kind, seconds in kinds.items()}
            at = (own[-1] + 1) * 1_000_000
            say = lambda metric, seconds: {"metric": metric, "value": len(seconds) / 3600, "at": at, "source": source, "device": described}
            out.append(say("sleep_duration", own))
            if any(within.get(stage) for stage in ("Core", "Deep", "REM")):
                out += [say("sleep_deep", within.get("Deep", ())), say("sleep_rem", within.get("REM", ()))]
    return out


def apart(asleep):
    """Seconds asleep, cut where nobody slept for two hours."""
    groups = []
    for second in sorted(asleep):
        if not groups or second - groups[-1][-1] > 7200:
            groups.append([])
        groups[-1].append(second)
    return groups


def expected(export):
    """What a document holds, and how many records of a type are left out."""
    out, intervals, left = [], [], collections.Counter()
    for record in xml.etree.ElementTree.parse(export).getroot().findall("Record"):
        say = record.get
        kind = say("type").removeprefix("HKQuantityTypeIdentifier").removeprefix("HKCategoryTypeIdentifier")
        maker = {"source": tidy(say("sourceName"))[:64], "device": device(say("device"))}
        start, offset = moment(say("startDate"))
        end, _ = moment(say("endDate"))
        if kind in QUANTITIES:
            out.append({"metric": QUANTITIES[kind], "value": value(kind, say("value"), say("unit")), "at": start, **maker})
            beats = [(int(beat.get("bpm")), clock(beat.get("time"))) for beat in record.iter("InstantaneousBeatsPerMinute")]
            found = rmssd(beats) if beats else None
            if found is not None:
                out.append({"metric": "hrv", "value": found, "at": start, **maker})
        elif kind in PIECES:
            metric, strand = PIECES[kind]
            piece = {"metric": metric, "value": value(kind, say("value"), say("unit")), "at": start, "end": end}
            out.append({**piece, "strand": strand, "rank": rank(maker["source"], maker["device"]), "offset_s": offset, **maker})
        elif kind == "SleepAnalysis":
            stage = say("value").removeprefix("HKCategoryValueSleepAnalysis").removeprefix("Asleep")
            if stage in ("InBed", "Awake"):
                left["time in bed"] += 1
            else:
                intervals.append((maker["source"], maker["device"], start, end, stage))
        else:
            left[say("type")] += 1
    return out + nights(intervals), left


def read(path):
    lines = [json.loads(line) for line in pathlib.Path(path).read_text().splitlines()]
    return [line for line in lines if "skipped" not in line], next((line["skipped"] for line in lines if "skipped" in line), {})


def same(wanted, found):
    """Exits unless both hold the same, values by fifteen digits."""
    def key(line):
        return json.dumps({name: line[name] for name in sorted(line) if name != "value"}), line["value"]
    wanted, found = sorted(wanted, key=key), sorted(found, key=key)
    for one, other in zip(wanted, found):
        if key(one)[0] != key(other)[0] or not math.isclose(one["value"], other["value"], rel_tol=1e-12, abs_tol=1e-9):
            sys.exit(f"wanted {one}\nfound  {other}")
    if len(wanted) != len(found):
        sys.exit(f"wanted {len(wanted)} and found {len(found)}, the first beyond: {(wanted + found)[min(len(wanted), len(found))]}")
    for metric, count in sorted(collections.Counter(line["metric"] for line in found).items()):
        print(f"{metric}: {count}")


def compare(export, found):
    wanted, left = expected(export)
    found, skipped = read(found)
    same(wanted, found)
    for name, count in left.items():
        said = sum(times for reason, times in skipped.items() if name in reason)
        if said != count:
            sys.exit(f"{count} records of {name} are left out, and the report says {said}")


def fetch(export):
    with tempfile.TemporaryDirectory() as folder:
        wish = ["--no-deps", "--no-binary", PACKAGE, f"{PACKAGE}=={VERSION}", "--dest", folder]
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", *wish], check=True)
        with tarfile.open(f"{folder}/{PACKAGE}-{VERSION}.tar.gz") as archive:
            content = archive.extractfile(f"{PACKAGE}-{VERSION}/tests/data/apple_health_export/export.xml").read()
    export = pathlib.Path(export)
    export.parent.mkdir(parents=True, exist_ok=True)
    export.write_bytes(content)


DEFINITION = """<!DOCTYPE HealthData [
<!-- HealthKit Export Version: 13 ]> <HealthData> -->
<!ELEMENT HealthData (ExportDate,Me,(Record|Correlation|Workout)*)>
<!ATTLIST HealthData
  locale CDATA #REQUIRED
>
<!ELEMENT Record ((MetadataEntry|HeartRateVariabilityMetadataList)*)>
{broken}
<!-- Note: Any Records that appear as children of a correlation also appear as top-level records in this document. -->
]>
"""
BROKEN = ["", "<!ELEMENT Audiogram EMPTY\n<!ATTLIST SensitivityPoint", "  startDate CDATA #REQUIRED\n>\n>", "<!ATTLIST A b CDATA \"#REQUIRED\n>"]
NAMES = ["apple_health_export/export.xml", "apple_health_export/导出.xml", "apple_health_export/exportação.xml", "apple_health_export/Export.xml"]


class Generator:
    """An export of one person, and what is in it, known because it was made from it."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.zone = datetime.timezone(datetime.timedelta(minutes=self.random.choice([-570, -300, 0, 60, 345])))
        self.begin = datetime.datetime(2023, 3, 20, tzinfo=self.zone)
        self.records, self.truth = [], []
        self.watch = ("Ada’s Apple Watch", "Apple Watch, Apple Inc., Watch, Watch6,2", 0)
        self.phone = ("Ada’s iPhone", "iPhone, Apple Inc., iPhone, iPhone14,5", 1)
        self.app = ("Sleep & Dream", None, 2)

    def us(self, at):
        return (at - EPOCH) // datetime.timedelta(microseconds=1)

    def spelled(self, maker):
        """The same maker, written as any of several exports and versions write it."""
        source, described, _ = maker
        source = source.replace(" ", self.random.choice([" ", "\u00a0", "\u202f", "  "])) + self.random.choice(["", "\u200e"])
        text = f"sourceName={quoteattr(source)} sourceVersion=\"{self.random.randint(7, 10)}.1\""
        if described:
            name, manufacturer, model, hardware = re.split(", ", described)
            address, software = self.random.randrange(1 << 36), f"{self.random.randint(7, 10)}.{self.random.randint(0, 6)}"
            whole = f"<<HKDevice: {address:#x}>, name:{name}, manufacturer:{manufacturer}, model:{model}, hardware:{hardware}, software:{software}>"
            text += f" device={quoteattr(whole)}"
        return text

    def record(self, kind, maker, start, end, value, unit=None, inside=""):
        text = lambda at: at.strftime("%Y-%m-%d %H:%M:%S %z")
        unit = f" unit=\"{unit}\"" if unit else ""
        head = f"<Record type=\"HK{kind}\" {self.spelled(maker)}{unit} creationDate=\"{text(end)}\" startDate=\"{text(start)}\" endDate=\"{text(end)}\" value={quoteattr(str(value))}"
        line = f"{head}>{inside}</Record>" if inside else f"{head}/>"
        self.records.append(line)
        return line

    def know(self, metric, maker, at, value, **more):
        self.truth.append({"metric": metric, "value": value, "at": self.us(at), "source": maker[0], "device": maker[1], **more})

    def quantities(self):
        for index in range(300):
            at = self.begin + datetime.timedelta(minutes=7 * index, seconds=self.random.randrange(300))
            bpm, percent = self.random.randint(40, 180), self.random.randint(85, 100)
            self.record("QuantityTypeIdentifierHeartRate", self.watch, at, at, bpm, "count/min", "\n  <MetadataEntry key=\"HKMetadataKeyHeartRateMotionContext\" value=\"1\"/>\n")
            self.know("heart_rate", self.watch, at, bpm)
            self.record("QuantityTypeIdentifierOxygenSaturation", self.watch, at, at, percent / 100, "%")
            self.know("spo2", self.watch, at, percent)
            tenths = self.random.randint(355, 395)
            celsius = Fraction(tenths, 10)
            written, unit = (celsius, "degC") if index % 2 else (celsius * Fraction(9, 5) + 32, "degF")
            self.record("QuantityTypeIdentifierBodyTemperature", self.phone, at, at, float(written), unit)
            self.know("body_temperature", self.phone, at, tenths / 10)
            self.record("QuantityTypeIdentifierAppleSleepingWristTemperature", self.watch, at, at, 35.5, "degC")

    def day(self):
        """Phone and watch at the same time, in units of several countries."""
        for index in range(400):
            start = self.begin + datetime.timedelta(minutes=9 * index)
            for maker, length in ((self.phone, 10), (self.watch, 4)):
                end = start + datetime.timedelta(minutes=self.random.randint(1, length))
                steps = self.random.randint(1, 900)
                lines = [self.record("QuantityTypeIdentifierStepCount", maker, start, end, steps, "count")]
                shape = {"end": self.us(end), "rank": maker[2], "offset_s": int(start.utcoffset().total_seconds())}
                self.know("steps", maker, start, steps, strand=0, **shape)
                for strand, kind in enumerate(["ActiveEnergyBurned", "BasalEnergyBurned"]):
                    unit, joules = self.random.choice([("kcal", 4184), ("Cal", 4184), ("kJ", 1000)]), self.random.randint(1, 40)
                    lines.append(self.record(f"QuantityTypeIdentifier{kind}", maker, start, end, joules, unit[0]))
                    self.know("calories", maker, start, joules * unit[1] / 4184, strand=strand, **shape)
                if index % 20 == 0:
                    self.records.append("<Correlation type=\"HKCorrelationTypeIdentifierFood\">" + "".join(lines) + "</Correlation>")

    def beats(self):
        """Hearts with extra beats and beats that were missed, on a clock of ten milliseconds."""
        for index in range(40):
            at = self.begin + datetime.timedelta(hours=3 * index, minutes=self.random.randrange(60))
            clock_ms, list_, known = self.random.randrange(0, 43_100_000, 10), "", []
            interval = 800
            for _ in range(self.random.choice([15, 30, 60])):
                interval = max(450, min(1300, interval + self.random.randrange(-60, 70, 10)))
                now = interval
                if self.random.random() < 0.05:
                    now = self.random.choice([260, 420, 1450])
                clock_ms += now + (self.random.choice([0] * 19 + [4200]))
                bpm = max(1, math.floor(Fraction(60_000, now) + Fraction(1, 2)))
                known.append((bpm, clock_ms % 43_200_000))
                of_day = clock_ms % 86_400_000
                hour, rest = divmod(of_day, 3_600_000)
                minute, rest = divmod(rest, 60_000)
                time = f"{hour % 12 or 12}:{minute:02}:{rest // 1000:02}{'.,'[index % 2]}{rest % 1000 // 10:02} {'AP'[hour >= 12]}M"
                list_ += f"<InstantaneousBeatsPerMinute bpm=\"{bpm}\" time=\"{time}\"/>"
            inside = f"\n <HeartRateVariabilityMetadataList>{list_}</HeartRateVariabilityMetadataList>\n"
            sdnn = self.random.randint(200, 900) / 10
            self.record("QuantityTypeIdentifierHeartRateVariabilitySDNN", self.watch, at, at, sdnn, "ms", inside)
            self.know("hrv_sdnn", self.watch, at, sdnn)
            found = rmssd(known)
            if found is not None:
                self.know("hrv", self.watch, at, found)

    def sleep(self):
        """Nights of a watch with stages, of a phone that knows only asleep, of an app; naps; time in bed; waking."""
        lines, intervals = [], []
        for night in range(20):
            to_bed = self.begin + datetime.timedelta(days=night, hours=22, minutes=self.random.randrange(90))
            makers = self.random.sample([self.watch, self.phone, self.app], self.random.randint(1, 3))
            for maker in makers:
                at = to_bed + datetime.timedelta(minutes=self.random.randrange(20))
                # Now and then a battery that ends.
                stop = to_bed + datetime.timedelta(hours=self.random.choice([6, 6, 6, 1]), minutes=self.random.randrange(150))
                lines.append(("InBed", maker, to_bed, stop))
                stages = ["AsleepCore", "AsleepDeep", "AsleepREM", "Awake"] if maker is self.watch else ["Asleep", "AsleepUnspecified", "Awake"]
                while at < stop:
                    end = at + datetime.timedelta(minutes=self.random.randint(5, 70))
                    stage = self.random.choice(stages)
                    lines.append((stage, maker, at, end))
                    # Stages that lie over each other, as after a change of the phone.
                    at = end - datetime.timedelta(minutes=self.random.choice([0, 0, 0, 3]))
            if night % 4 == 0:
                nap = to_bed - datetime.timedelta(hours=8)
                lines.append(("AsleepUnspecified", self.phone, nap, nap + datetime.timedelta(minutes=40)))
            if night % 4 == 1:
                # A nap with the watch, and a phone that lies still until the night.
                nap = to_bed - datetime.timedelta(hours=4)
                lines.append(("AsleepCore", self.watch, nap, nap + datetime.timedelta(minutes=40)))
                lines.append(("Asleep", self.phone, nap, to_bed))
        for stage, maker, start, end in lines:
            self.record("CategoryTypeIdentifierSleepAnalysis", maker, start, end, f"HKCategoryValueSleepAnalysis{stage}")
            if stage not in ("InBed", "Awake"):
                stage = stage.removeprefix("Asleep").replace("Unspecified", "")
                intervals.append((maker[0], maker[1], self.us(start), self.us(end), stage))
        self.truth += nights(intervals)

    def write(self, archive, truth, seed):
        for part in (self.quantities, self.day, self.beats, self.sleep):
            part()
        self.records.append("<Workout workoutActivityType=\"HKWorkoutActivityTypeRunning\"><WorkoutStatistics/></Workout>\n<ActivitySummary/>")
        definition = DEFINITION.format(broken=BROKEN[seed % len(BROKEN)])
        head = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n" + definition + "<HealthData locale=\"de_DE\">\n <ExportDate value=\"2023-05-01 08:00:00 +0100\"/>\n <Me/>\n"
        document = head + "\n".join(" " + record for record in self.records) + "\n</HealthData>\n"
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as parts:
            parts.writestr("apple_health_export/export_cda.xml", "<?xml version=\"1.0\"?><ClinicalDocument xmlns=\"urn:hl7-org:v3\"/>")
            parts.writestr("apple_health_export/workout-routes/route_2023-03-20.gpx", "<gpx/>")
            parts.writestr(NAMES[seed % len(NAMES)], document)
        pathlib.Path(truth).write_text("".join(json.dumps(line) + "\n" for line in self.truth))


def main():
    match sys.argv[1:]:
        case ["fetch", export]:
            fetch(export)
        case ["compare", export, found]:
            compare(export, found)
        case ["generate", seed, archive, truth]:
            Generator(int(seed)).write(archive, truth, int(seed))
        case ["agree", truth, found]:
            same(read(truth)[0], read(found)[0])
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
