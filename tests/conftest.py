"""What every test may use: real servers (``tests.support.servers``) and the whole platform (``….platform``)."""

pytest_plugins = ["tests.support.servers", "tests.support.platform"]
