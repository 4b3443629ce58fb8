"""Prints what FIT files hold for us, as two decoders of others read them: JSON rows, by file.

The files are decoded by `fitdecode`, and again by Garmin's own SDK, which must agree (it does not read compressed
timestamps; those files it skips). What the messages mean is written here once more, apart from the product's own code:

    ["sample", metric, value, microseconds, device]
    ["reading", daily, value, strand, microseconds, microseconds of the day's start, offset in seconds, device]

A value is written as the bits of its double.
"""

import json
import math
import struct
import sys

import fitdecode
from garmin_fit_sdk import Decoder, Stream
from garmin_fit_sdk.profile import Profile

EPOCH = 631065600
FIRST_DATE = 0x10000000


def by_fitdecode(path):
    """Yields (message number, {field number: raw value}), None where a chained file begins."""
    with fitdecode.FitReader(path) as reader:
        for frame in reader:
            if frame.frame_type == fitdecode.FIT_FRAME_HEADER:
                yield None, {}
            if frame.frame_type != fitdecode.FIT_FRAME_DATA:
                continue
            fields = {}
            for field in frame.fields:
                if field.is_expanded and field.def_num == 108:
                    continue  # made of field 99, which is read itself
                if field.raw_value is not None and not isinstance(field.raw_value, str):
                    fields.setdefault(field.def_num, field.raw_value)
            yield frame.global_mesg_num, fields


def by_garmin(path):
    numbers = {
        number: {field["name"]: field["num"] for field in message["fields"].values()}
        for number, message in Profile["messages"].items()
    }
    found = []

    def listen(number, message):
        names = numbers.get(number, {})
        fields = {names.get(name, name): value for name, value in message.items() if value is not None}
        if 99 in fields:
            fields.pop(108, None)
        found.append((number, fields))

    decoder = Decoder(Stream.from_file(str(path)))
    _, errors = decoder.read(
        apply_scale_and_offset=False,
        convert_datetimes_to_dates=False,
        convert_types_to_strings=False,
        merge_heart_rates=False,
        mesg_listener=listen,
    )
    if errors:
        return None if "ompressed" in str(errors[0]) else errors
    return found


def first(value):
    return value[0] if isinstance(value, (list, tuple)) else value


