"""`renderlane simulator`."""

from __future__ import annotations

from typing import Literal

import click


@click.command("simulator")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65_535), default=0, help="Port; 0 (the default) picks a free one.")
@click.option("--limits", default="", metavar="TEXT", help="Quota, e.g. 'gemini-3-pro-image=rpm:60'.")
@click.option(
    "--latency", default="lognormal:1.5,0.4", show_default=True,
    help="In seconds: lognormal:MEDIAN,SIGMA, fixed:S or uniform:A,B.",
)  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, help="Random seed.")
@click.option(
    "--window", type=click.Choice(("sliding", "fixed", "bucket")), default="sliding", show_default=True,
    help="How a minute's quota is counted: the last 60 seconds, the clock's minute, or a token bucket.",
)  # fmt: skip
@click.option(
    "--pictures", type=click.Choice(("drawn", "cached")), default="drawn", show_default=True,
    help="Draw each image, or send one drawing per size and format again.",
)  # fmt: skip
@click.option("--no-background", is_flag=True, help="Refuse background calls, as a model without them does.")
@click.option("--gateway", "as_gateway", is_flag=True, help="Simulate a third-party gateway instead.")
def command(
    host: str,
    port: int,
    limits: str,
    latency: str,
    seed: int,
    window: Literal["sliding", "fixed", "bucket"],
    pictures: Literal["drawn", "cached"],
    *,
    no_background: bool,
    as_gateway: bool,
) -> None:
    """Run only the Gemini simulator until SIGINT or SIGTERM. Nothing is charged."""
    from scripts.cli.main import Misconfigured
    from scripts.simulator.api.server import run
    from scripts.simulator.provider.latency import InvalidLatency
    from scripts.simulator.provider.tariff import Tariff
    from shared.core.limits.quota import InvalidQuota

    try:
        run(
            host,
            port,
            limits,
            latency,
            seed,
            window,
            _gateway_ready if as_gateway else _ready,
            pictures=pictures,
            tariff=Tariff() if as_gateway else None,
            takes_background=not no_background,
        )
    except InvalidQuota as error:
        raise Misconfigured(f"--limits: {error}") from error
    except InvalidLatency as error:
        raise Misconfigured(f"--latency: {error}") from error
    except OSError as error:
        raise Misconfigured(f"{host}:{port} is not available ({error.strerror}). Try --port 0.") from error


def _ready(url: str) -> None:
    click.echo(f"SIMULATOR ready at {url} - to use it: GOOGLE_GEMINI_BASE_URL={url} GEMINI_API_KEY=simulated")


def _gateway_ready(url: str) -> None:
    click.echo(f"GATEWAY SIMULATOR ready at {url} - use it as base_url of a [gateways.NAME] in your catalogue")
