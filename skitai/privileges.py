"""Whom a service runs as: a worker gives up the rights of root before it loads an app.

``Service.run`` checks the names at the start; the master keeps its rights, to bind ports again.
"""

from __future__ import annotations

import grp
import os
import pwd

from skitai.errors import ConfigError


def check_owner(user: str, group: str) -> None:
    """Raise ``ConfigError`` unless this process may become that user and group.

    Parameters:
        user, group: names; empty to stay as it is.
    """
    if not user and not group:
        return
    entry = find_user(user) if user else pwd.getpwuid(os.geteuid())
    gid = find_group(group) if group else entry.pw_gid
    if os.geteuid() != 0 and (entry.pw_uid, gid) != (os.geteuid(), os.getegid()):
        given = f"user={user!r}" if user else f"group={group!r}"
        raise ConfigError(
            f"{given} needs the rights of root, which this process does not have: start it as that "
            "user, or as root"
        )


def find_user(name: str) -> pwd.struct_passwd:
    """The user of a name. Raises ``ConfigError`` when there is none."""
    try:
        return pwd.getpwnam(name)
    except KeyError:
        raise ConfigError(f"user {name!r} does not exist: give another with --user") from None


def find_group(name: str) -> int:
    """The number of a group. Raises ``ConfigError`` when there is none."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise ConfigError(f"group {name!r} does not exist: give another with --group") from None


def become(user: str, group: str) -> None:
    """Go on as another user and group, with all groups of the user, for good.

    Parameters:
        user, group: names; empty to stay as it is. They have been checked.

    Raises ``ConfigError`` when the system refuses, as it does in a container whose root may not.
    """
    if os.geteuid() != 0 or not (user or group):
        return
    entry = find_user(user) if user else pwd.getpwuid(0)
    gid = find_group(group) if group else entry.pw_gid
    try:
        os.initgroups(entry.pw_name, gid)
        os.setresgid(gid, gid, gid)
        os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
    except PermissionError:
        raise ConfigError(
            f"user={entry.pw_name!r} can't be had: root may not become somebody else here; give it "
            "the capabilities SETUID and SETGID, or start the service as that user"
        ) from None
    os.environ.update(HOME=entry.pw_dir, USER=entry.pw_name, LOGNAME=entry.pw_name)
