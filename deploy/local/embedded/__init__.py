"""Real servers run as child processes of this one: nats-server and mongod, for one machine and for tests.

Both die with the process that started them (see ``process``), listen on the loopback interface only and keep
their data in a directory, so that ``kill()`` followed by ``start()`` is a faithful crash and recovery.
"""

from deploy.local.embedded.mongod import MongoServer
from deploy.local.embedded.nats_server import NatsServer
from deploy.local.embedded.ports import free_ports
from deploy.local.embedded.process import ChildProcess

__all__ = ["ChildProcess", "MongoServer", "NatsServer", "free_ports"]
