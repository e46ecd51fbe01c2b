"""Ratings for tests of other programs, and what has to come of them."""

import collections
import random


def made_ratings(count, seed=1):
    """Lines of a CSV file."""
    draw = random.Random(seed)
    return [f"{draw.randrange(1000)},{draw.randrange(1, 200)},{draw.randrange(1, 11) / 2},1600000000" for _ in range(count)]


def expected_means(lines):
    """Of every movie the count, and the sum in thousandths."""
    means = collections.defaultdict(lambda: (0, 0))
    for line in lines:
        _, movie, stars, _ = line.split(",")
        count, total = means[int(movie)]
        means[int(movie)] = (count + 1, total + round(float(stars) * 1000))
    return dict(means)


def printed_means(lines):
    """Lines as read_means.py prints them."""
    return [f"{movie} {count} {total / count / 1000:.6f}" for movie, (count, total) in sorted(expected_means(lines).items())]


def assert_counted(test, marquee, lines, repeats=0, rejected=0):
    """By the audit, once all is visible."""
    report = marquee.audit()
    test.assertEqual((report["differing_movies"], report["other_differences"]), ([], []))
    test.assertEqual((report["ratings_from_topic"], report["repeats_dropped"], report["rejected"]), (len(lines), repeats, rejected))
