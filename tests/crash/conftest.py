"""Assertions of the crash tests' helpers are told in full, as those of tests are."""

import pytest

pytest.register_assert_rewrite("tests.crash.people")
