"""Rows on Kafka with packs, beside those without."""

import copy
import statistics

from broker_rows import TIMES, broker_to_means, seconds_to_means, visible, whole_system
from report import Row, millions


def packed(on):
    on.load()
    if on.to_means is None:
        list(broker_to_means(on))
    packing = copy.copy(on)
    packing.settings = on.nodes.packing
    loaded = [packing.publish() for _ in range(TIMES)]
    yield beside(f"csv-to-{on.nodes.name}", statistics.median(speed for _, speed in loaded), statistics.median(on.speeds))
    speeds = []
    for prefix, _ in loaded:
        speeds.append(on.bench.ratings / seconds_to_means(packing, prefix))
        packing.make_visible_and_audit(prefix, on.csv())
    yield beside(f"{on.nodes.name}-to-means", statistics.median(speeds), on.to_means)
    for rows in (visible, whole_system):
        for row in rows(packing):
            yield row._replace(name=f"{row.name}, packed")


def beside(name, speed, unpacked):
    return Row(f"{name}, packed", f"{millions(speed)}/s", f"one by one {millions(unpacked)}/s", f"{speed / unpacked:.2f}")
