"""Writes FIT files that no published sample is, into a folder, and prints what each must give.

Most are written by the encoder of Garmin's own SDK. Compressed timestamps and big-endian messages it does not write:
those are written here by the public description of the format.
"""

import json
import struct
import sys
from pathlib import Path

from garmin_fit_sdk import Encoder

EPOCH = 631065600
DAY = 1083448800  # 2024-04-30T22:00:00Z, midnight two hours east
ZONE = 7200
FOLDER = Path(sys.argv[1])
KNOWN = {}


def by_garmin(name, kind, messages, serial=4711):
    encoder = Encoder()
    head = {"mesg_num": 0, "type": kind, "manufacturer": 1, "product": 3121, "serial_number": serial, "time_created": DAY}
    for message in [head, *messages]:
        encoder.write_mesg(message)
    (FOLDER / name).write_bytes(bytes(encoder.close()))


def monitoring(name, begin, readings, others=()):
    """A daily file: `readings` are (seconds into the day, activity, cycles, kcal)."""
    messages = [
        {"mesg_num": 103, "timestamp": DAY + begin, "local_timestamp": DAY + begin + ZONE, "resting_metabolic_rate": 1728}
    ]
    for second, activity, cycles, kcal in readings:
        at = DAY + second
        messages.append({"mesg_num": 55, "timestamp": at, "activity_type": activity, "cycles": cycles / 2, "active_calories": kcal})
        messages.append({"mesg_num": 55, "timestamp_16": (at + 60) & 0xFFFF, "heart_rate": 60 + second % 40})
        messages.append({"mesg_num": 55, "timestamp_16": (at + 120) & 0xFFFF, "heart_rate": 255})
    by_garmin(name, 32, [*messages, *others])


def crc(data):
    value = 0
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ 0xA001 if value & 1 else value >> 1
    return value


def by_hand(name, records):
    head = struct.pack("<BBHI4s", 14, 0x20, 2140, len(records), b".FIT")
    data = head + struct.pack("<H", crc(head)) + records
    (FOLDER / name).write_bytes(data + struct.pack("<H", crc(data)))


def definition(local, number, fields, big=False, developer=()):
    order = ">" if big else "<"
    text = struct.pack(f"{order}BBBHB", 0x40 | local | (0x20 if developer else 0), 0, int(big), number, len(fields))
    text += b"".join(bytes(field) for field in fields)
    if developer:
        text += bytes([len(developer)]) + b"".join(bytes(field) for field in developer)
    return text


FILE_ID = definition(0, 0, [(0, 1, 0), (1, 2, 0x84), (2, 2, 0x84), (3, 4, 0x8C)]) + struct.pack("<BBHHI", 0, 4, 32, 7, 99)
RECORD = [(253, 4, 0x86), (3, 1, 2)]


def compressed():
    records = FILE_ID + definition(1, 20, RECORD) + definition(2, 20, [(3, 1, 2)])
    known, at = [], DAY + 5
    records += struct.pack("<BIB", 1, at, 50)
    known.append(("heart_rate", 50, at))
    for step, rate in enumerate([51, 52, 53, 54, 55, 56] * 20):
        at += (step * 7) % 31
        records += bytes([0x80 | 2 << 5 | at % 32, rate])
        known.append(("heart_rate", rate, at))
    by_hand("compressed.fit", records)
    KNOWN["compressed.fit"] = [[metric, value, (at + EPOCH) * 1_000_000] for metric, value, at in known]


def big_endian():
    records = FILE_ID + definition(1, 20, [(3, 1, 2), (253, 4, 0x86), (108, 2, 0x84)], big=True)
    known = []
    for second in range(100):
        at = DAY + second
        records += struct.pack(">BBIH", 1, 60 + second, at, 1400 + second)
        known += [["heart_rate", 60 + second, (at + EPOCH) * 1_000_000]]
        known += [["respiratory_rate", (1400 + second) / 100, (at + EPOCH) * 1_000_000]]
    by_hand("big_endian.fit", records)
    KNOWN["big_endian.fit"] = known


