"""What every test may use: real servers on free ports (see ``tests.support.servers``)."""

pytest_plugins = ["tests.support.servers"]
