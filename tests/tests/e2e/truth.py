"""Prints what fitdecode itself reads in FIT files: [[seconds since 1970, heart rate], …] as JSON.

Written apart from the pipeline on purpose: it is what the pipeline is compared with.
"""

import json
import sys

import fitdecode

rates = {}
for path in sys.argv[1:]:
    with fitdecode.FitReader(path) as reader:
        for frame in reader:
            if frame.frame_type != fitdecode.FIT_FRAME_DATA or frame.name != "record":
                continue
            if frame.has_field("heart_rate") and frame.get_value("heart_rate"):
                at = frame.get_value("timestamp")
                rates[int(at.timestamp())] = float(frame.get_value("heart_rate"))
print(json.dumps(sorted(rates.items())))
