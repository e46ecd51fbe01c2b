#!/usr/bin/env python3
"""Shortens the trace in TLC's output (standard input): of each step its name and what it changed.

A line is `path = value`, or `path: gone VALUE, new VALUE` of a set; the beginning is left out.
"""
import re
import sys
import textwrap

WIDTH = 100
TOKEN = re.compile(r'\s*(<<|>>|\|->|:>|@@|"[^"]*"|[\[\](){},]|-?\d+|\w+)')


class Parser:
    """Values as TLC prints them: records and functions become dicts, sequences lists, sets frozensets of text."""

    def __init__(self, text):
        self.tokens = TOKEN.findall(text)
        self.at = 0

    def next(self):
        self.at += 1
        return self.tokens[self.at - 1]

    def peek(self):
        return self.tokens[self.at]

    def items(self, end, read):
        values = []
        while self.peek() != end:
            values.append(read())
            if self.peek() in (',', '@@'):
                self.next()
        self.next()
        return values

    def pair(self):
        key = self.value()
        self.next()  # |-> or :>
        return key, self.value()

    def value(self):
        token = self.next()
        if token == '<<':
            return self.items('>>', self.value)
        if token == '{':
            return frozenset(show(v) for v in self.items('}', self.value))
        if token == '[':
            return dict(self.items(']', self.pair))
        if token == '(':
            return dict(self.items(')', self.pair))
        return token


def show(value):
    if isinstance(value, dict):
        return '[' + ', '.join(f'{key.strip(chr(34))} {show(v)}' for key, v in value.items()) + ']'
    if isinstance(value, list):
        return '<<' + ', '.join(map(show, value)) + '>>'
    if isinstance(value, frozenset):
        return '{' + ', '.join(sorted(value)) + '}'
    return value


def changes(path, old, new):
    if old == new:
        return []
    if isinstance(old, dict) and isinstance(new, dict) and old.keys() == new.keys():
        return [line for key in new for line in changes(f'{path}.{key.strip(chr(34))}', old[key], new[key])]
    if isinstance(old, list) and isinstance(new, list) and old and new[:len(old)] == old:
        return [f'{path}: then {show(value)}' for value in new[len(old):]]
    if isinstance(old, frozenset) and isinstance(new, frozenset) and old:
        parts = [f'gone {v}' for v in sorted(old - new)] + [f'new {v}' for v in sorted(new - old)]
        return [f'{path}: {", ".join(parts)}']
    return [f'{path} = {show(new)}']


def states(text):
    for match in re.finditer(r'^State (\d+): <(\w+)[^\n]*>\n(.*?)\n\n', text, re.M | re.S):
        number, step, body = match.groups()
        # One variable alone is printed without the list of conjuncts.
        variables = re.split(r'^/\\ ', body, flags=re.M)[1:] or [body]
        yield int(number), step, {name: Parser(value).value() for name, value in
                                  (re.split(r'\s+=\s+', v, maxsplit=1) for v in variables)}


def main():
    before = None
    for number, step, state in states(sys.stdin.read()):
        if before is not None:
            print(f'{number - 1:2} {step}')
            for name in state:
                for line in changes(name, before[name], state[name]):
                    print(textwrap.fill(line, WIDTH, initial_indent='     ', subsequent_indent='         ',
                                        break_long_words=False))
        before = state


if __name__ == '__main__':
    main()