class Reader:
    def __init__(self, expanded):
        self.expanded = expanded
        self.rows = []
        self.device = None
        self.begin()

    def begin(self):
        """A chained file begins; one without a `file_id` goes on being of the device before it."""
        self.clock = self.offset = self.at_rest = self.day = None
        self.now = None
        self.beats = []
        self.levels = []
        self.sleep_end = None

    def sample(self, metric, value, at):
        if at is not None and at >= FIRST_DATE:
            self.rows.append(["sample", metric, float(value), (at + EPOCH) * 1_000_000, self.device])

    def reading(self, daily, strand, value, at):
        local = at + EPOCH + self.offset
        start = math.ceil(local / 86400) * 86400 - 86400 - self.offset
        micros = (at + EPOCH) * 1_000_000
        self.rows.append(["reading", daily, float(value), strand, micros, start * 1_000_000, self.offset, self.device])

    def message(self, number, fields):
        at = fields.get(253)
        if number == 0:
            maker = {1: "garmin", 13: "dynastream", 15: "dynastream"}.get(fields.get(1), f"fit-{fields.get(1)}")
            self.device = "-".join([maker, *(str(fields[key]) for key in (2, 3) if fields.get(key))])
        elif number == 20:
            if at is not None and at >= FIRST_DATE:
                self.now = at
            if fields.get(3):
                self.sample("heart_rate", fields[3], at)
            if fields.get(108):
                self.sample("respiratory_rate", fields[108] / 100, at)
            elif fields.get(99):
                self.sample("respiratory_rate", fields[99], at)
        elif number == 21:
            if at is not None and at >= FIRST_DATE:
                self.now = at
            if fields.get(0) == 74 and fields.get(1) == 1:
                self.sleep_end = at
        elif number == 78:
            times = fields.get(0, [])
            times = times if isinstance(times, (list, tuple)) else [times]
            self.beats += [(self.now, time) for time in times if time is not None and time != 65535]
        elif number == 132:
            self.strap(at, fields)
        elif number == 103:
            self.rest()
            self.clock = at
            self.offset = round((fields[0] - at) / 900) * 900
            self.at_rest = fields.get(5) or self.at_rest
        elif number == 55:
            self.monitoring(at, fields)
        elif number == 269 and fields.get(0):
            self.sample("spo2", fields[0], at)
        elif number == 297 and fields.get(0, -1) > 0:
            self.sample("respiratory_rate", fields[0] / 100, at)
        elif number == 371 and fields.get(0):
            self.sample("hrv", fields[0] / 128, at)
        elif number == 275:
            self.levels.append((at, fields.get(0)))

    def strap(self, at, fields):
        """Heart rates that a strap kept: 12 bits of its clock each, from the lowest bit on."""
        rates = fields[6] if isinstance(fields[6], (list, tuple)) else [fields[6]]
        if 10 in fields:
            bits = int.from_bytes(bytes(fields[10]), "little")
            clocks = []
            for place in range(len(rates)):
                low = bits >> 12 * place & 0xFFF
                self.strap_clock += (low - self.strap_clock) & 0xFFF
                clocks.append(self.strap_clock)
        else:
            self.strap_clock = first(fields[9])
            clocks = [self.strap_clock]
            if at is not None:
                self.anchor = (at * 32768 + fields.get(0, 0), self.strap_clock)
        if 10 in fields and self.expanded:
            # Garmin's SDK has made the clocks of the bits itself.
            theirs = [round(clock * 1024) for clock in fields[9]]
            assert theirs == clocks, (theirs, clocks)
        for rate, clock in zip(rates, clocks):
            fractions = self.anchor[0] + (clock - self.anchor[1]) * 32
            micros = EPOCH * 1_000_000 + fractions * 1_000_000 // 32768
            self.rows.append(["sample", "heart_rate", float(rate), micros, self.device])

    def monitoring(self, at, fields):
        if at is not None:
            self.clock = at
        elif 26 in fields and self.clock is not None:
            at = self.clock = self.clock + ((fields[26] - (self.clock & 0xFFFF)) & 0xFFFF)
        if fields.get(27):
            self.sample("heart_rate", fields[27], at)
        activity = fields.get(5)
        if activity is None and 24 in fields:
            activity = first(fields[24]) & 31
        if activity is not None:
            cycles = fields.get(3)
            if cycles is not None and activity in (1, 6):
                self.reading("steps", activity, float(cycles), at)
            if fields.get(19) is not None:
                self.reading("calories", activity, float(fields[19]), at)
        if at is not None and self.offset is not None:
            day = math.ceil((at + EPOCH + self.offset) / 86400)
            if self.day and self.day[0] != day:
                self.rest()
            self.day = (day, max(at, self.day[1]) if self.day else at)

    def rest(self):
        if self.day and self.at_rest:
            day, at = self.day
            elapsed = at + EPOCH + self.offset - (day - 1) * 86400
            self.reading("calories", 255, self.at_rest * elapsed / 86400, at)
        self.day = None

    def end(self):
        self.rest()
        self.variability()
        self.night()

    def variability(self):
        windows = {}
        for at, interval in self.beats:
            if at is not None:
                first_at = next(at for at, _ in self.beats if at is not None)
                windows.setdefault(first_at + (at - first_at) // 300 * 300, []).append((at, interval))
        for start, beats in sorted(windows.items()):
            artefacts = sum(not 250 <= interval <= 2000 for _, interval in beats)
            differences = []
            for (at, before), (later, interval) in zip(beats, beats[1:]):
                if 250 <= before <= 2000 and 250 <= interval <= 2000 and later - at <= 5:
                    if abs(interval - before) * 5 <= before:
                        differences.append(interval - before)
                    else:
                        artefacts += 1
            if len(differences) >= 60 and artefacts <= len(beats) // 5:
                mean = sum(difference**2 for difference in differences) / len(differences)
                self.sample("hrv", math.sqrt(mean), start)

    def night(self):
        if not self.levels:
            return
        end = self.levels[-1][0] if self.sleep_end is None else self.sleep_end
        spans = zip(self.levels, [at for at, _ in self.levels[1:]] + [end])
        seconds = {}
        for (at, level), until in spans:
            seconds[level] = seconds.get(level, 0) + until - at
        asleep = sum(seconds.get(level, 0) for level in (2, 3, 4))
        if asleep:
            self.sample("sleep_duration", asleep / 3600, end)
            self.sample("sleep_deep", seconds.get(3, 0) / 3600, end)
            self.sample("sleep_rem", seconds.get(4, 0) / 3600, end)


def rows(messages, expanded=False):
    reader = Reader(expanded)
    for number, fields in messages:
        if number is None:
            reader.end()
            reader.begin()
        else:
            reader.message(number, fields)
    reader.end()
    return reader.rows


def main():
    answer = {}
    for path in sys.argv[1:]:
        ours = rows(by_fitdecode(path))
        theirs = by_garmin(path)
        if theirs is not None:
            assert isinstance(theirs, list) and all(isinstance(message, tuple) for message in theirs), (path, theirs)
            is_chained = sum(number == 0 for number, _ in theirs) > 1
            if is_chained:
                theirs = [part for message in theirs for part in ([(None, {})] if message[0] == 0 else []) + [message]]
            assert sorted(map(str, rows(theirs, expanded=True))) == sorted(map(str, ours)), f"the two decoders disagree over {path}"
        answer[path] = [[*row[:2], struct.unpack("<q", struct.pack("<d", row[2]))[0], *row[3:]] for row in ours]
    print(json.dumps(answer))


main()
