"""Where `sscd filter` writes: a file or folder that is complete, or absent, here or on a server."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Set
from contextlib import contextmanager, suppress
from pathlib import Path

from sscd_cli.errors import SscdError, cannot_write
from sscd_cli.storage.files import publish_new, sync, unfinished_folder
from sscd_cli.storage.places import RemotePath
from sscd_cli.storage.servers import is_url, remove_url, upload


class Output:
    """What is being written. place: where; the files that are on a server already are noted."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._uploaded: list[str] = []

    def write(self, source: str, target: str, removed: Set[str], *, link: bool) -> int:
        """Write a source to `target`, which lies in or is `place`, without the images `removed`.

        Returns: how many captions or annotations went along.
        Raises: FileExistsError: another run wrote there; and as `images.containers.kinds.rewriter`.
        """
        from sscd_cli.images.containers.folder import copy_folder
        from sscd_cli.images.containers.kinds import rewriter
        from sscd_cli.images.sources import is_folder

        write = rewriter(source)
        if write is None or is_folder(source):
            uploaded = self._uploaded.append
            return copy_folder(source, target, removed, link=link, uploaded=uploaded)
        if not is_url(target):
            return write(source, target, removed)
        with tempfile.TemporaryDirectory(prefix="sscd-filter-") as folder:
            made = Path(folder, Path(target).name)
            along = write(source, str(made), removed)
            upload(str(made), target)
            self._uploaded.append(target)
        return along

    def withdraw(self) -> None:
        """Remove from the server what was written there, as far as it lets us."""
        for url in self._uploaded:
            with suppress(OSError):
                remove_url(url)


@contextmanager
def publishing(output: Path) -> Iterator[Output]:
    """Yield what becomes `output`, which is new, if the block ends well; else nothing is left.

    On this machine it is written in a folder of its own beside `output`. On a server, where no
    file can be renamed, each one takes its place whole and at once, and is removed if the block
    fails.
    Raises: UsageError: something has that name, perhaps since a moment. SscdError: `output` cannot
        be written.
    """
    try:
        with _on_server(output) if isinstance(output, RemotePath) else _here(output) as made:
            yield made
    except FileExistsError:
        raise SscdError(f"{output} exists", "choose another place with -o") from None
    except OSError as error:
        raise cannot_write(output, error, "choose another place with -o") from error


@contextmanager
def _on_server(output: Path) -> Iterator[Output]:
    made = Output(output)
    try:
        yield made
    except BaseException:
        made.withdraw()
        raise


@contextmanager
def _here(output: Path) -> Iterator[Output]:
    with unfinished_folder(output) as made:
        yield Output(made)
        sync(made)
        publish_new(made, output)
