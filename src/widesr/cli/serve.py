"""Offers upscaling over HTTP, with a page to drop pictures on, as `widesr serve`."""

from pathlib import Path
from typing import Annotated

import typer

from widesr.cli import engines
from widesr.cli.terminal import print_line
from widesr.errors import MissingExtraError


def serve_pictures(
    host: Annotated[
        str | None,
        typer.Option(
            "--host", metavar="ADDRESS", help="The address to listen on. Default: 127.0.0.1."
        ),
    ] = None,
    port: Annotated[
        str | None,
        typer.Option(
            "--port", metavar="N", help="The port; 0 takes any that is free. Default: 8765."
        ),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            metavar="TEXT",
            help="The token that clients must send; safer in WIDESR_TOKEN, in the environment.",
        ),
    ] = None,
    no_auth: Annotated[
        bool | None,
        typer.Option("--no-auth", help="Listen on an address that others reach, without a token."),
    ] = None,
    allow_hosts: Annotated[
        str | None,
        typer.Option(
            "--allow-hosts",
            metavar="NAMES",
            help="The names that browsers may reach it by, with commas between them.",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="FOLDER",
            help="The folder for jobs and results. Default: one in the cache folder.",
        ),
    ] = None,
    max_memory: Annotated[
        str | None,
        typer.Option(
            "--max-memory", metavar="SIZE", help="The memory that the process may use, such as 2G."
        ),
    ] = None,
    max_body: Annotated[
        str | None,
        typer.Option(
            "--max-body", metavar="SIZE", help="The largest body of a request, such as 256M."
        ),
    ] = None,
    max_pixels: Annotated[
        str | None,
        typer.Option(
            "--max-pixels", metavar="N", help="The largest picture that may be sent, in pixels."
        ),
    ] = None,
    max_queue: Annotated[
        str | None,
        typer.Option("--max-queue", metavar="N", help="The number of pictures that may wait."),
    ] = None,
    at_once: Annotated[
        str | None,
        typer.Option(
            "--at-once", metavar="N", help="The number of pictures that are made at once."
        ),
    ] = None,
    threads: engines.Threads = None,
    keep: Annotated[
        str | None,
        typer.Option("--keep", metavar="SECONDS", help="How long results are kept. Default: 3600."),
    ] = None,
    metrics_port: Annotated[
        str | None,
        typer.Option(
            "--metrics-port", metavar="N", help="The port that Prometheus asks. Default: none."
        ),
    ] = None,
    log_format: Annotated[
        str | None,
        typer.Option(
            "--log-format", metavar="text|json", help="The form of the lines on standard error."
        ),
    ] = None,
    show: Annotated[
        bool, typer.Option("--open", help="Open the page in a browser when it is ready.")
    ] = False,
) -> None:
    """Serve a page to drop pictures on, and the same for programs.

    The page is at http://127.0.0.1:8765/, for this machine alone; what programs may ask for is
    told at /openapi.json. Each option can also be given in the environment, as WIDESR_MAX_MEMORY
    for --max-memory, and so can the other settings, which the documentation lists. Ctrl-C finishes
    the pictures that are being made; the next server of the same folder makes those that wait.
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
