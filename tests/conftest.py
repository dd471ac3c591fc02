"""What every test may use: real servers (``support.servers``), the whole platform (``support.platform``)."""

pytest_plugins = ["tests.support.servers", "tests.support.platform"]
