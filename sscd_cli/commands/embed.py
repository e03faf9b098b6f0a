"""`sscd embed`: from images to a descriptor dataset, going on where an earlier run stopped."""

from __future__ import annotations

from sscd_cli.embedding.job import EmbedResult, Progress, check
from sscd_cli.options.embed import EmbedOptions

__all__ = ["EmbedResult", "Progress", "run"]


def run(options: EmbedOptions, progress: Progress = lambda result: None) -> EmbedResult:
    """Embed the images of `options.sources` that the dataset does not hold yet.

    `progress` is called after every batch with the same result, which grows. Interrupted by
    Ctrl-C, the rows so far are written before KeyboardInterrupt goes on.

    Raises: NoImagesError: the sources hold none. StoreError: the dataset cannot be written, or
        holds another model's descriptors. ModelError, UsageError: the model or device is not to
        be had. SscdError: a source cannot be read.
    """
    check(options)
    # each way loads what it needs; stored descriptors need none of them
    if options.cluster:
        from sscd_cli.embedding.cluster import run_on_cluster

        return run_on_cluster(options, options.cluster, progress)
    if len(options.devices) > 1:
        from sscd_cli.embedding.devices import run_on_devices

        return run_on_devices(options, options.devices, progress)
    from sscd_cli.embedding.local import run_here

    return run_here(options, progress)
