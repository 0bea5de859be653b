"""Which failures count as the same, and which do not: seen in runs of these tests."""

import unittest

from reasons import brief, same, vague

SINGLE, DOUBLE = '"AAH+/w=="', '"QUFIKy93PT0="'


def parts(bytes_: str, name: str = '') -> str:
    """Parts as the JS client shows them."""
    named = f',"name":"{name}"' if name else ''
    return f'[{{"text":"done"}},{{"bytes":{bytes_}{named}}}]'


class Same(unittest.TestCase):
    def test_ids_numbers_quotes_and_case_do_not_matter(self):
        self.assertTrue(
            same(
                "task 'c8b1d9d4-6a01-4f6a-8f66-2f0b9d1c3a55' is Lost after 10 s",
                'Task 0f0e6a2c-93c2-4d0b-9a6f-7d0a5c2f1b11 is lost after 2.5 s',
            )
        )

    def test_an_http_status_does_matter(self):
        self.assertFalse(same('A2AClientError: HTTP Error 422: x', 'A2AClientError: HTTP Error 400: x'))

    def test_a_clause_that_tells_something_is_found_in_what_a_client_puts_around_it(self):
        field = 'Cannot find field: name in message a2a.v1.FilePart'
        self.assertTrue(same(f'Failed to parse request body: {field}', f'io.X: Failed to send message: {field} <- io.Y'))
        self.assertTrue(same('TransportError: unknown exception', 'HTTP error! Response: {"message":"unknown exception"}'))

    def test_what_was_wanted_is_no_reason(self):
        self.assertFalse(same('A2AClientException: Task not found: 7', 'not "task not found": server error'))
        self.assertFalse(same('not "task not found": internal error', 'not "task not found": server error'))

    def test_no_more_may_differ_through_the_mesh_than_directly(self):
        nameless = f'parts: {parts(SINGLE)}, not {parts(SINGLE, "a.bin")}'
        doubled = f'parts: {parts(DOUBLE)}, not {parts(SINGLE, "a.bin")}'
        self.assertTrue(same(nameless, doubled))
        self.assertFalse(same(doubled, nameless))

    def test_notations_of_a_value_do_not_matter(self):
        python = "artifacts: wanted [{'n': 1, 'x': None, 'name': 'a'}], got [{'n': 1.0, 'x': None}]"
        self.assertTrue(same(python, 'parts: [{"n":1,"x":null}], not [{"n":1,"x":null,"name":"a"}]'))
        self.assertFalse(same('parts: [9007199254740990], not [9007199254740991]', 'parts: [1], not [2]'))

    def test_a_comparison_is_not_the_same_as_an_error(self):
        self.assertFalse(same(f'parts: {parts(DOUBLE)}, not {parts(SINGLE)}', 'unknown exception'))


class Told(unittest.TestCase):
    def test_timeouts_and_bare_statuses_are_vague(self):
        for text in ('timed out after 10 s', 'no end after 8.0 s', 'internal error', 'X: HTTP Error 400: Bad Request'):
            self.assertTrue(vague(text), text)
        self.assertFalse(vague('Cannot find field: name'))

    def test_of_a_long_comparison_the_page_shows_what_differs(self):
        long = '"x":"' + 'y' * 200 + '"'
        self.assertEqual(brief(f'parts: [{{{long}}},1], not [{{{long}}},2]'), 'parts: 1 instead of 2')