def developer():
    """A developer's field in front of and behind redefinitions of one local type."""
    records = FILE_ID + definition(3, 207, [(1, 16, 0x0D), (3, 1, 2)]) + bytes([3]) + bytes(range(16)) + bytes([0])
    records += definition(4, 206, [(0, 1, 2), (1, 1, 2), (2, 1, 2), (3, 8, 7)]) + bytes([4, 0, 5, 2]) + b"dough\0\0\0"
    records += definition(1, 20, RECORD, developer=[(5, 1, 0)])
    known = []
    for second in range(10):
        records += struct.pack("<BIBB", 1, DAY + second, 70 + second, second)
        known.append(["heart_rate", 70 + second, (DAY + second + EPOCH) * 1_000_000])
    records += definition(1, 20, [(3, 1, 2), (253, 4, 0x86)])
    for second in range(10, 20):
        records += struct.pack("<BBI", 1, 70 + second, DAY + second)
        known.append(["heart_rate", 70 + second, (DAY + second + EPOCH) * 1_000_000])
    by_hand("developer.fit", records)
    KNOWN["developer.fit"] = known


def night():
    hour = 3600
    levels = [(1, 0), (2, 600), (3, hour), (2, 2 * hour), (0, 3 * hour), (4, 3 * hour + 300), (2, 4 * hour), (4, 6 * hour)]
    begin, end = DAY + 2 * hour, DAY + 2 * hour + 7 * hour
    messages = [{"mesg_num": 21, "timestamp": begin, "event": 74, "event_type": 0}]
    messages += [{"mesg_num": 275, "timestamp": begin + at, "sleep_level": level} for level, at in levels]
    messages += [{"mesg_num": 21, "timestamp": end, "event": 74, "event_type": 1}]
    by_garmin("sleep.fit", 49, messages)
    rem = hour + (hour - 300)
    light = (hour - 600) + hour + 2 * hour
    at = (end + EPOCH) * 1_000_000
    KNOWN["sleep.fit"] = [
        ["sleep_duration", (hour + rem + light) / 3600, at],
        ["sleep_deep", 1.0, at],
        ["sleep_rem", rem / 3600, at],
    ]


def night_values():
    messages = [{"mesg_num": 370, "timestamp": DAY, "weekly_average": 41.5, "last_night_average": 44.0}]
    messages += [{"mesg_num": 371, "timestamp": DAY + 300 * step, "value": 30 + step / 2} for step in range(40)]
    by_garmin("hrv_status.fit", 68, messages)
    KNOWN["hrv_status.fit"] = [
        ["hrv", 30 + step / 2, (DAY + 300 * step + EPOCH) * 1_000_000] for step in range(40)
    ]


def days():
    """Three files of one day, each going on where the one before ended; the totals are those of the last readings."""
    monitoring(
        "day_1.fit",
        0,
        [(3600, 6, 100, 5), (7200, 6, 450, 20), (7500, 1, 60, 4)],
        [{"mesg_num": 269, "timestamp": DAY + 60 * step, "reading_spo2": 90 + step} for step in range(10)],
    )
    monitoring("day_2.fit", 9000, [(9000, 6, 450, 20), (9000, 1, 60, 4), (30_000, 6, 3000, 130)])
    monitoring(
        "day_3.fit",
        40_000,
        [(40_000, 6, 3000, 130), (70_000, 1, 1500, 96), (86_400, 6, 9000, 400), (86_400, 1, 1500, 96)],
        [{"mesg_num": 297, "timestamp": DAY + 40_000 + 60 * step, "respiration_rate": rate} for step, rate in enumerate([14.25, 15.5, -3.0, 13.0])],
    )
    KNOWN["totals"] = {"steps": 9000 + 1500, "calories": 400 + 96 + 1728}


def chained():
    parts = [(FOLDER / name).read_bytes() for name in ("developer.fit", "big_endian.fit", "hrv_status.fit")]
    (FOLDER / "chained.fit").write_bytes(b"".join(parts))
    KNOWN["chained.fit"] = KNOWN["developer.fit"] + KNOWN["big_endian.fit"] + KNOWN["hrv_status.fit"]


for write in (compressed, big_endian, developer, night, night_values, days, chained):
    write()
for name, rows in KNOWN.items():
    if name != "totals":
        # Values as the bits of their doubles.
        KNOWN[name] = [[metric, struct.unpack("<q", struct.pack("<d", value))[0], at] for metric, value, at in rows]
print(json.dumps(KNOWN))
