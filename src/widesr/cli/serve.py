"""Is `widesr serve`, which offers upscaling over HTTP, and a page to drop pictures on."""

from pathlib import Path
from typing import Annotated

import typer

from widesr.cli import engines
from widesr.cli.terminal import print_line
from widesr.errors import MissingExtraError


def serve_pictures(
    host: Annotated[
        str | None,
        typer.Option("--host", metavar="ADDRESS", help="Listen here; default: 127.0.0.1."),
    ] = None,
    port: Annotated[
        str | None,
        typer.Option("--port", metavar="N", help="Default: 8765; 0 is any that is free."),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            metavar="TEXT",
            help="What clients must send; better given as $WIDESR_TOKEN.",
        ),
    ] = None,
    no_auth: Annotated[
        bool | None,
        typer.Option("--no-auth", help="Listen on an address that others reach, without a token."),
    ] = None,
    allow_hosts: Annotated[
        str | None,
        typer.Option(
            "--allow-hosts", metavar="NAMES", help="Names by which browsers reach it, with commas."
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="FOLDER", help="Jobs and results; default: in the cache folder."
        ),
    ] = None,
    max_memory: Annotated[
        str | None,
        typer.Option("--max-memory", metavar="SIZE", help="Of the process, as 2G, at most."),
    ] = None,
    max_body: Annotated[
        str | None, typer.Option("--max-body", metavar="SIZE", help="Of a request, as 256M.")
    ] = None,
    max_pixels: Annotated[
        str | None, typer.Option("--max-pixels", metavar="N", help="Of a picture that is sent.")
    ] = None,
    max_queue: Annotated[
        str | None, typer.Option("--max-queue", metavar="N", help="Pictures that may wait.")
    ] = None,
    at_once: Annotated[
        str | None, typer.Option("--at-once", metavar="N", help="Pictures worked on at once.")
    ] = None,
    threads: engines.Threads = None,
    keep: Annotated[
        str | None,
        typer.Option("--keep", metavar="SECONDS", help="How long results are kept; default: 3600."),
    ] = None,
    metrics_port: Annotated[
        str | None,
        typer.Option(
            "--metrics-port", metavar="N", help="Where Prometheus asks; default: nowhere."
        ),
    ] = None,
    log_format: Annotated[
        str | None, typer.Option("--log-format", metavar="text|json", help="Of lines on stderr.")
    ] = None,
    show: Annotated[
        bool, typer.Option("--open", help="Open the page in a browser when it is ready.")
    ] = False,
) -> None:
    """Serve a page to drop pictures on, and the same for programs.

    The page is at http://127.0.0.1:8765/, for this machine alone; what programs may ask for is
    told at /openapi.json. Each option can also be given as a variable, as $WIDESR_MAX_MEMORY, and
    so can the rest of the settings, which the documentation lists. Ctrl-C finishes the pictures
    that are being made; those that wait are made by the next server of the same folder.
    """
    try:
        from widesr.web.server import serve
        from widesr.web.settings import load_settings
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "widesr":
            raise
        raise MissingExtraError(extra="web", needed_for="widesr serve") from error

    settings = load_settings(
        host=host,
        port=port,
        token=token,
        no_auth=no_auth or None,
        allow_hosts=allow_hosts,
        data=data,
        max_memory=max_memory,
        max_body=max_body,
        max_pixels=max_pixels,
        max_queue=max_queue,
        at_once=at_once,
        threads=threads,
        keep=keep,
        metrics_port=metrics_port,
        log_format=log_format,
    )

    def ready(url: str) -> None:
        print_line(f"widesr: serving at {url} (Ctrl-C stops)")
        if show:
            import webbrowser

            webbrowser.open(url)

    serve(settings, ready=ready)
