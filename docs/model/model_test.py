#!/usr/bin/env python3
"""Tests of script/model and trace.py: facts about them, by running them."""
import importlib.util
import os
import pathlib
import subprocess
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
SCRIPT = HERE.parent.parent / 'script' / 'model'

# Not `import trace`: the standard library has one.
_spec = importlib.util.spec_from_file_location('model_trace', HERE / 'trace.py')
model_trace = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(model_trace)


def check(lines):
    """Runs script/model check on the given checks; its exit status and its lines."""
    with tempfile.TemporaryDirectory() as folder:
        checks = pathlib.Path(folder) / 'checks.txt'
        checks.write_text(lines)
        environment = {**os.environ, 'MARQUEE_MODEL_CHECKS': str(checks), 'MARQUEE_MODEL_OUT': folder}
        done = subprocess.run([SCRIPT, 'check'], env=environment, capture_output=True, text=True)
        return done.returncode, done.stdout.splitlines()


class ScriptModel(unittest.TestCase):
    def test_passes_where_every_check_ends_as_expected(self):
        status, lines = check('Placement - -\nPlacement RuleOnlyItsShard CatalogueIsRight\n')
        self.assertEqual((status, lines[-1]), (0, '2 passed, 0 failed'), lines)

    def test_fails_where_a_rule_taken_out_breaks_nothing(self):
        status, lines = check('Placement - OneNumberOfShards\n')
        self.assertEqual((status, lines[-1]), (1, '0 passed, 1 failed'), lines)
        self.assertIn('expected OneNumberOfShards, found -', lines[0])

    def test_fails_where_a_promise_breaks_or_another_one_than_expected(self):
        status, lines = check('Placement RuleOnlyItsShard -\nPlacement RuleOnlyItsShard OneNumberOfShards\n')
        self.assertEqual((status, lines[-1]), (1, '0 passed, 2 failed'), lines)

    def test_fails_where_there_is_no_such_specification(self):
        status, lines = check('Nothing - -\n')
        self.assertEqual((status, lines[-1]), (1, '0 passed, 1 failed'), lines)

    def test_unknown_verb_is_wrong_usage(self):
        self.assertEqual(subprocess.run([SCRIPT, 'nonsense'], capture_output=True).returncode, 2)


class Trace(unittest.TestCase):
    def changes(self, old, new):
        return model_trace.changes('v', model_trace.Parser(old).value(), model_trace.Parser(new).value())

    def test_of_a_record_only_changed_fields_are_shown(self):
        self.assertEqual(self.changes('[a |-> 1, b |-> {"x"}]', '[a |-> 2, b |-> {"x"}]'), ['v.a = 2'])

    def test_of_a_function_only_changed_values_are_shown(self):
        self.assertEqual(self.changes('( p :> [n |-> 1] @@ q :> [n |-> 1] )', '( p :> [n |-> 1] @@ q :> [n |-> 3] )'),
                         ['v.q.n = 3'])

    def test_of_a_set_what_came_and_went_is_shown(self):
        self.assertEqual(self.changes('{1, 2}', '{2, 3}'), ['v: gone 1, new 3'])

    def test_of_a_sequence_that_grew_what_was_added_is_shown(self):
        self.assertEqual(self.changes('<<1>>', '<<1, <<2, 3>>>>'), ['v: then <<2, 3>>'])


if __name__ == '__main__':
    unittest.main()
