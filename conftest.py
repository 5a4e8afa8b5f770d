"""The whole suite's plugins."""

pytest_plugins = ["tests.clause_results", "tests.servers"]
