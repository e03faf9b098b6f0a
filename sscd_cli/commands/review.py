"""`sscd review`: a page on which a person decides about what `sscd dedup` found."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sscd_cli.decisions.choice import beside
from sscd_cli.decisions.heirs import decided_among
from sscd_cli.decisions.records import append_decisions, decisions_at, read_decisions
from sscd_cli.errors import SscdError, UsageError, reason_of
from sscd_cli.options.review import ReviewOptions
from sscd_cli.reports.reading import Report, opened, read_report
from sscd_cli.reports.reported import ReportedCluster
from sscd_cli.reports.review.page import clusters_of_matches, page, served_page
from sscd_cli.reports.review.previews import preview
from sscd_cli.reports.review.server import Server, Site
from sscd_cli.reports.review.spool import Spool
from sscd_cli.storage.files import output_file
from sscd_cli.storage.places import base_of

_FULL_SIDE = 4096  # pixels of what is looked at closely


@dataclass
class ReviewResult:
    """What was made.

    output: the page, or the file of decisions. clusters: to decide on. decisions: that the
    server wrote.
    """

    output: Path
    clusters: int
    decisions: int = 0


def run(
    options: ReviewOptions, announce: Callable[[str], None] = lambda address: None
) -> ReviewResult:
    """Write the page; or serve it, `announce` its address, and wait until the person is done.

    Raises: UsageError: the report is none, cut or damaged. SscdError: the page cannot be written,
        or the port is taken.
    """
    with opened(options.report) as stream:
        report = read_report(stream, options.report)
        if options.output is not None:
            return _write(report, options, options.output)
        return _serve(report, options, announce)


def _write(report: Report, options: ReviewOptions, output: Path) -> ReviewResult:
    decisions = options.decisions or beside(report.header)
    _refuse_to_replace(output, options.report, decisions)
    clusters = list(_clusters(report))
    header = {**report.header, "base": base_of(report.header["folder"], output)}
    decided = decisions_at(options.decisions, decisions)
    decide = partial(decided_among, decided)
    sizes = {"side": options.side, "most": options.previews}
    with output_file(output) as file:
        for piece in page(header, clusters, decide=decide, **sizes):
            file.write(piece.encode())
    return ReviewResult(output, len(clusters))


def _refuse_to_replace(output: Path, *read: Path) -> None:
    """Raise UsageError where the page would take the place of what it is made of."""
    for file in read:
        if os.path.realpath(output) == os.path.realpath(file):
            raise UsageError(f"the page would replace {file}", "name another file with -o")


def _serve(report: Report, options: ReviewOptions, announce: Callable[[str], None]) -> ReviewResult:
    with closing(Spool(_clusters(report))) as spool:
        result = ReviewResult(options.decisions or beside(report.header), len(spool))
        try:
            server = Server(_site(report, spool, options, result), options.port)
        except OSError as error:
            what = f"cannot serve at port {options.port}: {reason_of(error)}"
            raise SscdError(what, "name another --port, or 0 for any") from error
        # Ctrl-C is as good an end as any: what was decided is written
        with server, suppress(KeyboardInterrupt):
            announce(server.address)
            server.serve_forever()
    return result


def _clusters(report: Report) -> Iterator[ReportedCluster]:
    return clusters_of_matches(report.matches()) if report.of_matches else report.clusters()


def _site(report: Report, spool: Spool, options: ReviewOptions, result: ReviewResult) -> Site:
    header = {**report.header, "serve": str(result.output)}
    read_decisions(result.output)  # what is wrong with it is told now, and not to the browser

    def write(decisions: list[dict[str, Any]]) -> None:
        append_decisions(result.output, decisions)
        result.decisions += len(decisions)

    def pieces() -> Iterator[str]:
        decide = partial(decided_among, read_decisions(result.output))
        return served_page(header, spool, decide)

    return Site(
        page=pieces,
        preview=lambda number, full: preview(
            spool.image(number), _FULL_SIDE if full else options.side
        ),
        write=write,
    )
