"""The one lock: on an open file, until it is closed, however the process ends."""

from __future__ import annotations

import errno
import fcntl
from typing import IO, Any

# what file systems without locks answer (Lustre and NFS as some mount them)
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP}


def lock(file: IO[Any], *, shared: bool = False, of_process: bool = False) -> bool | None:
    """Lock an open file: False if another holds it, None if its file system knows no locks.

    shared: beside others that share it. of_process: forked workers do not inherit it, which may
    outlive a killed run by seconds; but any handle of the file that the process closes ends it.
    Raises: OSError: the file system fails.
    """
    how = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB
    try:
        fcntl.lockf(file, how) if of_process else fcntl.flock(file, how)
    except OSError as error:
        if error.errno in {errno.EAGAIN, errno.EACCES}:
            return False
        if error.errno in _NO_LOCKS:
            return None
        raise
    return True
